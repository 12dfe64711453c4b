/**
 * A daemon to be killed at any step: recording, evidence and ledger wired as core/app.ts wires them, on real files, with
 * real workers and a real queue; without HTTP, sockets and media workers. Told over IPC what to do, it places one secure
 * call whose two legs it sends by itself, and says how far it came. After a restart it only takes up what was left.
 */
import { pino } from 'pino';
import { dataPaths, generateServerIdentity, Ledger } from '#store';
import { endCall, endOpenCalls, setCallState } from '../db/calls.ts';
import type { Database } from '../db/index.ts';
import { openDatabase } from '../db/index.ts';
import { agree, testCall } from '../evidence/fixture.ts';
import { Alarms, Evidence } from '../evidence/index.ts';
import type { Capture } from '../recording/index.ts';
import { RecordingService } from '../recording/index.ts';
import { MediaSide } from '../recording/test/call.ts';

export interface FaultOrder {
  dataDir: string;
  databaseUrl: string;
  /** Places a call; otherwise it takes up what an earlier run left, and stays. */
  call: boolean;
}
export type FaultNews =
  | { type: 'ready' }
  | { type: 'placed'; recordingId: string; callId: string }
  | { type: 'armed' }
  /** The recorder is gone; the call ends for it. */
  | { type: 'lost'; reason: string };

const log = pino({ level: process.env.FAULT_LOG ?? 'silent' });
const tell = (news: FaultNews): void => void process.send?.(news);

process.once('message', (order: FaultOrder) => void run(order));
// A test that is gone leaves no daemon behind.
process.on('disconnect', () => process.exit(0));

async function run({ dataDir, databaseUrl, call }: FaultOrder): Promise<void> {
  const paths = dataPaths(dataDir);
  await generateServerIdentity(paths.secrets, paths.keys);
  const db = await openDatabase({ url: databaseUrl, log });
  const alarms = new Alarms(db, log);
  const ledger = await Ledger.open({
    paths,
    signerDir: `${dataDir}.signer`,
    version: 'test',
    log,
    onAlarm: (problem) => void alarms.raise('ledger_fault', 'log', problem),
  });
  const evidence = new Evidence({ db, paths, ledger, alarms, log, sweepMs: 500 });
  const recording = await RecordingService.open({
    db,
    evidence,
    queue: { databaseUrl },
    dataDir,
    log,
    sweepMs: 500,
    children: {
      recorder: true,
      finaliser: true,
      env: { ...process.env, VERBATIM_DATA_DIR: dataDir, VERBATIM_DATABASE_URL: databaseUrl },
    },
  });
  await recording.recover();
  for (const callId of await endOpenCalls(db, 'shutdown', new Date())) await evidence.callEnded(callId);
  await evidence.sweep().catch((error: unknown) => log.warn({ err: error }, 'owed entries wait'));
  tell({ type: 'ready' });
  const closing = told('close');
  if (call) await place({ db, evidence, recording });
  await closing;
  await recording.close();
  await evidence.close();
  await ledger.close();
  await db.close();
  process.disconnect();
}

/** Resolves when the test says this word; others are for others. */
function told(word: string): Promise<void> {
  return new Promise((resolve) => {
    process.on('message', (said) => {
      if (said === word) resolve();
    });
  });
}

/** From the consents to the hang-up, which the test orders; the room of calls does the same. */
async function place(parts: {
  db: Database;
  evidence: Evidence;
  recording: RecordingService;
}): Promise<void> {
  const { db, evidence, recording } = parts;
  await recording.whenRecorder(30_000);
  const made = await testCall(db);
  const { call } = made;
  tell({ type: 'placed', recordingId: call.recordingId, callId: call.callId });
  await agree({ evidence }, db, made);
  let capture: Capture;
  const lost = Promise.withResolvers<string>();
  try {
    capture = await recording.open(call);
    capture.on('lost', lost.resolve);
    const media = await MediaSide.open();
    await capture.start(media.source, media.legs);
    media.talk(capture.recorder);
    const { seq, head } = await capture.armed;
    await setCallState(db, call.callId, 'active', new Date());
    void evidence.callStarted(call, { epoch: capture.epoch, seq, head });
    tell({ type: 'armed' });
  } catch (error) {
    log.info({ err: error }, 'the call did not come about');
    await endCall(db, call.callId, 'recorder_unavailable', new Date());
    tell({ type: 'lost', reason: 'before it was armed' });
    await evidence.callEnded(call.callId);
    return;
  }
  const hangUp = told('hang up').then(() => 'hangup');
  const reason = await Promise.race([hangUp, lost.promise.then(() => 'recording_lost')]);
  if (reason !== 'hangup') tell({ type: 'lost', reason });
  await Promise.allSettled([
    endCall(db, call.callId, reason === 'hangup' ? 'hangup' : 'recording_lost', new Date()),
    capture.stop(reason),
  ]);
  await evidence.callEnded(call.callId);
}
