import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LedgerError, openNote, openVerifier, parseCheckpoint } from '#ledger';
import type { ConsistencyProof, JournalChain, LedgerInfo, RecordingEvidence } from '#protocol';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { isErrno, lightChain } from '#store';
import type { Database } from '../db/index.ts';
import { receiptsOf } from '../db/receipts.ts';
import type { Book } from './book.ts';
import { noteText } from './book.ts';
import { Gate } from './gate.ts';
import type { Opening } from './opening.ts';
import { readOpening } from './opening.ts';

/** An entry as exact bytes, with its proof against one checkpoint. */
export interface Proven {
  index: number;
  bytes: Buffer;
  /** C2SP tlog-proof. */
  proof: string;
}

/** Each reads and hashes a whole journal, hundreds of megabytes for a call of hours, in the process that carries calls. */
const CHAINS = { atOnce: 2, waiting: 64 };
/** A call has five entries or so; a recording that was recovered and retried a few more. */
const MAX_ENTRIES = 256;
/**
 * C2SP tlog-tiles: `tile/<L>/<N>[.p/<W>]`, N in groups of three digits, every group but the last marked by an x.
 * Entry bundles (`tile/entries/…`) are not served: their entries say which app had how many calls, and when.
 */
const TILE =
  /^(?:[0-9]|[1-5][0-9]|6[0-3])\/(?:x\d{3}\/){0,4}\d{3}(?:\.p\/(?:[1-9]|[1-9]\d|1\d\d|2[0-4]\d|25[0-5]))?$/;

/** What others may read of the ledger: everybody its heads and hashes, the parties of a call what is about it. */
export class Reading {
  readonly #db: Database;
  readonly #paths: DataPaths;
  readonly #book: Book;
  readonly #chains = new Gate(CHAINS);

  constructor(parts: { db: Database; paths: DataPaths; book: Book }) {
    this.#db = parts.db;
    this.#paths = parts.paths;
    this.#book = parts.book;
  }

  /** The key and the newest checkpoint; undefined while there is none. */
  info(): LedgerInfo | undefined {
    const { checkpoint, vkey } = this.#book.ledger;
    return checkpoint === undefined ? undefined : { vkey, checkpoint };
  }

  /** Every verifier key that the log ever had, oldest first, one a line. */
  vkeys(): string {
    return linesOf(this.#book.ledger.vkeys);
  }

  /** The same, after the keys of logs that were there before this one was begun anew. */
  publishedVkeys(): string {
    const { earlierVkeys, vkeys } = this.#book.ledger;
    return linesOf([...earlierVkeys, ...vkeys]);
  }

  /**
   * A hash tile, as its path below `tile/` names it, with whether it can never change.
   * @throws VerbatimError `not_found`
   */
  async tile(path: string): Promise<{ bytes: Buffer; whole: boolean }> {
    if (!TILE.test(path)) throw new VerbatimError('not_found', 'there is no such tile');
    try {
      return { bytes: await readFile(join(this.#paths.ledger, 'tile', path)), whole: !path.includes('.p/') };
    } catch (error) {
      if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR') || isErrno(error, 'EISDIR'))
        throw new VerbatimError('not_found', 'there is no such tile');
      throw error;
    }
  }

  /** Between two sizes that were published. @throws VerbatimError `bad_request` */
  async consistency(from: number, to: number): Promise<ConsistencyProof> {
    const size = this.#publishedSize();
    if (from > to || to > size)
      throw new VerbatimError(
        'bad_request',
        `querystring: expected from <= to <= ${size}, the published size`,
      );
    const proof = await this.#book.ledger.consistency(from, to);
    return { from, to, proof: proof.map((hash) => hash.toString('base64')) };
  }

  /** All published entries of a recording with their proofs in one checkpoint, and the receipts of its heads. */
  async of(recordingId: string): Promise<RecordingEvidence> {
    const { vkey, checkpoint } = this.#book.ledger;
    if (checkpoint === undefined)
      throw new VerbatimError('evidence_unavailable', 'the ledger has no checkpoint yet');
    const size = this.#publishedSize();
    const entries = (await this.#book.of(recordingId)).filter(({ index }) => index < size);
    const receipts = await receiptsOf(this.#db, recordingId);
    return {
      recordingId,
      vkey,
      entries: await Promise.all(
        entries.slice(0, MAX_ENTRIES).map(async ({ index, bytes }) => ({
          index,
          entry: bytes.toString('base64'),
          proof: await this.#book.ledger.proof(index, checkpoint),
        })),
      ),
      receipts: receipts.map(({ epoch, seq, head, note }) => ({ epoch, seq, head, note })),
    };
  }

  /** An entry with its proof in this checkpoint: for bundles, whose checkpoint is the opening's. */
  async proven(index: number, checkpoint: string): Promise<Proven> {
    const { ledger } = this.#book;
    return { index, bytes: await ledger.entry(index), proof: await ledger.proof(index, checkpoint) };
  }

  /** Whether a head is of a log that was given up, so that nothing can be proven against it any more. */
  isGivenUp(checkpoint: string): boolean {
    const { earlierVkeys } = this.#book.ledger;
    if (earlierVkeys.length === 0) return false;
    try {
      openNote(checkpoint, earlierVkeys.map(openVerifier));
      return true;
    } catch (error) {
      if (error instanceof LedgerError) return false;
      throw error;
    }
  }

  /** @throws VerbatimError `corrupt` */
  async opening(recordingId: string): Promise<Opening | undefined> {
    return readOpening(this.#paths, recordingId);
  }

  /**
   * What takes the head after block `after` of a journal to its last head; no audio and no key.
   * @throws VerbatimError `not_found` when there is no such journal, `unavailable` when too many are being read
   */
  async chain(recordingId: string, epoch: number, after: number): Promise<JournalChain> {
    try {
      const path = this.#paths.journal(recordingId, epoch);
      const chain = await this.#chains.run(() => lightChain(path, { after }));
      return { epoch, after, blocks: chain.blocks.toString('base64') };
    } catch (error) {
      if (isErrno(error, 'ENOENT')) throw new VerbatimError('not_found', 'there is no such journal');
      throw error;
    }
  }

  #publishedSize(): number {
    const { checkpoint } = this.#book.ledger;
    if (checkpoint === undefined) return 0;
    return parseCheckpoint(noteText(checkpoint)).size;
  }
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
