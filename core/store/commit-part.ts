import type { VerbatimError } from '#protocol';
import type { Slice } from './arena.ts';
import type { JournalFile } from './journal-file.ts';

/** What the commit log asks of those who write through it. */
export interface CommitWriter {
  readonly path: string;
  /** Something is appended that no commit has taken yet. */
  readonly hasWork: boolean;
  /** When the oldest thing was appended that is not durable yet, on the log's monotonic clock; undefined if all is. */
  readonly undurableSinceUs: number | undefined;
  /** Cuts what is there into blocks; undefined when nothing is. */
  seal(): SealedPart | undefined;
  /** The part is in the log and synced. Answers how many appended things that acknowledges. */
  committed(part: SealedPart): number;
  /** Nothing of this writer can become durable any more. */
  fail(error: VerbatimError): void;
  /** This journal file takes no more bytes. */
  journalFailed(file: JournalFile, error: VerbatimError): void;
  close(): Promise<void>;
}

/** One writer's part of one commit. */
export interface SealedPart {
  writer: CommitWriter;
  file: JournalFile;
  slices: Slice[];
  seq: number;
  head: Buffer;
  /** The writer's count of appended things that this part covers. */
  covers: number;
}
