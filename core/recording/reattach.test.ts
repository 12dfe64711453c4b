import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { IQueueBackend } from 'bullmq';
import { Queue } from 'bullmq';
import type { Test } from 'tap';
import t from 'tap';
import type { CaptureJob, RecorderEvent } from '#protocol';
import { QUEUES } from '#protocol';
import type { DataPaths, JournalBlock } from '#store';
import {
  dataPaths,
  generateServerIdentity,
  readIdentity,
  readJournal,
  readJournalHeader,
  recordsOf,
  verifyJournal,
} from '#store';
import { Inbox } from '../../recorder-worker/test/inbox.ts';
import type { Database } from '../db/index.ts';
import { openDatabase } from '../db/index.ts';
import type { RecordingRow, RecordingState } from '../db/recordings.ts';
import { recordingById } from '../db/recordings.ts';
import type { RunningHead } from '../evidence/index.ts';
import type { QueueSettings } from './backend.ts';
import { queueBackend } from './backend.ts';
import type { Capture } from './capture.ts';
import { RecorderQueue } from './queue.ts';
import { RecordingService } from './service.ts';
import { silent, startServers } from './test/backends.ts';
import { insertCall, MediaSide } from './test/call.ts';
import { noEvidence } from './test/no-evidence.ts';

// A recorder that is lost in mid-call, and the one that goes on. Real processes, real signals.
t.setTimeout(180_000);

const servers = await startServers();
t.teardown(() => servers.stop());
const db: Database = await openDatabase({ url: servers.databaseUrl, log: silent });
t.teardown(() => db.close());

async function setUp(
  t: Test,
  queue: QueueSettings,
  roles = { recorder: true, standby: true, finaliser: true },
) {
  const dataDir = await mkdtemp(join(tmpdir(), 'verbatim-reattach-'));
  t.teardown(() => rm(dataDir, { recursive: true, force: true, maxRetries: 10 }));
  const paths = dataPaths(dataDir);
  await generateServerIdentity(paths.secrets, paths.keys);
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    VERBATIM_DATA_DIR: dataDir,
    VERBATIM_DATABASE_URL: queue.databaseUrl,
    VERBATIM_LOG_LEVEL: process.env.WORKER_LOG ?? 'silent',
    ...(queue.redisUrl === undefined ? {} : { VERBATIM_REDIS_URL: queue.redisUrl }),
  };
  const heads = new Inbox<RunningHead>();
  const evidence = {
    ...noEvidence,
    heads: async (list: readonly RunningHead[]) => list.forEach((head) => void heads.put(head)),
  };
  const children = { ...roles, env };
  const service = await RecordingService.open({
    db,
    evidence,
    queue,
    dataDir,
    log: silent,
    children,
  });
  t.teardown(() => service.close());
  const changes = new Inbox<RecordingRow>();
  service.on('changed', (row) => changes.put(row));
  if (roles.recorder) t.equal(await service.whenRecorder(20_000), true);
  const media = await MediaSide.open();
  t.teardown(() => media.close());
  return { queue, paths, env, service, changes, media, heads };
}
type World = Awaited<ReturnType<typeof setUp>>;

const until = (changes: Inbox<RecordingRow>, state: RecordingState) =>
  changes.find((row) => row.state === state);

/** Its commit log names the process that writes it. */
async function recorderPid(paths: DataPaths, recorderId: string): Promise<number> {
  const owner = (await readdir(paths.log(recorderId))).find((name) => name.startsWith('owner.'));
  return Number(owner?.split('.')[1]);
}

const lossOf = (capture: Capture): Promise<string> => new Promise((resolve) => capture.on('lost', resolve));

/** Both legs go to this recorder, from now until it is lost; resolves when it is armed. */
async function begin({ media }: World, capture: Capture): Promise<void> {
  await capture.start(media.source, media.legs);
  media.talk(capture.recorder);
  await capture.armed;
}

async function blocksOf(path: string, identity: string): Promise<JournalBlock[]> {
  const blocks: JournalBlock[] = [];
  for await (const block of await readJournal(path, { identity })) blocks.push(block);
  return blocks;
}

const WORKER = fileURLToPath(new URL('../../recorder-worker/main.ts', import.meta.url));

/** A recorder that is nobody's child, as on another machine: the daemon cannot kill it. */
/** A log's folder gets its name when it has an owner; until then it has another. */
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

async function startRecorder(t: Test, { paths, env }: World): Promise<{ pid: number; recorderId: string }> {
  const before = new Set(await readdir(paths.wal));
  const child = spawn(process.execPath, [WORKER, 'capture'], {
    env,
    stdio: 'ignore',
  });
  const exited = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const log = async () => (await readdir(paths.wal)).find((name) => UUID.test(name) && !before.has(name));
  let mine = await log();
  // Nothing announces the folder of its log, which it makes first of all.
  while (mine === undefined) mine = await delay(20).then(log);
  if (child.pid === undefined) throw new Error('the recorder did not start');
  return { pid: child.pid, recorderId: mine };
}

async function endOf({ secrets }: DataPaths, path: string): Promise<string | undefined> {
  return (await verifyJournal(path, { identity: await readIdentity(secrets) })).endReason;
}

/** As a queue may that promises no more than to deliver at least once. */
async function deliver(settings: QueueSettings, job: CaptureJob, times: number): Promise<void> {
  const { options, factory } = queueBackend(settings, false);
  const captures = new Queue<unknown, unknown, string, unknown, unknown, string, IQueueBackend, object>(
    QUEUES.capture,
    options,
    factory,
  );
  try {
    for (let turn = 0; turn < times; turn += 1)
      await captures.add('capture', job, { removeOnComplete: true, removeOnFail: true });
  } finally {
    await captures.close();
  }
}

async function journalsOf(paths: DataPaths, recordingId: string): Promise<string[]> {
  return (await readdir(paths.journals)).filter((name) => name.startsWith(recordingId)).sort();
}

for (const [backend, queue] of Object.entries(servers.queues)) {
  t.test(
    `F34 on ${backend} another recorder goes on, time and again, and all of it is one recording`,
    async (t) => {
      const world = await setUp(t, queue);
      const { paths, service, changes, media, heads } = world;
      let capture = await service.open(await insertCall(db));
      const { recordingId } = capture;
      await begin(world, capture);
      const tookMs: number[] = [];
      for (let turn = 0; turn < 5; turn += 1) {
        const known = media.sentPerLeg;
        while (media.sentPerLeg < known + 75) await delay(20);
        const lost = lossOf(capture);
        const killed = performance.now();
        process.kill(await recorderPid(paths, capture.recorder.recorderId), 'SIGKILL');
        t.equal(await lost, 'the recorder process ended');
        media.silence();
        const next = await service.reopen(recordingId);
        t.not(next.recorder.recorderId, capture.recorder.recorderId);
        t.equal(next.epoch, capture.epoch + 1);
        await begin(world, next);
        tookMs.push(performance.now() - killed);
        capture = next;
      }
      const median = tookMs.toSorted((a, b) => a - b)[2] ?? 0;
      t.comment(
        `from kill -9 to armed again: ${tookMs.map(Math.round).join(' ')} ms, median ${Math.round(median)}`,
      );
      t.ok(median < 3000);
      const known = media.sentPerLeg;
      while (media.sentPerLeg < known + 50) await delay(20);
      t.match(await recordingById(db, recordingId), { state: 'capturing', epoch: 6 });
      await capture.stop('hangup');
      media.silence();
      const row = await until(changes, 'available');
      t.equal(row.reason, 'hangup');
      t.match(row.report, { truncated: false, journals: [1, 2, 3, 4, 5, 6].map((epoch) => ({ epoch })) });
      t.equal(row.report?.holes?.length, 5, JSON.stringify(row.report?.holes));
      const identity = await readIdentity(paths.secrets);
      const seen = new Set<string>();
      for (let epoch = 1; epoch <= 6; epoch += 1) {
        const path = paths.journal(recordingId, epoch);
        const header = await readJournalHeader(path);
        const blocks = await blocksOf(path, identity);
        if (epoch > 1) {
          t.ok(seen.has(header?.prev ?? ''), `epoch ${epoch} continues a block of the one before`);
          t.match(blocks[0], { type: 'mark', mark: { mark: 'reattach' } });
        }
        for (const { head } of blocks) seen.add(head);
      }
      t.ok(heads.size >= 6, 'each epoch has told a head');
      for (const { head } of await heads.take(heads.size)) t.ok(seen.has(head), 'which is in its journal');
    },
  );

  t.test(
    `F34 on ${backend} a recorder that sleeps is replaced, and does no harm when it wakes up`,
    async (t) => {
      const world = await setUp(t, queue, { recorder: false, standby: false, finaliser: true });
      const { paths, service, changes, media } = world;
      const sleeper = await startRecorder(t, world);
      const capture = await service.open(await insertCall(db));
      const { recordingId } = capture;
      await begin(world, capture);
      while (media.sentPerLeg < 75) await delay(20);
      const other = await startRecorder(t, world);
      const lost = lossOf(capture);
      process.kill(sleeper.pid, 'SIGSTOP');
      t.equal(await lost, 'the recorder does not answer');
      media.silence();
      const sentAtLoss = media.sentPerLeg;
      const before = performance.now();
      const next = await service.reopen(recordingId);
      t.equal(next.recorder.recorderId, other.recorderId);
      await begin(world, next);
      const tookMs = performance.now() - before;
      t.ok(tookMs < 3000, `armed again ${Math.round(tookMs)} ms after the loss was noticed`);
      const known = service.recorders.length;
      process.kill(sleeper.pid, 'SIGCONT');
      const path = paths.journal(recordingId, 1);
      // It is told to stop as soon as it is heard of again, in mid-call.
      while ((await endOf(paths, path)) === undefined) await delay(50);
      t.equal(await endOf(paths, path), 'expired');
      while (service.recorders.length === known) await delay(50);
      const talked = media.sentPerLeg;
      while (media.sentPerLeg < talked + 50) await delay(20);
      t.equal(next.lost, undefined, 'what it says late changes nothing');
      t.equal((await recordingById(db, recordingId))?.recorderId, other.recorderId);
      await next.stop('hangup');
      media.silence();
      const row = await until(changes, 'available');
      t.match(row.report, { truncated: false, journals: [{ epoch: 1 }, { epoch: 2 }], holes: [{}] });
      t.same(await journalsOf(paths, recordingId), [`${recordingId}-1.scj`, `${recordingId}-2.scj`]);
      t.equal((await readJournalHeader(paths.journal(recordingId, 2)))?.recorder, other.recorderId);
      const identity = await readIdentity(paths.secrets);
      // What lay in its socket when it woke up was said before the loss, and heard; it keeps that and nothing later.
      const sequences = (await blocksOf(path, identity))
        .flatMap((block) => [...recordsOf(block)])
        .map(({ packet }) => Buffer.from(packet).readUInt16BE(2));
      t.ok(Math.max(...sequences) < sentAtLoss, `it heard nothing of after ${sentAtLoss} packets`);
    },
  );

  t.test(`F34 on ${backend} one epoch has one writer, however often its job is delivered`, async (t) => {
    const world = await setUp(t, queue, { recorder: false, standby: false, finaliser: false });
    const { paths } = world;
    const said = new Inbox<RecorderEvent>();
    // In the place of the service: what the recorders say.
    await world.service.close();
    const daemon = await RecorderQueue.open(queue, silent);
    t.teardown(() => daemon.close());
    const recorders = [await startRecorder(t, world), await startRecorder(t, world)];
    const listening: string[] = [];
    await daemon.listen((event) => {
      if (event.type === 'heartbeat') return;
      if (event.type === 'listening') listening.push(event.recordingId);
      said.put(event);
    });
    const recordings: string[] = [];
    for (const epoch of [1, 2]) {
      const recordingId = randomUUID();
      const job: CaptureJob = { recordingId, callId: randomUUID(), epoch, expiresAtMs: Date.now() + 10_000 };
      recordings.push(recordingId);
      await deliver(queue, job, 8);
      const first = await said.find(({ type }) => type === 'listening');
      if (first.type !== 'listening') throw new Error('nobody listens');
      const path = paths.journal(recordingId, epoch);
      const header = await readJournalHeader(path);
      t.equal(header?.recorder, first.recorderId);
      t.same(await journalsOf(paths, recordingId), [`${recordingId}-${epoch}.scj`]);
      await daemon.send(first.recorderId, { type: 'stop', recordingId, epoch, reason: 'hangup' });
      await said.find(({ type }) => type === 'ended');
      // Again, after its end, to whoever takes it; and another job behind it, so that it has been worked off.
      await deliver(queue, job, 4);
      const last = { ...job, recordingId: randomUUID(), epoch: 1 };
      recordings.push(last.recordingId);
      await deliver(queue, last, 1);
      await said.find((event) => event.type === 'listening' && event.recordingId === last.recordingId);
      t.same(await readJournalHeader(path), header, 'the journal is the same');
      t.equal(await endOf(paths, path), 'hangup');
    }
    t.same(listening, recordings, 'of each job one recorder said that it listens, once');
    const writers = new Set<string>();
    for (const name of await readdir(paths.journals))
      writers.add((await readJournalHeader(join(paths.journals, name)))?.recorder ?? '');
    for (const writer of writers) t.ok(recorders.some(({ recorderId }) => recorderId === writer));
  });
}
