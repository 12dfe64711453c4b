import type { Entry } from '#ledger';
import type { Clock } from '../clock.ts';
import type { DataPaths } from '../paths.ts';
import type { LedgerFiles } from './files.ts';

/** A log as any of the program's; pino fits. */
export interface LedgerLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface LedgerOptions {
  paths: DataPaths;
  /** Where the signer remembers the last head it signed: outside the data folder. */
  signerDir: string;
  /** Name of the log, for its first start. Fixed from then on: another one later is refused. */
  origin?: string;
  /** Name of the log if it is made now; one that is there keeps its own. */
  newOrigin?: string;
  /** Why an operator begins the log anew beside recordings of an earlier one. Never given by the server. */
  anew?: { reason: string };
  /** Of the program, for the first entry. */
  version: string;
  log: LedgerLog;
  /** What an operator must look at, as one sentence. */
  onAlarm: (problem: string) => void;
  clock?: Clock;
  files?: LedgerFiles;
  /** Durable entries are taken into the tree together for this long. Default 500. */
  collectMs?: number;
  /** Bytes of entries that the tree has not taken; past it appends are refused. Default 64 MiB. */
  maxWaitingBytes?: number;
  /** Told of each fresh entry how long it took to become durable. */
  onAppended?: (tookMs: number) => void;
  /** Waiting times between attempts when the disk fails. Default 250 ms to 30 s. */
  retry?: { minMs: number; maxMs: number };
}

export type LedgerState = { mode: 'writable' } | { mode: 'read-only'; problem: string };

export interface NewLedgerEntry {
  t: Entry['t'];
  /** Unique within the subject. */
  id: string;
  sub: string;
  actor: Record<string, unknown>;
  d: Record<string, unknown>;
}

export interface Appended {
  index: number;
  /** Leaf hash (RFC 6962). */
  hash: Buffer;
  /** The exact bytes; those of the first one when this was entered before. */
  bytes: Buffer;
  fresh: boolean;
}

export interface AcceptedLoss {
  /** What the signer remembered. */
  lost: { size: number; root: string };
  /** What there is instead, before the entry about it. */
  now: { size: number; root: string };
}
