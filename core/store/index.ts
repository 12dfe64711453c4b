// store: durable files: the capture journal and its group commit, sealed recordings, key files, data paths.
// Not here: what the packets mean, queues, the database, HTTP.
// Imported by: recording, library, removal, recorder-worker, app.ts, scripts.
export { createAgeHeader, openAgeHeader } from './age.ts';
export type { Clock } from './clock.ts';
export { monotonicUs, systemClock } from './clock.ts';
export type { CommitLogOptions, CommitLogStats } from './commit-log.ts';
export { CommitLog, MAX_UNDURABLE_MS } from './commit-log.ts';
export type { WriteOptions } from './durable.ts';
export {
  fsyncDir,
  isErrno,
  mkdirDurable,
  renameDurable,
  unlinkDurable,
  writeFileDurable,
} from './durable.ts';
export type { DataFile, StoreFiles } from './files.ts';
export { endsWithEnd } from './journal-end.ts';
export type {
  BlockType,
  JournalEnd,
  JournalHeader,
  JournalMark,
  JournalRecord,
  MarkKind,
} from './journal-format.ts';
export { FLAG_RTCP } from './journal-format.ts';
export { readJournalHeader } from './journal-header.ts';
export type {
  JournalBlock,
  JournalReader,
  JournalResult,
  JournalStatus,
  ReadJournalOptions,
} from './journal-reader.ts';
export { readJournal, recordsOf, verifyJournal } from './journal-reader.ts';
export type { Acknowledged, JournalWriterOptions } from './journal-writer.ts';
export { JournalWriter } from './journal-writer.ts';
export { generateServerIdentity, readIdentity, readRecipients } from './keys.ts';
export type { BegunAnew } from './ledger/begin-anew.ts';
export { beginAnew } from './ledger/begin-anew.ts';
export type { LedgerFinding } from './ledger/findings.ts';
export { findingText } from './ledger/findings.ts';
export type { Head as LedgerHead } from './ledger/head.ts';
export { readHead } from './ledger/head.ts';
export { Ledger } from './ledger/ledger.ts';
export type { ReadEntry } from './ledger/load.ts';
export type {
  AcceptedLoss,
  Appended,
  LedgerLog,
  LedgerOptions,
  LedgerState,
  NewLedgerEntry,
} from './ledger/options.ts';
export type { LedgerReader, LedgerReading, ReadLedgerOptions } from './ledger/reader.ts';
export { readLedger } from './ledger/reader.ts';
export type { LightChain } from './light-chain.ts';
export { foldChain, lightChain, MAX_LIGHT_BLOCKS } from './light-chain.ts';
export type { LogRecovery, ReplayedJournal } from './log-recovery.ts';
export { listJournals, recoverLog, recoverLogs } from './log-recovery.ts';
export type { DataPaths } from './paths.ts';
export { accessPaths, accessSignerDir, dataPaths, journalName, parseJournalName } from './paths.ts';
export type { Quarantined, QuarantinedFile, QuarantineNote } from './quarantine.ts';
export { quarantine } from './quarantine.ts';
export type { SealFileOptions, SealResult } from './seal-file.ts';
export { removeSealingLeftovers, sealFile, sealingTemporaries } from './seal-file.ts';
export type { OpenSealedOptions, SealedFile } from './sealed.ts';
export { openSealed } from './sealed.ts';
export { shredFile } from './shred.ts';
export { assertFreeSpace, freeSpace } from './space.ts';
