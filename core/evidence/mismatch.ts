import type { ReceiptFacts } from '#ledger';
import { LedgerError, openNote, openVerifier, parseReceipt } from '#ledger';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { isErrno, verifyJournal } from '#store';
import type { RecordingState } from '../db/recordings.ts';
import type { Alarms } from './alarms.ts';
import type { Book } from './book.ts';
import type { JournalHead } from './calls.ts';

/** Each reads a whole journal. */
const MAX_AT_ONCE = 2;

/**
 * A client holds a signed head that does not fit its recording. Only a receipt with this log's own signature is looked
 * into; the answer is what the server finds in its own files, and an alarm goes to its operator.
 */
export class Mismatches {
  readonly #paths: DataPaths;
  readonly #book: Book;
  readonly #alarms: Alarms;
  #running = 0;

  constructor(parts: { paths: DataPaths; book: Book; alarms: Alarms }) {
    this.#paths = parts.paths;
    this.#book = parts.book;
    this.#alarms = parts.alarms;
  }

  /**
   * True when the server, too, finds that the head is not in the journal or in the final entry.
   * @throws VerbatimError `bad_request` for a note that this log did not sign or that is about something else,
   * `recording_not_ready` while the journal is still written, `unavailable` when others are being looked into
   */
  async report(recording: { id: string; state: RecordingState }, note: string): Promise<boolean> {
    const facts = this.#receipt(note);
    if (facts.recordingId !== recording.id)
      throw new VerbatimError('bad_request', 'body/note: the receipt is about another recording');
    if (recording.state === 'armed' || recording.state === 'capturing')
      throw new VerbatimError('recording_not_ready', 'the journal is still being written');
    if (this.#running >= MAX_AT_ONCE)
      throw new VerbatimError('unavailable', 'other reports are being looked into: try again in a moment');
    this.#running += 1;
    try {
      const problem = await this.#problem(recording, facts);
      if (problem === undefined) return false;
      await this.#alarms.raise('receipt_mismatch', recording.id, problem);
      return true;
    } finally {
      this.#running -= 1;
    }
  }

  #receipt(note: string): ReceiptFacts {
    const { vkeys, origin } = this.#book.ledger;
    try {
      const { text, verified } = openNote(note, vkeys.map(openVerifier));
      const facts = parseReceipt(text);
      if (verified.length === 0 || facts.origin !== origin) throw new LedgerError('another log’s receipt');
      return facts;
    } catch (error) {
      throw new VerbatimError('bad_request', 'body/note: expected a receipt with this log’s signature', {
        cause: error,
      });
    }
  }

  async #problem(
    { id, state }: { id: string; state: RecordingState },
    receipt: JournalHead,
  ): Promise<string | undefined> {
    const { epoch, seq, head } = receipt;
    const final = (await this.#book.of(id)).find(({ entry }) => entry.t === 'rec.final');
    const journal =
      final === undefined ? undefined : journalsIn(final.entry.d).find((each) => each.epoch === epoch);
    if (final !== undefined) {
      if (journal === undefined) return `rec.final does not name epoch ${epoch}, of which a head was signed`;
      if (journal.seq < seq) return `rec.final ends epoch ${epoch} at ${journal.seq}, and ${seq} was signed`;
      if (journal.seq === seq && journal.head !== head)
        return `rec.final has another head for ${epoch}/${seq}`;
    }
    try {
      const acknowledged = { seq, head };
      const result = await verifyJournal(this.#paths.journal(id, epoch), { acknowledged });
      if (result.status === 'rollback' || result.status === 'corrupt')
        return `the journal of epoch ${epoch} does not hold the signed head ${seq}: ${result.problem ?? result.status}`;
      // Everything after the signed head belongs to the recording as well.
      if (journal !== undefined && (result.seq !== journal.seq || result.head !== journal.head))
        return `the journal of epoch ${epoch} ends at ${result.seq}, and not with the head of block ${journal.seq} in rec.final`;
      return undefined;
    } catch (error) {
      if (!isErrno(error, 'ENOENT') && !(error instanceof VerbatimError && error.code === 'not_found'))
        throw error;
      // Removal and retention take the journals along; nothing else does.
      if (state === 'removed' || state === 'expired') return undefined;
      return `the journal of epoch ${epoch}, of which a head was signed, is not there`;
    }
  }
}

function journalsIn(d: unknown): JournalHead[] {
  if (typeof d !== 'object' || d === null || !('journals' in d) || !Array.isArray(d.journals)) return [];
  const journals: unknown[] = d.journals;
  return journals.flatMap((each) => {
    if (typeof each !== 'object' || each === null) return [];
    if (!('epoch' in each) || !('seq' in each) || !('head' in each)) return [];
    const { epoch, seq, head } = each;
    if (typeof epoch !== 'number' || typeof seq !== 'number' || typeof head !== 'string') return [];
    return [{ epoch, seq, head }];
  });
}
