import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import type { Test } from 'tap';
import t from 'tap';
import type { RecorderCommand } from '#protocol';
import type { DataPaths } from '#store';
import {
  CommitLog,
  dataPaths,
  generateServerIdentity,
  JournalWriter,
  readJournal,
  readRecipients,
} from '#store';
import { Inbox } from '../../recorder-worker/test/inbox.ts';
import type { Database } from '../db/index.ts';
import { openDatabase } from '../db/index.ts';
import type { NewRecording, RecordingRow, RecordingState } from '../db/recordings.ts';
import { changeRecording, insertRecording, recordingById, setRecorder } from '../db/recordings.ts';
import type { QueueSettings } from './backend.ts';
import { Capture } from './capture.ts';
import type { RecordingServiceOptions } from './service.ts';
import { RecordingService } from './service.ts';
import { silent, startServers } from './test/backends.ts';
import { insertCall, MediaSide } from './test/call.ts';
import { noEvidence } from './test/no-evidence.ts';

// What becomes of a recording, and of the call, when the capture cannot go on or never was one.
t.setTimeout(120_000);

const servers = await startServers();
t.teardown(() => servers.stop());
const db: Database = await openDatabase({ url: servers.databaseUrl, log: silent });
t.teardown(() => db.close());

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
    // Node ignores the signal of a write past the limit, but what tap loads into a child ends it unless somebody listens.
    NODE_OPTIONS: "--import=data:text/javascript,process.on('SIGXFSZ',()=>{})",
    ...(queue.redisUrl === undefined ? {} : { VERBATIM_REDIS_URL: queue.redisUrl }),
  };
  const start = async (workers: boolean, more: Partial<RecordingServiceOptions> = {}) => {
    const children = { recorder: workers, finaliser: workers, env };
    const service = await RecordingService.open({
      db,
      evidence: noEvidence,
      queue,
      dataDir,
      log: silent,
      children,
      ...more,
    });
    t.teardown(() => service.close());
    const changes = new Inbox<RecordingRow>();
    service.on('changed', (row) => changes.put(row));
    if (workers) t.equal(await service.whenRecorder(20_000), true);
    return { service, changes };
  };
  const media = await MediaSide.open();
  t.teardown(() => media.close());
  return { paths, start, media };
}

/** From now on every write of this recorder to any file fails, as on a full disk, or works again. */
async function letWrite(paths: DataPaths, recorderId: string, writes: boolean): Promise<void> {
  const owner = (await readdir(paths.log(recorderId))).find((name) => name.startsWith('owner.'));
  const limit = writes ? 'unlimited:' : '0:';
  await promisify(execFile)('prlimit', [`--pid=${owner?.split('.')[1]}`, `--fsize=${limit}`]);
}

async function armed(service: RecordingService, media: MediaSide): Promise<Capture> {
  const capture = await service.open(await insertCall(db));
  await capture.start(media.source, media.legs);
  media.talk(capture.recorder);
  await capture.armed;
  return capture;
}

function lostOf(capture: Capture): Promise<string> {
  return new Promise((resolve) => capture.on('lost', resolve));
}

const until = (changes: Inbox<RecordingRow>, state: RecordingState) =>
  changes.find((row) => row.state === state);

async function journalsOf(paths: DataPaths, recordingId: string): Promise<string[]> {
  return (await readdir(paths.journals)).filter((name) => name.startsWith(recordingId));
}

t.test(
  'F34 a capture that fails while the queue stands still ends the call, as its recorder tells it directly',
  async (t) => {
    const queue = servers.queues.redis;
    const { paths, start, media } = await setUp(t, queue);
    const { service, changes } = await start(true);
    const capture = await armed(service, media);
    const lost = lostOf(capture);
    const redis = new Redis(queue.redisUrl ?? '');
    t.teardown(() => redis.disconnect());
    const PAUSE_MS = 8000;
    const before = performance.now();
    await redis.call('CLIENT', 'PAUSE', PAUSE_MS, 'ALL');
    await letWrite(paths, capture.recorder.recorderId, false);
    t.equal(await lost, 'recording_lost');
    const tookMs = performance.now() - before;
    t.ok(tookMs < 5000, `told after ${Math.round(tookMs)} ms, while the queue was silent`);
    t.equal(service.recorders.length, 1, 'the recorder itself was not lost');
    await letWrite(paths, capture.recorder.recorderId, true);
    t.match(await until(changes, 'available'), {
      recordingId: capture.recordingId,
      reason: 'recording_lost',
    });
  },
);

t.test(
  'F23 F33 what a failed capture had acknowledged is finalised, however long its recorder takes to let go',
  async (t) => {
    const { paths, start, media } = await setUp(t, servers.queues.postgresql);
    const looks = new Inbox<string>();
    const log = { ...silent, warn: (_: object, message: string) => looks.put(message) };
    const { service, changes } = await start(true, { sweepMs: 50, releaseMs: 50, log });
    const capture = await armed(service, media);
    while (media.sentPerLeg < 125) await delay(20);
    const lost = lostOf(capture);
    await letWrite(paths, capture.recorder.recorderId, false);
    await lost;
    // More often than a finalise job may get lost.
    for (let look = 0; look < 6; look += 1)
      await looks.find((message) => message === 'a recorder does not let go of its journal');
    t.equal((await recordingById(db, capture.recordingId))?.state, 'capturing');
    await letWrite(paths, capture.recorder.recorderId, true);
    const row = await until(changes, 'available');
    t.ok(Number(row.durationMs) >= 1000, `${row.durationMs} ms of 2500 ms are there`);
    t.match(row.report, { truncated: true });
    t.equal(service.recorders[0]?.recorderId, capture.recorder.recorderId, 'the recorder works on');
  },
);

t.test('F34 a call that ends before it is armed leaves no audio behind', async (t) => {
  const { paths, start, media } = await setUp(t, servers.queues.postgresql);
  const { service, changes } = await start(true);
  const capture = await service.open(await insertCall(db));
  await capture.start(media.source, media.legs);
  const [caller] = media.legs;
  if (caller === undefined) throw new Error('no caller');
  media.send(capture.recorder, caller);
  const path = paths.journal(capture.recordingId, 1);
  for (let blocks = 0; blocks === 0; )
    for await (const { type } of await readJournal(path)) if (type === 'data') blocks += 1;
  await capture.stop('hangup');
  t.match(await until(changes, 'failed'), { reason: 'not_armed' });
  t.same(await journalsOf(paths, capture.recordingId), []);
});

/** A recording as a daemon and its recorder that are gone left it: a row and a journal with both sides' audio. */
async function leftBehind(paths: DataPaths, upTo: 'armed' | 'capturing'): Promise<NewRecording> {
  const call = await insertCall(db);
  const recorderId = randomUUID();
  await insertRecording(db, call);
  await setRecorder(db, call.recordingId, 1, recorderId);
  if (upTo === 'capturing')
    await changeRecording(db, call.recordingId, { to: 'capturing', recorderId, startedAt: new Date() });
  const log = await CommitLog.open({ dir: paths.log(recorderId), journalsDir: paths.journals });
  const writer = await JournalWriter.create({
    log,
    recording: call.recordingId,
    call: call.callId,
    epoch: 1,
    recorder: recorderId,
    recipients: await readRecipients(paths.keys),
  });
  for (const leg of [0, 1] as const) writer.append(leg, 0, Buffer.alloc(60, 0x80), 1);
  await writer.end('daemon_lost');
  await log.close();
  return call;
}

t.test(
  'F34 after a crash only calls that were armed are kept, and what is left of others goes',
  async (t) => {
    const { paths, start } = await setUp(t, servers.queues.postgresql);
    const { service } = await start(false);
    const unheard = await leftBehind(paths, 'armed');
    const heard = await leftBehind(paths, 'capturing');
    const kept = join(paths.journals, 'kept');
    await copyFile(paths.journal(unheard.recordingId, 1), kept);
    await service.recover();
    t.match(await recordingById(db, unheard.recordingId), { state: 'failed', reason: 'not_armed' });
    t.same(await journalsOf(paths, unheard.recordingId), []);
    t.match(await recordingById(db, heard.recordingId), { state: 'processing', reason: 'daemon_lost' });
    t.equal((await journalsOf(paths, heard.recordingId)).length, 1);
    // As if the daemon had died between the row and the file.
    await copyFile(kept, paths.journal(unheard.recordingId, 1));
    await copyFile(kept, `${paths.journal(unheard.recordingId, 1)}.tail`);
    await service.recover();
    t.same(await journalsOf(paths, unheard.recordingId), []);
    t.equal((await journalsOf(paths, heard.recordingId)).length, 1);
  },
);

t.test('F34 a recorder that is armed after the call was ended arms nothing', async (t) => {
  const sent: RecorderCommand[] = [];
  const ref = { recordingId: randomUUID(), epoch: 1 };
  const recorder = { recorderId: 'r1', ip: '127.0.0.1', port: 9 };
  const capture = new Capture(
    { ...ref, callId: randomUUID(), recorder },
    { send: async (_, command) => void sent.push(command), settle: async () => undefined },
  );
  const stopped = capture.stop('hangup');
  capture.heard({ type: 'armed', ...ref, recorderId: 'r1', seq: 2, head: 'ab' });
  await stopped;
  t.equal(capture.isArmed, false);
  await t.rejects(capture.armed, { code: 'recorder_unavailable' });
  t.match(sent, [{ type: 'stop' }]);
});
