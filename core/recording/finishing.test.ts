import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import { openNote, openVerifier, parseEntry, parseReceipt } from '#ledger';
import type { FinaliseResult, HeadReceipt } from '#protocol';
import type { Ledger } from '#store';
import { generateServerIdentity, verifyJournal } from '#store';
import { Inbox } from '../../recorder-worker/test/inbox.ts';
import { WorkerQueue } from '../../recorder-worker/test/queue.ts';
import { openAlarms } from '../db/alarms.ts';
import { endCall, setCallState } from '../db/calls.ts';
import type { Database } from '../db/index.ts';
import { openDatabase } from '../db/index.ts';
import type { RecordingRow, RecordingState } from '../db/recordings.ts';
import { changeRecording, insertRecording, keepReport, recordingById } from '../db/recordings.ts';
import { agree, testCall, testEvidence, testReport, withVerbs } from '../evidence/fixture.ts';
import type { LedgerPort } from '../evidence/index.ts';
import { readOpening } from '../evidence/index.ts';
import { migrateQueue } from './backend.ts';
import type { RecordingServiceOptions } from './service.ts';
import { RecordingService } from './service.ts';
import { silent, startServers } from './test/backends.ts';
import { MediaSide } from './test/call.ts';

// The last steps of a recording on the real ledger: sealed, entered, covered, opened, Available.
t.setTimeout(120_000);

const servers = await startServers();
t.teardown(() => servers.stop());
const db: Database = await openDatabase({ url: servers.databaseUrl, log: silent });
t.teardown(() => db.close());
const queue = servers.queues.postgresql;
await migrateQueue(queue);

async function setUp(t: Test) {
  const dataDir = await mkdtemp(join(tmpdir(), 'verbatim-finishing-'));
  t.teardown(() => rm(dataDir, { recursive: true, force: true, maxRetries: 10 }));
  const verbs: Partial<LedgerPort> = {};
  const real = await testEvidence(t, db, { dataDir, through: (ledger) => withVerbs(ledger, verbs) });
  await generateServerIdentity(real.paths.secrets, real.paths.keys);
  const start = async (more: Partial<RecordingServiceOptions> = {}) => {
    const options = { db, evidence: real.evidence, queue, dataDir, log: silent, sweepMs: 50 };
    const service = await RecordingService.open({ ...options, ...more });
    t.teardown(() => service.close());
    const changes = new Inbox<RecordingRow>();
    service.on('changed', (row) => changes.put(row));
    return { service, changes };
  };
  const workers = await WorkerQueue.open(queue, silent);
  t.teardown(() => workers.close());
  return { ...real, dataDir, verbs, start, workers };
}

/** A call with both consents whose recording waits to be finalised. */
async function processing(real: Awaited<ReturnType<typeof setUp>>) {
  const made = await testCall(db);
  await agree(real, db, made);
  const { call } = made;
  await insertRecording(db, call);
  const startedAt = new Date();
  await changeRecording(db, call.recordingId, { to: 'capturing', recorderId: 'r1', startedAt });
  await setCallState(db, call.callId, 'active', startedAt);
  await changeRecording(db, call.recordingId, { to: 'processing', endedAt: new Date(), reason: 'hangup' });
  await endCall(db, call.callId, 'hangup', new Date());
  return call;
}

const until = (changes: Inbox<RecordingRow>, state: RecordingState) =>
  changes.find((row) => row.state === state);
const idsOf = async (ledger: Ledger, recordingId: string) =>
  (await ledger.entriesOf(`rec:${recordingId}`)).map(({ bytes }) => parseEntry(bytes).id);

t.test('F23 F37 a sealed file becomes Available with its entry, and told twice it stays so', async (t) => {
  const real = await setUp(t);
  const { ledger, paths, start, workers } = real;
  const { recordingId } = await processing(real);
  const { changes } = await start();
  const result = testReport();
  for (let time = 0; time < 3; time += 1) await workers.report({ type: 'finalised', recordingId, result });
  const row = await until(changes, 'available');
  t.type(row.entryIndex, 'number');
  t.match(row, { sha256: result.sha256, report: { sha512: result.sha512 } });
  t.match(await readOpening(paths, recordingId), {
    entries: { final: row.entryIndex },
    sha256: result.sha256,
  });
  await workers.report({ type: 'finalised', recordingId, result: testReport() });
  await workers.report({
    type: 'finalised',
    recordingId,
    result: { ok: false, reason: 'x', detail: 'late' },
  });
  // A later recording's end says that the events before it were worked off.
  const next = await processing(real);
  await workers.report({ type: 'finalised', recordingId: next.recordingId, result: testReport() });
  await until(changes, 'available');
  t.match(await recordingById(db, recordingId), { state: 'available', sha256: result.sha256 });
  t.same(await idsOf(ledger, recordingId), ['consent.caller', 'consent.callee', 'rec.final']);
});

t.test(
  'F33 while the ledger is out a recording stays Processing with an alarm, and goes on by itself',
  async (t) => {
    const real = await setUp(t);
    const { ledger, start, workers, verbs } = real;
    const { recordingId } = await processing(real);
    const tries = new Inbox<string>();
    verbs.append = async () => {
      tries.put('append');
      throw new Error('no space left on device');
    };
    const { changes } = await start();
    await workers.report({ type: 'finalised', recordingId, result: testReport() });
    await tries.take(4);
    t.match(await recordingById(db, recordingId), { state: 'processing', report: { ok: true } });
    t.match(await openAlarms(db, 10), [{ kind: 'ledger_unwritable', detail: /no space left/ }]);
    delete verbs.append;
    const row = await until(changes, 'available');
    t.type(row.entryIndex, 'number');
    t.same(await idsOf(ledger, recordingId), ['consent.caller', 'consent.callee', 'rec.final']);
    t.same(await openAlarms(db, 10), []);
  },
);

t.test('F33 while the ledger is out a failure is shown at once, and entered afterwards', async (t) => {
  const real = await setUp(t);
  const { ledger, evidence, start, workers, verbs } = real;
  const { recordingId } = await processing(real);
  verbs.append = () => Promise.reject(new Error('read-only file system'));
  const { changes } = await start();
  const torn = {
    epoch: 1,
    seq: 3,
    head: 'ab'.repeat(32),
    status: 'torn',
    goodBytes: 5,
    tailBytes: 0,
  } as const;
  const result: FinaliseResult = {
    ok: false,
    reason: 'no_audio',
    detail: 'nothing was heard',
    journals: [torn],
  };
  await workers.report({ type: 'finalised', recordingId, result });
  t.match(await until(changes, 'failed'), { reason: 'no_audio', entryIndex: null });
  delete verbs.append;
  while ((await recordingById(db, recordingId))?.entryIndex === null) await evidence.sweep();
  t.same(
    (await idsOf(ledger, recordingId)).filter((id) => id.startsWith('rec.')),
    ['rec.failed.1'],
  );
});

t.test('F23 what a killed daemon had sealed but not entered is finished by the next one', async (t) => {
  const real = await setUp(t);
  const { ledger, start } = real;
  const { recordingId } = await processing(real);
  await keepReport(db, recordingId, testReport());
  const { service, changes } = await start();
  await service.recover();
  t.type((await until(changes, 'available')).entryIndex, 'number');
  t.same(await idsOf(ledger, recordingId), ['consent.caller', 'consent.callee', 'rec.final']);
});

t.test('F33 a recording that can never be proven fails, and says why', async (t) => {
  const real = await setUp(t);
  const { paths, ledger, start, workers, alarms } = real;
  const made = await testCall(db);
  // Only the caller's consent is in the ledger.
  await real.evidence.consent(made.call, {
    side: 'caller',
    device: 'd',
    consent: made.consent,
    at: new Date(),
  });
  const { recordingId } = made.call;
  await insertRecording(db, made.call);
  await changeRecording(db, recordingId, { to: 'capturing', recorderId: 'r1', startedAt: new Date() });
  await changeRecording(db, recordingId, { to: 'processing', endedAt: new Date(), reason: 'hangup' });
  const { changes } = await start();
  await workers.report({ type: 'finalised', recordingId, result: testReport() });
  t.match(await until(changes, 'failed'), { reason: 'evidence_lost', detail: /callee/ });
  t.equal(await readOpening(paths, recordingId), undefined);
  while ((await recordingById(db, recordingId))?.entryIndex === null) await delay(5);
  t.same((await idsOf(ledger, recordingId)).at(-1), 'rec.failed.1');
  await alarms.clear('recording_fault', recordingId);
});

t.test(
  'F34 F36 F37 a real capture is receipted while it runs, and provable when it is finished',
  async (t) => {
    const real = await setUp(t);
    const { evidence, ledger, paths, dataDir, start } = real;
    const receipts = new Inbox<HeadReceipt>();
    evidence.onReceipt((receipt) => receipts.put(receipt));
    const env: NodeJS.ProcessEnv = {
      PATH: process.env.PATH,
      VERBATIM_DATA_DIR: dataDir,
      VERBATIM_DATABASE_URL: queue.databaseUrl,
      VERBATIM_LOG_LEVEL: process.env.WORKER_LOG ?? 'silent',
    };
    const { service, changes } = await start({ children: { recorder: true, finaliser: true, env } });
    t.equal(await service.whenRecorder(20_000), true);
    const media = await MediaSide.open();
    t.teardown(() => media.close());
    const made = await testCall(db);
    await agree(real, db, made);
    const { recordingId, callId } = made.call;
    const capture = await service.open(made.call);
    await capture.start(media.source, media.legs);
    media.talk(capture.recorder);
    const armed = await capture.armed;
    const [receipt] = await receipts.take(1);
    t.match(receipt, { recordingId, callId, epoch: 1, seq: armed.seq, head: armed.head });
    const opened = openNote(receipt?.note ?? '', [openVerifier(ledger.vkey)]);
    t.match(parseReceipt(opened.text), { recordingId, epoch: 1, seq: armed.seq, head: armed.head });
    while (media.sentPerLeg < 50) await delay(20);
    await capture.stop('hangup');
    media.silence();
    const row = await until(changes, 'available');
    t.type(row.entryIndex, 'number');
    const opening = await readOpening(paths, recordingId);
    t.match(opening, { sha256: row.sha256, sizeBytes: row.sizeBytes, coverage: { endReason: 'hangup' } });
    const acknowledged = { seq: armed.seq, head: armed.head };
    t.match(await verifyJournal(paths.journal(recordingId, 1), { acknowledged }), { status: 'complete' });
    t.ok((await readdir(paths.recordings)).includes(`${recordingId}.evd`));
  },
);
