import { VerbatimError } from '#protocol';
import type { NewCall } from '../db/calls.ts';
import * as calls from '../db/calls.ts';
import type { Database } from '../db/index.ts';
import type { CallEvidence, CallFacts } from '../evidence/index.ts';
import type { RecordingService } from '../recording/index.ts';
import type { Call, CallActs } from './call.ts';
import type { RunningCapture } from './call-recorder.ts';
import type { CallWatcher, Clock, Devices } from './ports.ts';

/** What calls ask of the recording room. */
export interface Recordings {
  open(recording: Parameters<RecordingService['open']>[0]): Promise<RunningCapture>;
  /** Another recorder for a recording whose recorder was lost in mid-call. */
  reopen(recordingId: string): Promise<RunningCapture>;
}

export interface CallActsDeps {
  db: Database;
  recording: Recordings;
  evidence: CallEvidence;
  devices: Devices;
  clock: Clock;
  limits: { connectTimeoutMs: number; graceMs: number };
  log: { warn(o: object, message: string): void };
  ringTimeoutMs: number;
  watcher?: CallWatcher;
  /** The call is over and leaves the list of running ones. */
  forget(call: Call): void;
}

/** What one call does to the world: its rows, its entries in the ledger and its recording. */
export function callActs({
  db,
  limits,
  recording,
  evidence,
  devices,
  log,
  clock,
  ringTimeoutMs,
  forget,
  watcher,
}: CallActsDeps): CallActs {
  return {
    clock,
    devices,
    timeoutsMs: {
      ring: ringTimeoutMs,
      connect: limits.connectTimeoutMs,
      grace: limits.graceMs,
    },
    storeAccept: async (call, consent) => {
      const at = call.acceptedAt ?? clock.now();
      const device = call.status.device.callee ?? '';
      if (consent === null) return calls.acceptCall(db, call.id, call.appId, at, null);
      // Durable before anything that follows from it (F35). A crash here: the call has ended for both.
      const entryIndex = await evidence
        .consent(factsOfCall(call), { side: 'callee', device, consent, at })
        .catch((error: unknown) => {
          // Whoever accepted hears why; both are told that the call could not begin.
          void call.dispatch({ type: 'recorderUnavailable' });
          throw error;
        });
      const userId = call.people.callee.userId;
      return calls.acceptCall(db, call.id, call.appId, at, { consent, userId, device, at, entryIndex });
    },
    enterStart: (call, epoch, { seq, head }) => {
      if (epoch === 1 && call.acceptedAt !== null)
        watcher?.armed(clock.now().getTime() - call.acceptedAt.getTime());
      return evidence.callStarted(factsOfCall(call), { epoch, seq, head });
    },
    enterEnd: (call) => evidence.callEnded(call.id),
    checkpoint: () => evidence.info()?.checkpoint,
    storeActive: (call) => calls.setCallState(db, call.id, 'active', call.activeAt ?? clock.now()),
    storeEnd: (call, reason) => calls.endCall(db, call.id, reason, call.endedAt ?? clock.now()),
    openRecording: (call) => {
      if (call.recordingId === null) throw new VerbatimError('internal', 'a voice call is never recorded');
      return recording.open({
        recordingId: call.recordingId,
        callId: call.id,
        appId: call.appId,
        chatId: call.chatId,
        callerId: call.people.caller.userId,
        calleeId: call.people.callee.userId,
      });
    },
    reopenRecording: async (call) => {
      if (call.recordingId === null) throw new VerbatimError('internal', 'a voice call is never recorded');
      return recording.reopen(call.recordingId);
    },
    forget,
    trouble: (call, doing, error) => log.warn({ callId: call.id, doing, err: error }, 'trouble in a call'),
  };
}

/** What evidence has to know of a secure call. */
export function factsOf(row: NewCall): CallFacts {
  if (row.recordingId === null)
    throw new VerbatimError('internal', 'a voice call leaves nothing in the ledger');
  return {
    callId: row.id,
    recordingId: row.recordingId,
    appId: row.appId,
    chatId: row.chatId,
    callerId: row.callerId,
    calleeId: row.calleeId,
  };
}

function factsOfCall({ id, recordingId, appId, chatId, mode, startedAt, people }: Call): CallFacts {
  const [callerId, calleeId] = [people.caller.userId, people.callee.userId];
  return factsOf({ id, recordingId, appId, chatId, mode, startedAt, callerId, calleeId });
}
