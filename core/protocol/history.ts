import { Type } from 'typebox';
import { CallMode, ExternalId, Side, Uuid } from './ids.ts';
import { CallState, EndReason, Party } from './signaling.ts';

/** The calls of a chat for a messenger's history (F18): of both modes; only that they took place, never what was said. */
export const CallHistoryItem = Type.Object({
  callId: Uuid,
  chatId: ExternalId,
  mode: CallMode,
  /** The caller and the callee, with the names that they have now. */
  caller: Party,
  callee: Party,
  /** On which side the asking user took part; absent for the app's server. */
  side: Type.Optional(Side),
  state: CallState,
  endReason: Type.Optional(EndReason),
  /** The callee never took part: cancelled, not answered, offline or busy. */
  missed: Type.Boolean(),
  startedAt: Type.String(),
  activeAt: Type.Optional(Type.String()),
  endedAt: Type.Optional(Type.String()),
  /** From the first heard word to the end; absent for a call that never became active. */
  durationMs: Type.Optional(Type.Integer()),
  /** Of a secure call that was recorded. */
  recordingId: Type.Optional(Uuid),
});
export type CallHistoryItem = Type.Static<typeof CallHistoryItem>;

export const CallHistoryPage = Type.Object({
  calls: Type.Array(CallHistoryItem),
  next: Type.Optional(Uuid),
});
export type CallHistoryPage = Type.Static<typeof CallHistoryPage>;
