// evidence: what is entered in the ledger about calls and recordings, signed for their parties, and read back.
// Not here: the tree and the notes (#ledger), the ledger's files (#store), who may ask (core/http, core/library).
// Imported by: core/call, core/recording, core/library, core/http, core/app.ts, scripts.
export type { Access, AccessActor, AccessLogOptions, FoundAccess } from './access.ts';
export { AccessLog } from './access.ts';
export type { AlarmKind, Log } from './alarms.ts';
export { ALARM_KINDS, Alarms } from './alarms.ts';
export type { LedgerPort } from './book.ts';
export type { CallFacts, ConsentFacts, JournalHead } from './calls.ts';
export { canonicalJson } from './canonical.ts';
export type { Coverage, FinaliseReport } from './coverage.ts';
export { coverageBytes, coverageSha256 } from './coverage.ts';
export type { CallEvidence, EvidenceOptions, FinishEvidence } from './evidence.ts';
export { Evidence } from './evidence.ts';
export type { Opening } from './opening.ts';
export { parseOpening, readOpening } from './opening.ts';
export type { Proven } from './reading.ts';
export type { RunningHead } from './receipts.ts';
export type { ScrubbedPass, ScrubberOptions } from './scrubber.ts';
export { Scrubber } from './scrubber.ts';
export { RECORDING_FILE, signedVcon } from './vcon.ts';
