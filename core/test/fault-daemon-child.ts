/**
 * A daemon to be killed at any step: recording, evidence and ledger wired as core/app.ts wires them, on real files, with
 * real workers and a real queue; without HTTP, sockets and media workers. It takes up what an earlier run left. Told over
 * IPC, it places secure calls, one after the other, whose two legs it sends by itself, and says how far each came: every
 * head that was acknowledged, and how many packets were sent.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { VerbatimError } from '#protocol';
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
  /** Has a recorder. Without one it only takes up what an earlier run left. */
  records: boolean;
  /** Whether anything will be there to be finalised. A process less to be started. */
  finalises: boolean;
  /** Space that must be left for a new call. */
  minFreeBytes?: number;
}
export type FaultNews =
  | { type: 'ready' }
  /** It does not start: the sentence for the operator. */
  | { type: 'refused'; reason: string }
  | { type: 'placed'; recordingId: string; callId: string }
  | { type: 'armed' }
  /** That it is recorded from now on is entered. */
  | { type: 'started' }
  /** A head that left the server. */
  | { type: 'head'; epoch: number; seq: number; head: string }
  /** Both legs are silent, and the recorder has taken all that was sent: so many packets of each. */
  | { type: 'sent'; perLeg: number }
  /** The recorder is gone, or the call did not come about; it ends for that. */
  | { type: 'lost'; reason: string };

const log = pino({ level: process.env.FAULT_LOG ?? 'silent' });
const tell = (news: FaultNews): void => void process.send?.(news);

process.once('message', (order: FaultOrder) => {
  run(order).catch(giveUp);
});
// A test that is gone leaves no daemon behind.
process.on('disconnect', () => process.exit(0));

async function run(order: FaultOrder): Promise<void> {
  const { dataDir, databaseUrl, records, finalises, minFreeBytes } = order;
  const paths = dataPaths(dataDir);
  await generateServerIdentity(paths.secrets, paths.keys);
  const db = await openDatabase({ url: databaseUrl, log, poolSize: 4 });
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
    ...(minFreeBytes === undefined ? {} : { minFreeBytes }),
    children: {
      recorder: records,
      finaliser: finalises,
      env: { ...process.env, VERBATIM_DATA_DIR: dataDir, VERBATIM_DATABASE_URL: databaseUrl },
    },
  });
  evidence.onReceipt(({ epoch, seq, head }) => tell({ type: 'head', epoch, seq, head }));
  await recording.recover();
  for (const callId of await endOpenCalls(db, 'shutdown', new Date())) await evidence.callEnded(callId);
  await evidence.sweep().catch((error: unknown) => log.warn({ err: error }, 'owed entries wait'));
  tell({ type: 'ready' });
  const closing = told('close');
  process.on('message', (said) => {
    if (said === 'place') void place({ db, evidence, recording }).catch(giveUp);
  });
  await closing;
  await recording.close();
  await evidence.close();
  await ledger.close();
  await db.close();
  process.disconnect();
}

/** A start that fails ends the process, as it does in core/app.ts. */
function giveUp(error: unknown): void {
  log.fatal({ err: error }, 'it does not go on');
  const reason = error instanceof Error ? error.message : String(error);
  process.send?.({ type: 'refused', reason }, undefined, undefined, () => process.exit(1));
}

/** Resolves when the test says this word; others are for others. */
function told(word: string): Promise<void> {
  return new Promise((resolve) => {
    const hear = (said: unknown): void => {
      if (said !== word) return;
      process.off('message', hear);
      resolve();
    };
    process.on('message', hear);
  });
}

/** A ledger that was told to be read-only tries again by itself; the next call is for when it works. */
async function untilWritable(evidence: Evidence): Promise<void> {
  for (;;) {
    try {
      evidence.assertWritable();
      return;
    } catch {
      await delay(20);
    }
  }
}

/** From the consents to the hang-up and the end, which the test orders; the room of calls does the same. */
async function place(parts: {
  db: Database;
  evidence: Evidence;
  recording: RecordingService;
}): Promise<void> {
  const { db, evidence, recording } = parts;
  const hangUp = told('hang up').then(() => 'hangup');
  await recording.whenRecorder(60_000);
  await untilWritable(evidence);
  const made = await testCall(db);
  const { call } = made;
  tell({ type: 'placed', recordingId: call.recordingId, callId: call.callId });
  const media = await MediaSide.open();
  let capture: Capture;
  const lost = Promise.withResolvers<string>();
  try {
    await agree({ evidence }, db, made);
    capture = await recording.open(call);
    capture.on('lost', lost.resolve);
    await capture.start(media.source, media.legs);
    media.talk(capture.recorder);
    const { seq, head } = await capture.armed;
    await setCallState(db, call.callId, 'active', new Date());
    tell({ type: 'head', epoch: capture.epoch, seq, head });
    void evidence
      .callStarted(call, { epoch: capture.epoch, seq, head })
      .then(() => tell({ type: 'started' }));
    tell({ type: 'armed' });
  } catch (error) {
    media.close();
    log.info({ err: error }, 'the call did not come about');
    const reason = error instanceof VerbatimError ? error.code : String(error);
    await endCall(db, call.callId, 'recorder_unavailable', new Date());
    tell({ type: 'lost', reason });
    await evidence.callEnded(call.callId);
    return;
  }
  const reason = await Promise.race([hangUp, lost.promise.then(() => 'recording_lost')]);
  if (reason === 'hangup') {
    media.silence();
    const end = told('end');
    if (await isHeardOut(capture.recorder.port)) tell({ type: 'sent', perLeg: media.sentPerLeg });
    await Promise.race([end, lost.promise]);
  } else tell({ type: 'lost', reason: await lost.promise });
  await Promise.allSettled([
    endCall(db, call.callId, reason === 'hangup' ? 'hangup' : 'recording_lost', new Date()),
    capture.stop(reason),
  ]);
  media.close();
  await evidence.callEnded(call.callId);
}

/**
 * Resolves when the recorder has taken every packet that the kernel holds for it. False when its socket is gone. The fifth
 * column of /proc/net/udp is `transmit queue:receive queue`, in bytes and hexadecimal.
 */
async function isHeardOut(port: number): Promise<boolean> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (;;) {
    const table = await readFile('/proc/net/udp', 'latin1');
    const line = table.split('\n').find((each) => each.trim().split(/\s+/)[1]?.endsWith(suffix));
    if (line === undefined) return false;
    if (/^0+$/.test(line.trim().split(/\s+/)[4]?.split(':')[1] ?? '')) return true;
    await delay(10);
  }
}
