import { fork } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { CaptureLeg, RecorderEvent } from '#protocol';
import { dataPaths, generateServerIdentity, mkdirDurable } from '#store';
import { startEmbeddedPostgres } from '../../core/db/index.ts';
import { RecorderQueue, WorkerChild } from '../../core/recording/index.ts';
import type { SendOrder, SendReport } from './rtp-sender.ts';

const USAGE = `usage: scripts/bench/recorder [--calls 20,200,500,1000] [--seconds 8]

Starts a real recorder process on a temporary folder and a temporary PostgreSQL, queues so many captures, sends it
generated RTP for them (two legs a call, 50 packets a second each, 80 bytes of payload), and prints:

  us/packet  CPU time of the recorder process for each packet, everything included (receive, journal, commit, queue)
  core       share of one core
  RSS, MB/call  memory, and how much of it is there because of the calls
  commit     from the first block being cut to the commit being on disk, median
  flushes/s  commits of the log
  armed      from the first packet sent to both legs being durable, median over the calls
  lost       packets sent and not recorded; in brackets those that the kernel dropped
  late       how far the sender was behind its own schedule at worst: when it is large the machine was too busy
`;

type Heartbeat = Extract<RecorderEvent, { type: 'heartbeat' }>;

interface Result {
  calls: number;
  cpuUsPerPacket: number;
  core: number;
  rssMb: number;
  mbPerCall: number;
  commitMs: number;
  flushesPerSecond: number;
  armedMs: number;
  sent: number;
  lost: number;
  kernelDrops: number;
  lateMs: number;
}

const PAYLOAD_TYPE = 100;
const PAYLOAD_BYTES = 80;
const LEGS_PER_CALL = 2;
/** Time for the first second's arming and warm-up that is not measured. */
const WARM_UP_S = 2;
const WARM_UP_CALLS = 20;
const SENDER = fileURLToPath(new URL('./rtp-sender.ts', import.meta.url));
const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '20,200,500,1000' },
    seconds: { type: 'string', default: '8' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
async function main(counts: number[], seconds: number): Promise<void> {
  if (![...counts, seconds].every((count) => Number.isInteger(count) && count > 0)) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-bench-'));
  const password = randomBytes(32).toString('base64url');
  const postgres = await startEmbeddedPostgres({ dataDir: dir, password, log: quiet });
  try {
    if (!values.json) process.stdout.write(`${HEADING}\n`);
    for (const calls of counts) {
      const result = await measure(join(dir, String(calls)), postgres.url, calls, seconds);
      process.stdout.write(`${values.json ? JSON.stringify(result) : lineOf(result)}\n`);
    }
  } finally {
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** One fresh recorder with so many calls, from its start to its end. */
async function measure(
  dataDir: string,
  databaseUrl: string,
  calls: number,
  seconds: number,
): Promise<Result> {
  const paths = dataPaths(dataDir);
  for (const dir of [paths.journals, paths.wal]) await mkdirDurable(dir);
  await generateServerIdentity(paths.secrets, paths.keys);
  const queue = await RecorderQueue.open({ databaseUrl, namespace: 'verbatim_queue' }, quiet);
  const events = new Events();
  await queue.listen((event) => events.put(event));
  const recorder = new WorkerChild({
    role: 'capture',
    log: quiet,
    env: {
      PATH: process.env.PATH,
      VERBATIM_DATA_DIR: dataDir,
      VERBATIM_DATABASE_URL: databaseUrl,
      VERBATIM_RECORDER_MAX_CAPTURES: '2000',
      VERBATIM_LOG_LEVEL: 'warn',
    },
  });
  const sender = fork(SENDER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const senderLost = once(sender, 'exit').then(() => Promise.reject(new Error('the sender died')));
  senderLost.catch(() => undefined);
  try {
    const [{ port }] = (await once(sender, 'message')) as [{ port: number }];
    const { recorderId } = await events.next('heartbeat');
    await warmUp(queue, events, recorderId);
    const idle = await events.next('heartbeat');
    const captures = await openCaptures(queue, events, calls);
    const legs = captures.map((_, index) => legsOf(index));
    const ready = events.all('ready', calls);
    for (const [index, capture] of captures.entries()) {
      const source = { ip: '127.0.0.1', port };
      await queue.send(recorderId, { type: 'legs', ...capture, source, legs: legs[index] ?? [] });
    }
    await ready;

    const order: SendOrder = {
      to: events.address,
      ssrcs: legs.flat().map(({ ssrc }) => ssrc),
      payloadType: PAYLOAD_TYPE,
      payloadBytes: PAYLOAD_BYTES,
      seconds: seconds + WARM_UP_S,
    };
    const startedMs = performance.now();
    const reported = once(sender, 'message') as Promise<[SendReport]>;
    const armed = events.all('armed', calls);
    sender.send(order);
    await events.after(WARM_UP_S);
    const before = await events.next('heartbeat');
    await events.after(seconds - 1);
    const after = await events.next('heartbeat');
    const [report] = await Promise.race([reported, senderLost]);
    await armed;
    const armedMs = median(events.armedAtMs.map((at) => at - startedMs));
    const ending = events.all('ended', calls);
    for (const capture of captures)
      await queue.send(recorderId, { type: 'stop', ...capture, reason: 'hangup' });
    const ended = await ending;
    const got = ended.flatMap(({ legs }) => legs).reduce((sum, { packets }) => sum + packets, 0);
    return resultOf(calls, idle, before, after, { ...report, got, armedMs });
  } finally {
    sender.kill();
    await recorder.close();
    await queue.close();
  }
}

function resultOf(
  calls: number,
  idle: Heartbeat,
  before: Heartbeat,
  after: Heartbeat,
  sent: SendReport & { got: number; armedMs: number },
): Result {
  const cpuUs = after.cpuUs - before.cpuUs;
  const elapsedMs = after.atMs - before.atMs;
  const mega = 1024 * 1024;
  return {
    calls,
    cpuUsPerPacket: cpuUs / (after.packets - before.packets),
    core: cpuUs / 1000 / elapsedMs,
    rssMb: after.rssBytes / mega,
    mbPerCall: (after.rssBytes - idle.rssBytes) / mega / calls,
    commitMs: after.commitMs,
    flushesPerSecond: ((after.commits - before.commits) * 1000) / elapsedMs,
    armedMs: sent.armedMs,
    sent: sent.sent,
    lost: sent.sent - sent.got,
    kernelDrops: after.kernelDrops - before.kernelDrops,
    lateMs: sent.lateMs,
  };
}

/** Queues so many captures, a few at a time as calls would come, and waits until the recorder listens for each. */
async function openCaptures(queue: RecorderQueue, events: Events, calls: number) {
  const captures = Array.from({ length: calls }, () => ({ recordingId: randomUUID(), epoch: 1 }));
  const listening = events.all('listening', calls);
  for (const capture of captures)
    await queue.addCapture({ ...capture, callId: randomUUID(), expiresAtMs: Date.now() + 120_000 });
  await listening;
  return captures;
}

/** A few captures come and go first: what a recorder needs once is not a cost of the calls. */
async function warmUp(queue: RecorderQueue, events: Events, recorderId: string): Promise<void> {
  const captures = await openCaptures(queue, events, WARM_UP_CALLS);
  const ended = events.all('ended', captures.length);
  for (const capture of captures)
    await queue.send(recorderId, { type: 'stop', ...capture, reason: 'hangup' });
  await ended;
}

function legsOf(index: number): CaptureLeg[] {
  const leg = { payloadType: PAYLOAD_TYPE, clockRate: 48_000 };
  // Spread over all 32 bits, as a media worker's are.
  const ssrc = (index * LEGS_PER_CALL * 0x9e3779b1) >>> 0;
  return [
    { side: 'caller', ssrc, ...leg },
    { side: 'callee', ssrc: (ssrc + 0x9e3779b1) >>> 0, ...leg },
  ];
}

/** What the recorder reports, as things to wait for. */
class Events {
  address = { ip: '', port: 0 };
  readonly armedAtMs: number[] = [];
  readonly #waiting = new Set<(event: RecorderEvent) => void>();

  put(event: RecorderEvent): void {
    if (event.type === 'listening') this.address = { ip: event.ip, port: event.port };
    if (event.type === 'armed') this.armedAtMs.push(performance.now());
    if (event.type === 'failed') throw new Error(`a capture failed: ${event.reason}`);
    for (const waiting of this.#waiting) waiting(event);
  }

  /** The next so many events of this type. */
  all<T extends RecorderEvent['type']>(
    type: T,
    count: number,
  ): Promise<Extract<RecorderEvent, { type: T }>[]> {
    return new Promise((resolve) => {
      const found: Extract<RecorderEvent, { type: T }>[] = [];
      const take = (event: RecorderEvent): void => {
        if (!isOf(event, type)) return;
        found.push(event);
        if (found.length < count) return;
        this.#waiting.delete(take);
        resolve(found);
      };
      this.#waiting.add(take);
    });
  }

  async next<T extends RecorderEvent['type']>(type: T): Promise<Extract<RecorderEvent, { type: T }>> {
    const [event] = await this.all(type, 1);
    if (event === undefined) throw new Error(`no ${type}`);
    return event;
  }

  after(seconds: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

function isOf<T extends RecorderEvent['type']>(
  event: RecorderEvent,
  type: T,
): event is Extract<RecorderEvent, { type: T }> {
  return event.type === type;
}

function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;
}

const COLUMNS = [
  'calls',
  'us/packet',
  'core',
  'RSS MB',
  'MB/call',
  'commit ms',
  'flushes/s',
  'armed ms',
  'lost',
  'late ms',
];
const WIDTH = 11;
const HEADING = COLUMNS.map((column) => column.padStart(WIDTH)).join('');

function lineOf(result: Result): string {
  return [
    String(result.calls),
    result.cpuUsPerPacket.toFixed(1),
    `${(result.core * 100).toFixed(0)} %`,
    result.rssMb.toFixed(0),
    result.mbPerCall.toFixed(3),
    result.commitMs.toFixed(1),
    result.flushesPerSecond.toFixed(2),
    result.armedMs.toFixed(0),
    `${result.lost} (${result.kernelDrops})`,
    String(result.lateMs),
  ]
    .map((cell) => cell.padStart(WIDTH))
    .join('');
}

if (values.help) process.stdout.write(USAGE);
else await main(values.calls.split(',').map(Number), Number(values.seconds));
