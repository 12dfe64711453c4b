import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { CaptureLeg } from '#protocol';
import type { DataPaths } from '#store';
import { dataPaths, generateServerIdentity, journalName, mkdirDurable, readRecipients } from '#store';
import type { Database } from '../../core/db/index.ts';
import { openDatabase, startEmbeddedPostgres } from '../../core/db/index.ts';
import type { NewRecording, RecordingRow } from '../../core/db/recordings.ts';
import type { Capture } from '../../core/recording/index.ts';
import { RecordingService } from '../../core/recording/index.ts';
import { insertCall } from '../../core/recording/test/call.ts';
import { noEvidence } from '../../core/recording/test/no-evidence.ts';
import { childTimes, timesBetween } from './child-times.ts';
import type { JournalOrder, JournalReport } from './journal-maker.ts';
import type { SendOrder, SendReport } from './rtp-sender.ts';

const USAGE = `usage: scripts/bench/hang-ups [--runs 7] [--burst 100] [--going-on 30] [--skip-single] [--profile DIR]

How long after a hang-up a recording can be played, for calls of 10 minutes and of an hour, and what a burst of
hang-ups does to the calls that go on. Works in a temporary folder, which it removes.

Real: the recording service with its embedded PostgreSQL and queue, one recorder and one finaliser process at their
own priorities, captures that are armed by RTP over UDP, the stop command, END on disk, the rows, the finalise job,
the sealed file that is read back and compared.
Put in place: nobody waits an hour for a journal. Shortly before the hang-up the journal of the capture (some
seconds) is exchanged for a generated one of the same recording, written by the recorder's own writer: 50 packets a
second a leg, 80 bytes of payload, a block each second, sender reports, 1 % loss, jitter, 60 ppm of drift. So the
finaliser works on a call of full length; END itself goes into the short one.
Not in it: signaling and media, which tell the service of the hang-up (scripts/canary measures with them).

  --runs N      hang-ups of each length, one after the other; the first of all is that of a fresh finaliser
  --burst N     hang-ups at once, of 10 minutes each; 0 for none
  --going-on N  calls that are being recorded meanwhile, for 45 s in all
  --skip-single only the burst
  --profile DIR the worker processes leave a CPU profile each in DIR

  END         hang-up until END is durable and the row says so; while a recorder is busy with other calls it may
              commit up to 250 ms later
  finalise    from there until the row is Available: the queue, the finaliser, its report
  finaliser's CPU, waited for a CPU
              what the finaliser process used, and how long it stood in line because others ran: on an idle
              machine the latter is nothing, and the times above are shorter by it
  lost        packets sent in the calls that go on and not in their recordings; beside it those the kernel dropped
  late        how far the senders were behind their own schedule at worst: when it is large the machine was too busy

It needs 3 GB in the temporary folder (TMPDIR) for --burst 100, and takes about two minutes.
`;

const TARGETS = { shortS: 0.5, longS: 1.5, burstS: 15 } as const;
const SHORT_MINUTES = 10;
const LONG_MINUTES = 60;
const MAX_RUNS = 50;
const MAX_BURST = 200;
const MAX_GOING_ON = 500;
const PAYLOAD_TYPE = 100;
const PAYLOAD_BYTES = 80;
/** The calls that go on last this long; the burst must be over before they are. */
const GOING_ON_S = 45;
/** Arming takes commits of its own, which those of a hang-up right after it would wait for. */
const TALK_MS = 1_500;
const OPEN_AT_ONCE = 10;
const PREPARE_TIMEOUT_S = 240;
/** For one hang-up; each that comes with it adds a second. */
const HANG_UP_TIMEOUT_S = 60;
const START_TIMEOUT_MS = 30_000;

/** When one recording got where, on the clock of performance.now(). */
interface Outcome {
  processingMs: number;
  availableMs: number;
  row: RecordingRow;
}

interface Bench {
  db: Database;
  paths: DataPaths;
  service: RecordingService;
  outcomes: Outcomes;
  /** Generated journals until they are put in place, and captured ones after that. */
  spare: string;
}

const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields: object, message: string) => console.error(message, fields),
  error: (fields: object, message: string) => console.error(message, fields),
};

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '7' },
    burst: { type: 'string', default: '100' },
    'going-on': { type: 'string', default: '30' },
    'skip-single': { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
async function main({ runs, burst, goingOn }: { runs: number; burst: number; goingOn: number }) {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-bench-'));
  const password = randomBytes(32).toString('base64url');
  const postgres = await startEmbeddedPostgres({ dataDir: dir, password, log });
  const db = await openDatabase({ url: postgres.url, log });
  let service: RecordingService | undefined;
  try {
    const paths = dataPaths(dir);
    const spare = join(dir, 'spare');
    await mkdirDurable(spare);
    await generateServerIdentity(paths.secrets, paths.keys);
    service = await RecordingService.open({
      db,
      queue: { databaseUrl: postgres.url },
      dataDir: dir,
      log,
      evidence: noEvidence,
      children: { recorder: true, finaliser: true, env: childEnv(dir, postgres.url) },
    });
    if (!(await service.whenRecorder(START_TIMEOUT_MS))) throw new Error('the recorder did not start');
    const bench = { db, paths, service, outcomes: new Outcomes(service), spare };
    if (runs > 0) {
      console.log(SINGLE_HEADING);
      await measureSingle(bench, SHORT_MINUTES, runs, TARGETS.shortS);
      await measureSingle(bench, LONG_MINUTES, runs, TARGETS.longS);
    }
    if (burst > 0) await measureBurst(bench, burst, goingOn);
  } finally {
    await service?.close();
    await db.close();
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** One hang-up after the other, each with nothing else going on. */
async function measureSingle(bench: Bench, minutes: number, runs: number, targetS: number): Promise<void> {
  const calls = await insertCalls(bench.db, runs);
  await writeJournals(bench, calls, minutes);
  const load = loadavg()[0] ?? 0;
  const end: number[] = [];
  const finalise: number[] = [];
  const cpu: number[] = [];
  const waited: number[] = [];
  for (const [index, call] of calls.entries()) {
    const live = await begin(bench, [call], GOING_ON_S, index);
    await exchangeJournals(bench, [call]);
    await delay(TALK_MS);
    const before = await childTimes('finalise');
    const { hungUpMs, outcomes } = await hangUp(bench, live);
    const times = timesBetween(before, await childTimes('finalise'));
    for (const { processingMs, availableMs } of outcomes) {
      end.push(processingMs - hungUpMs);
      finalise.push(availableMs - processingMs);
      cpu.push(times.cpuMs);
      waited.push(times.waitedMs);
    }
  }
  const total = end.map((ms, run) => ms + (finalise[run] ?? 0));
  console.log(`${minutes} min, load of the machine before: ${load.toFixed(1)}`);
  console.log(singleRow('  hang-up to Available', total, targetS));
  console.log(singleRow('    END', end));
  console.log(singleRow('    finalise', finalise));
  console.log(singleRow("      finaliser's CPU", cpu));
  console.log(singleRow('      waited for a CPU', waited));
}

/** Many hang-ups at the same moment, while other calls are recorded. */
async function measureBurst(bench: Bench, count: number, goingOn: number): Promise<void> {
  const calls = await insertCalls(bench.db, count);
  await writeJournals(bench, calls, SHORT_MINUTES);
  const load = loadavg()[0] ?? 0;
  const others = await begin(bench, await insertCalls(bench.db, goingOn), GOING_ON_S, 1);
  const live = await begin(bench, calls, GOING_ON_S, 1 + goingOn);
  await exchangeJournals(bench, calls);
  await delay(TALK_MS);
  const watch = watchRecorder(bench.service);
  const before = await childTimes('finalise');
  const { hungUpMs, outcomes } = await hangUp(bench, live);
  const { cpuMs, mainMs, waitedMs } = timesBetween(before, await childTimes('finalise'));
  const worst = watch.stop();
  const seconds = (at: (outcome: Outcome) => number) =>
    outcomes.map((outcome) => (at(outcome) - hungUpMs) / 1000).sort((a, b) => a - b);
  const [ends, available] = [seconds((o) => o.processingMs), seconds((o) => o.availableMs)];
  const done = available.at(-1) ?? 0;
  const minutes = count * SHORT_MINUTES;
  console.log(`
${count} hang-ups of ${SHORT_MINUTES} min at once, ${goingOn} calls going on (load of the machine before: ${load.toFixed(1)})
  END of all durable after      ${(ends.at(-1) ?? 0).toFixed(2)} s, median ${middle(ends).toFixed(2)} s
  Available, median             ${middle(available).toFixed(2)} s, first ${(available[0] ?? 0).toFixed(2)} s
  all Available after           ${done.toFixed(2)} s; target ${TARGETS.burstS} s (${ratio(done, TARGETS.burstS)}); ${((done * 1000) / count).toFixed(0)} ms a recording, ${((minutes * 60) / done).toFixed(0)} s of call a second
  finaliser                     ${(cpuMs / 1000).toFixed(2)} s of CPU, ${(waitedMs / 1000).toFixed(2)} s waited for a CPU, ${(done - (mainMs + waitedMs) / 1000).toFixed(2)} s for the disk and the queue
  recorder's commit, at worst   ${worst.commitMs.toFixed(1)} ms (median of a second)`);
  if (others === undefined) return;
  const stillSending = !others.sender.reported;
  const sent = await within(others.sender.report, GOING_ON_S, 'the sender of the calls that go on');
  const dropped = bench.service.recorders.reduce((sum, { kernelDrops }) => sum + kernelDrops, 0);
  const after = await hangUp(bench, others);
  const legs = after.outcomes.flatMap(({ row }) => row.report?.legs ?? []);
  const recorded = legs.reduce((sum, { packets }) => sum + packets, 0);
  console.log(
    `  calls going on                ${goingOn}, ${sent.sent} packets sent, ${recorded} recorded, lost ${sent.sent - recorded} (kernel dropped ${dropped}), sender late ${sent.lateMs} ms${stillSending ? '' : '; they ended before the burst was done'}`,
  );
}

/** Calls that are being recorded, armed, and the process that sends their packets. */
interface Live {
  captures: Capture[];
  sender: Sender;
}

/** Opens these calls as their accepts would, and resolves when all are armed. `place` keeps their SSRCs apart. */
async function begin(
  bench: Bench,
  calls: NewRecording[],
  seconds: number,
  place: number,
): Promise<Live | undefined> {
  if (calls.length === 0) return undefined;
  const sender = await Sender.start();
  try {
    const captures: Capture[] = [];
    const legs = calls.map((_, index) => legsOf(place + index));
    for (let at = 0; at < calls.length; at += OPEN_AT_ONCE)
      captures.push(
        ...(await Promise.all(
          calls.slice(at, at + OPEN_AT_ONCE).map(async (call, index) => {
            const capture = await bench.service.open(call);
            await capture.start({ ip: '127.0.0.1', port: sender.port }, legs[at + index] ?? []);
            return capture;
          }),
        )),
      );
    const [first] = captures;
    if (first === undefined) throw new Error('no capture');
    const ssrcs = legs.flat().map(({ ssrc }) => ssrc);
    sender.send({
      to: first.recorder,
      ssrcs,
      payloadType: PAYLOAD_TYPE,
      payloadBytes: PAYLOAD_BYTES,
      seconds,
    });
    await within(Promise.all(captures.map(({ armed }) => armed)), START_TIMEOUT_MS / 1000, 'arming');
    return { captures, sender };
  } catch (error) {
    sender.close();
    throw error;
  }
}

/** Hangs up on all of them at once; resolves when the last one is Available. */
async function hangUp(
  bench: Bench,
  live: Live | undefined,
): Promise<{ hungUpMs: number; outcomes: Outcome[] }> {
  const captures = live?.captures ?? [];
  live?.sender.close();
  const hungUpMs = performance.now();
  const done = Promise.all([
    ...captures.map(({ recordingId }) => bench.outcomes.of(recordingId)),
    ...captures.map((capture) => capture.stop('hangup')),
  ]);
  await within(done, HANG_UP_TIMEOUT_S + captures.length, 'becoming Available');
  const outcomes = await Promise.all(captures.map(({ recordingId }) => bench.outcomes.of(recordingId)));
  return { hungUpMs, outcomes };
}

async function insertCalls(db: Database, count: number): Promise<NewRecording[]> {
  const calls: NewRecording[] = [];
  for (let n = 0; n < count; n += 1) calls.push(await insertCall(db));
  return calls;
}

/** Writes the journal of a long call for each of these recordings, in a process of its own. */
async function writeJournals(bench: Bench, calls: NewRecording[], minutes: number): Promise<void> {
  const maker = fork(fileURLToPath(new URL('./journal-maker.ts', import.meta.url)));
  const exited = once(maker, 'exit');
  try {
    const order: JournalOrder = {
      journalsDir: bench.spare,
      logDir: join(bench.spare, 'log'),
      recipients: await readRecipients(bench.paths.keys),
      recordings: calls.map(({ recordingId, callId }) => ({ recordingId, callId })),
      minutes,
    };
    const reported = once(maker, 'message') as Promise<[JournalReport]>;
    maker.send(order);
    const early = exited.then(() => Promise.reject(new Error('the journals could not be written')));
    await within(Promise.race([reported, early]), PREPARE_TIMEOUT_S, 'writing the journals');
    await within(exited, START_TIMEOUT_MS / 1000, 'the end of the process that writes the journals');
  } finally {
    maker.kill();
  }
}

/** The captured journal keeps its file under another name: the recorder has it open and syncs it at the end. */
async function exchangeJournals(bench: Bench, calls: NewRecording[]): Promise<void> {
  for (const { recordingId } of calls) {
    const place = bench.paths.journal(recordingId, 1);
    await rename(place, join(bench.spare, `${recordingId}.captured`));
    await rename(join(bench.spare, journalName(recordingId, 1)), place);
  }
}

/** The process that sends the packets of some calls. */
class Sender {
  readonly port: number;
  readonly report: Promise<SendReport>;
  reported = false;
  readonly #process: ReturnType<typeof fork>;
  readonly #resolve: (report: SendReport) => void;
  readonly #reject: (error: Error) => void;

  private constructor(child: ReturnType<typeof fork>, port: number) {
    this.#process = child;
    this.port = port;
    const { promise, resolve, reject } = Promise.withResolvers<SendReport>();
    [this.report, this.#resolve, this.#reject] = [promise, resolve, reject];
    // Those that hang up in mid-sentence have nothing to report.
    promise.catch(() => undefined);
    child.once('exit', () => this.#reject(new Error('the sender died')));
  }

  static async start(): Promise<Sender> {
    const child = fork(fileURLToPath(new URL('./rtp-sender.ts', import.meta.url)));
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    return new Sender(child, port);
  }

  send(order: SendOrder): void {
    this.#process.once('message', (report: SendReport) => {
      this.reported = true;
      this.#resolve(report);
    });
    this.#process.send(order);
  }

  /** Stops sending. */
  close(): void {
    this.#process.kill('SIGKILL');
  }
}

/** Waits for recordings to be Available. */
class Outcomes {
  readonly #processing = new Map<string, number>();
  readonly #waiting = new Map<string, PromiseWithResolvers<Outcome>>();

  constructor(service: RecordingService) {
    service.on('changed', (row) => {
      const now = performance.now();
      const { recordingId, state } = row;
      if (state === 'processing') this.#processing.set(recordingId, now);
      if (state === 'available')
        this.#of(recordingId).resolve({
          processingMs: this.#processing.get(recordingId) ?? now,
          availableMs: now,
          row,
        });
      if (state === 'failed') this.#of(recordingId).reject(new Error(`${row.reason}: ${row.detail}`));
    });
  }

  of(recordingId: string): Promise<Outcome> {
    return this.#of(recordingId).promise;
  }

  #of(recordingId: string): PromiseWithResolvers<Outcome> {
    let waiting = this.#waiting.get(recordingId);
    if (waiting === undefined) {
      waiting = Promise.withResolvers<Outcome>();
      waiting.promise.catch(() => undefined);
      this.#waiting.set(recordingId, waiting);
    }
    return waiting;
  }
}

/** The longest that any second's commits took, while it is watched. */
function watchRecorder(service: RecordingService): { stop(): { commitMs: number } } {
  const worst = { commitMs: 0 };
  const timer = setInterval(() => {
    for (const { commitMs } of service.recorders) worst.commitMs = Math.max(worst.commitMs, commitMs);
  }, 250);
  return {
    stop: () => {
      clearInterval(timer);
      return worst;
    },
  };
}

function legsOf(index: number): CaptureLeg[] {
  const leg = { payloadType: PAYLOAD_TYPE, clockRate: 48_000 };
  // Spread over all 32 bits, as a media worker's are.
  const ssrc = (step: number) => Math.imul(index * 2 + step, 0x9e3779b1) >>> 0;
  return [
    { side: 'caller', ssrc: ssrc(1), ...leg },
    { side: 'callee', ssrc: ssrc(2), ...leg },
  ];
}

function childEnv(dataDir: string, databaseUrl: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    VERBATIM_DATA_DIR: dataDir,
    VERBATIM_DATABASE_URL: databaseUrl,
    VERBATIM_RECORDER_MAX_CAPTURES: String(MAX_BURST + MAX_GOING_ON),
    VERBATIM_LOG_LEVEL: process.env.WORKER_LOG ?? 'warn',
    ...(values.profile === undefined
      ? {}
      : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${JSON.stringify(values.profile)}` }),
  };
}

async function within<T>(work: Promise<T>, seconds: number, what: string): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${what} took more than ${seconds} s`)), seconds * 1000);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

const SINGLE_HEADING = singleCells('hang-up, in ms', [
  'runs',
  'first',
  'median',
  'least',
  'most',
  'target',
  'ratio',
]);

function singleRow(name: string, values: number[], targetS?: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  const cells = [values[0] ?? 0, middle(sorted), sorted[0] ?? 0, sorted.at(-1) ?? 0].map((ms) =>
    ms.toFixed(0),
  );
  const targetMs = (targetS ?? 0) * 1000;
  const target = targetS === undefined ? [] : [String(targetMs), ratio(middle(sorted), targetMs)];
  return singleCells(name, [String(values.length), ...cells, ...target]);
}

function singleCells(name: string, cells: string[]): string {
  return name.padEnd(32) + cells.map((cell) => cell.padStart(9)).join('');
}

/** What was measured as a share of its target: under 1 is met. */
function ratio(measured: number, target: number): string {
  return `${(measured / target).toFixed(2)} x`;
}

function middle(sorted: number[]): number {
  return sorted[sorted.length >> 1] ?? 0;
}

function whole(name: string, value: string, least: number, most: number): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number >= least && number <= most) return number;
  process.stderr.write(`--${name}: expected a whole number from ${least} to ${most}, got ${value}\n${USAGE}`);
  process.exit(2);
}

if (values.help) process.stdout.write(USAGE);
else
  await main({
    runs: values['skip-single'] ? 0 : whole('runs', values.runs, 1, MAX_RUNS),
    burst: whole('burst', values.burst, 0, MAX_BURST),
    goingOn: whole('going-on', values['going-on'], 0, MAX_GOING_ON),
  });
