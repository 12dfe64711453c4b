import { opendir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { LedgerError, openNote, openVerifier, parseCheckpoint } from '#ledger';
import { isErrno } from '../durable.ts';
import type { DataPaths } from '../paths.ts';
import { readWhole } from './listing.ts';

/** An opening is far smaller; a larger one is told by whoever checks the recording. */
const MAX_OPENING_BYTES = 4 * 1024 * 1024;
/** Of openings that the log does not know. After a deliberate new beginning there may be as many as recordings. */
const MAX_READ = 10_000;
const OPENING = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.evd$/;

/** Why the log that was found cannot be the whole one. */
export interface Missed {
  /** The opening. */
  path: string;
  /** More openings that the log does not know, whether or not they prove the same. */
  others: number;
  /** Entries of the head in it; undefined where that was not read. */
  size: number | undefined;
}

export interface KnownLog {
  /** There is no log at all. */
  empty: boolean;
  knows: (recordingId: string) => boolean;
  /** The keys that this log was signed with. An opening under another key is of another log. */
  vkeys: readonly string[];
  /** Entries of heads whose loss an operator accepted: openings up to there may lack in the log. */
  acceptedSize: number;
}

/** Recordings with an opening. To be listed before the log is read, so that each one's entries are in what is read. */
export async function listOpenings({ openings }: DataPaths): Promise<string[]> {
  const ids: string[] = [];
  if (openings === undefined) return ids;
  try {
    for await (const entry of await opendir(openings)) {
      const id = OPENING.exec(entry.name)?.[1];
      if (id !== undefined && entry.isFile()) ids.push(id);
    }
  } catch (error) {
    if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ENOTDIR')) throw error;
  }
  return ids;
}

/**
 * An opening is made only after its entry was committed and covered by a head, and keeps that head. So one that the log
 * does not know proves that entries were taken away: together with the signer's memory, or that would tell. Without any
 * log its name is enough; beside a log the head in it must be signed by a key of this log, so that nobody can plant one.
 */
export async function missedOpening(
  paths: DataPaths,
  openings: readonly string[],
  { empty, knows, vkeys, acceptedSize }: KnownLog,
): Promise<Missed | undefined> {
  const unknown = openings.filter((id) => !knows(id)).sort();
  const [first] = unknown;
  const others = unknown.length - 1;
  if (first === undefined) return undefined;
  if (empty) return { path: paths.evidence(first), others, size: undefined };
  for (const id of unknown.slice(0, MAX_READ)) {
    const path = paths.evidence(id);
    const size = await signedSize(path, vkeys);
    if (size !== undefined && size > acceptedSize) return { path, others, size };
  }
  return undefined;
}

export function missedText({ path, others, size }: Missed): string {
  const head = size === undefined ? '' : ` under a signed head of ${size} entries`;
  const more = others === 0 ? '' : `; ${others} more such files are there`;
  const name = join('recordings', basename(path));
  return `${name} was made after its entry had been committed${head}, and that entry is not there${more}`;
}

/** Of the head that an opening keeps; undefined when it is none of these keys'. */
async function signedSize(path: string, vkeys: readonly string[]): Promise<number | undefined> {
  const bytes = await readWhole(path, MAX_OPENING_BYTES);
  if (bytes === undefined) return undefined;
  try {
    const opening: unknown = JSON.parse(bytes.toString('utf8'));
    const { checkpoint }: Record<string, unknown> = Object(opening);
    if (typeof checkpoint !== 'string') return undefined;
    const { text, verified } = openNote(checkpoint, vkeys.map(openVerifier));
    return verified.length > 0 ? parseCheckpoint(text).size : undefined;
  } catch (error) {
    // No opening, or of another log: whoever checks the recordings says what is wrong with it.
    if (error instanceof LedgerError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
