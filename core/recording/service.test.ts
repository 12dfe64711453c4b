import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import t from 'tap';
import type { DataPaths } from '#store';
import { dataPaths, generateServerIdentity, openSealed, readIdentity } from '#store';
import { Inbox } from '../../recorder-worker/test/inbox.ts';
import { WorkerQueue } from '../../recorder-worker/test/queue.ts';
import type { Database } from '../db/index.ts';
import { openDatabase } from '../db/index.ts';
import type { RecordingRow, RecordingState } from '../db/recordings.ts';
import { recordingById } from '../db/recordings.ts';
import type { QueueSettings } from './backend.ts';
import { becomeOnlyDaemon } from './only-daemon.ts';
import { RecorderQueue } from './queue.ts';
import type { RecordingServiceOptions } from './service.ts';
import { RecordingService } from './service.ts';
import { silent, startServers } from './test/backends.ts';
import { insertCall, MediaSide } from './test/call.ts';
import type { DaemonOrder } from './test/daemon.ts';
import { noEvidence } from './test/no-evidence.ts';

// Worker processes are started a dozen times here.
t.setTimeout(180_000);

const servers = await startServers();
t.teardown(() => servers.stop());
const db: Database = await openDatabase({ url: servers.databaseUrl, log: silent });
t.teardown(() => db.close());

/** Folder, keys and configuration of one server, and a service on it with real worker processes. */
async function setUp(t: Test, queue: QueueSettings) {
  const dataDir = await mkdtemp(join(tmpdir(), 'verbatim-recording-'));
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
  const start = async (
    children = { recorder: true, finaliser: true },
    more: Partial<RecordingServiceOptions> = {},
  ) => {
    const options = {
      db,
      evidence: noEvidence,
      queue,
      dataDir,
      log: silent,
      children: { ...children, env },
      ...more,
    };
    const service = await RecordingService.open(options);
    t.teardown(() => service.close());
    if (children.recorder) t.equal(await service.whenRecorder(20_000), true);
    return service;
  };
  const media = await MediaSide.open();
  t.teardown(() => media.close());
  return { dataDir, paths, env, start, media };
}

function changesOf(service: RecordingService): Inbox<RecordingRow> {
  const changes = new Inbox<RecordingRow>();
  service.on('changed', (row) => changes.put(row));
  return changes;
}

const DAEMON = fileURLToPath(new URL('./test/daemon.ts', import.meta.url));

/** Its commit log names the process that writes it. */
async function killRecorder(
  paths: DataPaths,
  recorderId: string,
  signal: NodeJS.Signals = 'SIGKILL',
): Promise<void> {
  const owner = (await readdir(paths.log(recorderId))).find((name) => name.startsWith('owner.'));
  process.kill(Number(owner?.split('.')[1]), signal);
}

/** A call whose recording is armed, with both legs talking, after so many packets of each. */
async function talking({ start, media }: Awaited<ReturnType<typeof setUp>>, packets: number) {
  const service = await start();
  const changes = changesOf(service);
  const capture = await service.open(await insertCall(db));
  const lost = new Inbox<string>();
  capture.on('lost', (reason) => lost.put(reason));
  await capture.start(media.source, media.legs);
  media.talk(capture.recorder);
  await capture.armed;
  while (media.sentPerLeg < packets) await delay(20);
  return { changes, capture, lost };
}

const until = (changes: Inbox<RecordingRow>, state: RecordingState) =>
  changes.find((row) => row.state === state);

for (const [backend, queue] of Object.entries(servers.queues)) {
  t.test(`F34 on ${backend} a call is recorded from the first packet to a file that opens`, async (t) => {
    const { paths, start, media } = await setUp(t, queue);
    const service = await start();
    const changes = changesOf(service);
    const call = await insertCall(db);
    const capture = await service.open(call);
    t.equal((await recordingById(db, call.recordingId))?.state, 'armed');
    await capture.start(media.source, media.legs);
    media.talk(capture.recorder);
    const head = await capture.armed;
    t.match(head, { seq: Number, head: /^[0-9a-f]{64}$/ });
    t.match(await until(changes, 'capturing'), { recorderId: capture.recorder.recorderId });
    capture.mark('mute', 'callee');
    while (media.sentPerLeg < 30) await delay(20);
    const stopping = capture.stop('hangup');
    t.equal(capture.stop('again'), stopping, 'stopping is idempotent');
    await stopping;
    media.silence();
    t.match(await until(changes, 'processing'), { reason: 'hangup', endedAt: Date });
    const row = await until(changes, 'available');
    t.ok(Number(row.durationMs) >= 500, `${row.durationMs} ms`);
    const identity = await readIdentity(paths.secrets);
    const file = { pay: paths.pay(call.recordingId), hdr: paths.hdr(call.recordingId), identity };
    const sealed = await openSealed(file);
    t.equal(sealed.sizeBytes, row.sizeBytes);
    await sealed.close();
    await service.close();
    await t.resolves(service.close());
    t.same(await readdir(paths.wal), [], 'the recorder left nothing in its log');
  });

  t.test(
    `F34 on ${backend} a recorder that is killed before it is armed is noticed, and nothing stays open`,
    async (t) => {
      const { start, media, paths } = await setUp(t, queue);
      const service = await start({ recorder: true, finaliser: false });
      const changes = changesOf(service);
      const call = await insertCall(db);
      const capture = await service.open(call);
      await capture.start(media.source, media.legs);
      const lost = new Inbox<string>();
      capture.on('lost', (reason) => lost.put(reason));
      await killRecorder(paths, capture.recorder.recorderId);
      t.match(await lost.take(1), ['the recorder process ended']);
      await t.rejects(capture.armed, { code: 'recorder_unavailable' });
      await t.rejects(capture.start(media.source, media.legs), { code: 'recorder_unavailable' });
      await capture.stop('recorder_unavailable');
      t.match(await until(changes, 'failed'), { recordingId: call.recordingId, reason: 'not_armed' });
      const next = await service.open(await insertCall(db));
      t.not(next.recorder.recorderId, capture.recorder.recorderId, 'another recorder takes the next call');
    },
  );

  t.test(
    `F23 on ${backend} a recorder that is killed in mid-call leaves a recording up to then`,
    async (t) => {
      const server = await setUp(t, queue);
      const { changes, capture, lost } = await talking(server, 125);
      await killRecorder(server.paths, capture.recorder.recorderId);
      await lost.take(1);
      const row = await until(changes, 'available');
      t.equal(row.reason, 'recording_lost');
      t.ok(Number(row.durationMs) >= 1000, `${row.durationMs} ms of 2500 ms are there`);
      t.match(row.report, { truncated: true });
    },
  );

  t.test(`F23 on ${backend} what a dead daemon left is finalised by the next one`, async (t) => {
    const { start, paths, dataDir, env } = await setUp(t, queue);
    const [spoken, unheard] = [await insertCall(db), await insertCall(db)];
    const daemon = fork(DAEMON, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const exited = once(daemon, 'exit');
    t.teardown(() => daemon.kill('SIGKILL'));
    const order: DaemonOrder = { dataDir, queue, env, spoken, unheard };
    daemon.send(order);
    await once(daemon, 'message');
    daemon.kill('SIGKILL');
    await exited;
    await writeFile(paths.journal('01890a5d-ac96-774b-bcce-b302099a8057', 1), 'not one of ours');
    const second = await start();
    const news = changesOf(second);
    const report = await second.recover();
    t.same(report.unknown, ['01890a5d-ac96-774b-bcce-b302099a8057'], 'a journal without a row is reported');
    t.equal(report.recordings, 2);
    const rows = [await news.take(1), await news.take(1), await news.take(1)].flat();
    t.match(
      rows.find((row) => row.recordingId === unheard.recordingId),
      { state: 'failed', reason: 'not_armed' },
    );
    const last = await recordingById(db, spoken.recordingId);
    t.match(last, { state: 'available', reason: 'daemon_lost' });
    t.ok(Number(last?.durationMs) >= 1000, `${last?.durationMs} ms`);
    t.equal((await second.recover()).recordings, 0, 'nothing is left to recover');
  });
}

const queue = servers.queues.postgresql;

t.test('F34 a recorder that hangs is noticed by its silence, and never wakes up to write on', async (t) => {
  const server = await setUp(t, queue);
  const { paths } = server;
  const { changes, capture, lost } = await talking(server, 75);
  const before = performance.now();
  await killRecorder(paths, capture.recorder.recorderId, 'SIGSTOP');
  t.same(await lost.take(1), ['the recorder does not answer']);
  const tookMs = performance.now() - before;
  t.ok(tookMs > 1000 && tookMs < 4000, `noticed after ${Math.round(tookMs)} ms`);
  const row = await until(changes, 'available');
  t.equal(row.reason, 'recording_lost');
  t.notOk(
    (await readdir(paths.wal)).includes(capture.recorder.recorderId),
    'its log was replayed: it is gone',
  );
});

t.test('F34 a database that drops every connection in mid-call costs no packet', async (t) => {
  const server = await setUp(t, queue);
  const { media } = server;
  const { changes, capture, lost } = await talking(server, 1);
  const [dropped] = await db.sql<{ count: number }[]>`
    select count(pg_terminate_backend(pid))::int as count from pg_stat_activity
    where datname = current_database() and application_name <> 'verbatim'`;
  t.ok(Number(dropped?.count) > 5, `${dropped?.count} connections of the queue were cut`);
  while (media.sentPerLeg < 100) await delay(20);
  media.silence();
  const sent = media.sentPerLeg;
  await capture.stop('hangup');
  const row = await until(changes, 'available');
  t.equal(lost.size, 0);
  t.match(row.report, {
    truncated: false,
    legs: [
      { packets: sent, lost: 0 },
      { packets: sent, lost: 0 },
    ],
  });
});

t.test(
  'F34 without a recorder a call is refused after 3 s, and one that comes later does not start',
  async (t) => {
    const { start, paths } = await setUp(t, queue);
    const service = await start({ recorder: false, finaliser: false });
    const call = await insertCall(db);
    const before = performance.now();
    await t.rejects(service.open(call), { code: 'recorder_unavailable' });
    const tookMs = performance.now() - before;
    t.ok(tookMs > 2900 && tookMs < 4500, `${Math.round(tookMs)} ms`);
    t.match(await recordingById(db, call.recordingId), { state: 'failed', reason: 'recorder_unavailable' });
    // One daemon at a time hears the recorders.
    await service.close();
    const later = await start();
    const next = await later.open(await insertCall(db));
    t.not(next.recordingId, call.recordingId);
    t.same(
      (await readdir(paths.journals)).map((name) => name.startsWith(call.recordingId)),
      [false],
      'the only journal is the later call’s',
    );
  },
);

t.test('F34 a disk without room for the calls that run and one more refuses the next one', async (t) => {
  const { start, media, paths } = await setUp(t, queue);
  const { bavail, bsize } = await statfs(paths.dataDir);
  // Room for the first call and half of the second.
  const reserveBytes = Math.floor((bavail * bsize) / 1.5);
  const service = await start({ recorder: true, finaliser: false }, { reserveBytes });
  const capture = await service.open(await insertCall(db));
  const call = await insertCall(db);
  await t.rejects(service.open(call), { code: 'no_space' });
  t.equal(await recordingById(db, call.recordingId), null, 'nothing of it was begun');
  await capture.start(media.source, media.legs);
  media.talk(capture.recorder);
  await capture.armed;
  t.equal(capture.lost, undefined, 'the call that runs is not touched');
  await capture.stop('hangup');
  await (await service.open(await insertCall(db))).stop('hangup');
  t.pass('and its place is free again');
});

t.test('F34 a recorder refuses a call by its own disk', async (t) => {
  const { start, paths, env } = await setUp(t, queue);
  const { bavail, bsize } = await statfs(paths.dataDir);
  env.VERBATIM_RECORDING_MIN_FREE_MEGABYTES = String(Math.ceil((bavail * bsize) / 2 ** 20) + 1_000);
  const service = await start({ recorder: true, finaliser: false });
  const call = await insertCall(db);
  await t.rejects(service.open(call), { code: 'no_space' });
  t.match(await recordingById(db, call.recordingId), { state: 'failed', reason: 'no_space' });
  t.same(await readdir(paths.journals), []);
});

t.test('a service that is closed takes no call and ends those it has', async (t) => {
  const { start, media } = await setUp(t, queue);
  const service = await start({ recorder: true, finaliser: false });
  const call = await insertCall(db);
  const capture = await service.open(call);
  await capture.start(media.source, media.legs);
  media.talk(capture.recorder);
  await capture.armed;
  await service.close();
  t.match(await recordingById(db, call.recordingId), { state: 'processing', reason: 'shutdown' });
  await t.rejects(service.open(await insertCall(db)), { code: 'shutting_down' });
  await t.rejects(capture.start(media.source, media.legs), { code: 'recorder_unavailable' });
});

t.test(
  'a second daemon on the same database is refused, and takes over when the first is gone',
  async (t) => {
    const { start, dataDir } = await setUp(t, queue);
    const none = { recorder: false, finaliser: false };
    const first = await start(none);
    await t.rejects(becomeOnlyDaemon({ databaseUrl: queue.databaseUrl, log: silent, waitMs: 0 }), {
      code: 'conflict',
    });
    const waiting = RecordingService.open({ db, evidence: noEvidence, queue, dataDir, log: silent });
    await first.close();
    const second = await waiting;
    t.teardown(() => second.close());
    await t.rejects(becomeOnlyDaemon({ databaseUrl: queue.databaseUrl, log: silent, waitMs: 0 }), {
      code: 'conflict',
    });
  },
);

t.test('F23 a recording whose finalise job is lost or given up does not stay in processing', async (t) => {
  const { start, media } = await setUp(t, queue);
  const service = await start({ recorder: true, finaliser: false }, { sweepMs: 100 });
  const changes = changesOf(service);
  const call = await insertCall(db);
  const capture = await service.open(call);
  await capture.start(media.source, media.legs);
  media.talk(capture.recorder);
  await capture.armed;
  await capture.stop('hangup');
  const { recordingId, callId } = call;
  const jobs = await RecorderQueue.open(queue, silent);
  t.teardown(() => jobs.close());
  t.same(await jobs.finaliseState(recordingId), { state: 'queued' });
  await jobs.clearFinalise(recordingId);
  while ((await jobs.finaliseState(recordingId)).state === 'none') await delay(20);
  t.pass('it was queued again');

  await jobs.clearFinalise(recordingId);
  await jobs.addFinalise({ recordingId, callId, epochs: [1] }, { attempts: 1 });
  const worker = await WorkerQueue.open(queue, silent);
  t.teardown(() => worker.close());
  await worker.takeFinalises(
    async () => {
      throw new Error('the key does not fit');
    },
    () => undefined,
    { concurrency: 1 },
  );
  t.match(await until(changes, 'failed'), { reason: 'finalise_failed', detail: 'the key does not fit' });
  while ((await jobs.finaliseState(recordingId)).state !== 'none') await delay(20);
});

t.test(
  'F23 F33 a finalise job that somebody holds and never finishes is given up, and at last the recording has failed',
  async (t) => {
    const { start, media } = await setUp(t, queue);
    const service = await start({ recorder: true, finaliser: false }, { sweepMs: 50, stuckMs: 300 });
    const changes = changesOf(service);
    const call = await insertCall(db);
    const capture = await service.open(call);
    await capture.start(media.source, media.legs);
    media.talk(capture.recorder);
    await capture.armed;
    await capture.stop('hangup');
    const { recordingId } = call;
    const worker = await WorkerQueue.open(queue, silent);
    t.teardown(() => worker.close());
    const [taken, held] = [new Inbox<string>(), Promise.withResolvers<void>()];
    t.teardown(held.resolve);
    const hang = async (job: { recordingId: string }) => {
      if (job.recordingId !== recordingId) return;
      taken.put(job.recordingId);
      await held.promise;
    };
    await worker.takeFinalises(hang, () => undefined, { concurrency: 10 });
    await taken.take(4);
    t.match(await until(changes, 'failed'), { reason: 'finalise_failed', detail: /stood still/ });
    t.equal(taken.size, 0, 'it was given to somebody four times');
    // What holds the old jobs does not stand in the way of an operator.
    await service.retry(recordingId);
    t.same(await taken.take(1), [recordingId]);
  },
);
