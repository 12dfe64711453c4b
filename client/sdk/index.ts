// sdk: calls and recordings for a web page, without a framework: sign-in, call, media, playback addresses.
// Not here: anything that is seen (client/ui, client/demo); what a call may do (the server decides).
// Imported by: client/ui, client/demo, and messengers, as dist/sdk/verbatim.js.
export type {
  AccessEvent,
  AccessPage,
  CallHistoryItem,
  CallHistoryPage,
  CallMode,
  CallView,
  Consent,
  Disclosure,
  Disposition,
  EndReason,
  ErrorCode,
  Grant,
  Permissions,
  Recording,
  RecordingFormat,
  RecordingPage,
  RecordingState,
  Timeline,
  TimelineMessage,
  TranscriptSegment,
  Waveform,
} from '#protocol';
export { consentTo, VerbatimClient } from './client.ts';
export type {
  ClientEvents,
  ClientOptions,
  Devices,
  MediaDeviceChoice,
  PageQuery,
  Playback,
  Quality,
  QualityLevel,
} from './contract.ts';
export type { ClientErrorCode } from './errors.ts';
export { VerbatimClientError } from './errors.ts';
export type { EvidenceState } from './evidence.ts';
export type { EvidenceVerdict, KeptReceipt } from './evidence-store.ts';
export type { LedgerProblem } from './ledger-watch.ts';
export type { ConnectionState } from './session.ts';
export type { CallStats } from './stats.ts';
export type { MediaPath, SignalingSocket, Transport } from './transport.ts';
