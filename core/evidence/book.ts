import type { Entry, JsonObject } from '#ledger';
import { LedgerError, leafHash, parseCheckpoint, parseEntry } from '#ledger';
import { VerbatimError } from '#protocol';
import type { Ledger } from '#store';
import type { AlarmKind, Alarms } from './alarms.ts';

/** What evidence asks of the ledger. */
export type LedgerPort = Pick<
  Ledger,
  | 'append'
  | 'covered'
  | 'checkpoint'
  | 'vkey'
  | 'vkeys'
  | 'earlierVkeys'
  | 'trouble'
  | 'origin'
  | 'state'
  | 'entry'
  | 'entriesOf'
  | 'isPending'
  | 'consistency'
  | 'proof'
  | 'sign'
  | 'jwsSigner'
>;

/** What is entered about one recording; the ledger adds time, boot and the hash of the entry before. */
export interface NewEntry {
  t: Entry['t'];
  id: string;
  recordingId: string;
  actor: JsonObject;
  d: JsonObject;
}

export interface Entered {
  index: number;
  /** RFC 6962 leaf hash. */
  hash: Buffer;
  /** The exact bytes that were hashed: of the first one, when this was entered before. */
  bytes: Buffer;
  /** False when the ledger had it already. */
  fresh: boolean;
}

export interface FoundEntry {
  index: number;
  bytes: Buffer;
  hash: Buffer;
  entry: Entry;
}

/** Nobody waits longer for a disk that hangs: past it the step counts as not done, and is done again later. */
export const ENTER_TIMEOUT_MS = 5_000;
/** A checkpoint comes within a second; past this time the ledger is stuck. */
const COVER_TIMEOUT_MS = 15_000;

export const SERVER: JsonObject = { kind: 'server' };

/**
 * The pages of the ledger that are about recordings. Entering is idempotent by recording and id. Every refusal raises
 * the alarm that the next success takes back.
 */
export class Book {
  readonly ledger: LedgerPort;
  readonly #alarms: Alarms;
  readonly #timeoutMs: number;

  constructor(ledger: LedgerPort, alarms: Alarms, timeoutMs = ENTER_TIMEOUT_MS) {
    this.ledger = ledger;
    this.#alarms = alarms;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws VerbatimError `evidence_unavailable` when the ledger takes no entries */
  assertWritable(): void {
    const { state } = this.ledger;
    if (state.mode === 'read-only')
      throw new VerbatimError('evidence_unavailable', `the ledger is read-only: ${state.problem}`);
  }

  /**
   * Resolves when the entry is durable. One that was on its way when the time was up may still be entered; it is found
   * by its id when it is tried again.
   * @throws VerbatimError `evidence_unavailable`; `corrupt` for an entry that can never be made
   */
  async enter({ recordingId, ...entry }: NewEntry): Promise<Entered> {
    try {
      const entered = await inTime(
        this.ledger.append({ ...entry, sub: subjectOf(recordingId) }),
        this.#timeoutMs,
        'the ledger did not take an entry in time',
      );
      await this.#alarms.clear('ledger_unwritable', 'log');
      return entered;
    } catch (error) {
      if (error instanceof LedgerError)
        throw new VerbatimError('corrupt', `${entry.t} of ${recordingId}: ${error.message}`, {
          cause: error,
        });
      throw await this.#unavailable('ledger_unwritable', error);
    }
  }

  /**
   * A file that an entry stands on, within the time of an entry. Work that was on its way when the time was up goes on.
   * @throws VerbatimError `evidence_unavailable`; `corrupt` when that is what is wrong with it
   */
  async before<T>(work: Promise<T>): Promise<T> {
    try {
      return await inTime(work, this.#timeoutMs, 'the disk did not take what an entry stands on in time');
    } catch (error) {
      if (error instanceof VerbatimError && error.code === 'corrupt') throw error;
      throw await this.#unavailable('ledger_unwritable', error);
    }
  }

  /** A checkpoint that covers the entry, as signed note. @throws VerbatimError `evidence_unavailable` */
  async covered(index: number): Promise<string> {
    try {
      const waiting = this.ledger.covered(index);
      const note = await inTime(waiting, COVER_TIMEOUT_MS, 'the ledger published no checkpoint in time');
      if (parseCheckpoint(noteText(note)).size <= index)
        throw new Error('the newest checkpoint is older than the entry');
      await this.#alarms.clear('ledger_unpublished', 'log');
      return note;
    } catch (error) {
      throw await this.#unavailable('ledger_unpublished', error);
    }
  }

  /** Takes back the alarm of a disk that failed for a while; damage stays until a start finds the files sound. */
  async lookAfter(): Promise<void> {
    const { state, trouble } = this.ledger;
    if (state.mode === 'writable' && trouble === undefined) await this.#alarms.clear('ledger_fault', 'log');
  }

  /**
   * That no entry of this recording is still on its way, so that what `of` answers is all there will be without another
   * `enter`. @throws VerbatimError `evidence_unavailable`
   */
  assertSettled(recordingId: string): void {
    if (this.ledger.isPending(subjectOf(recordingId)))
      throw new VerbatimError('evidence_unavailable', `an entry of ${recordingId} waits for the disk`);
  }

  /** All entries of a recording, oldest first. */
  async of(recordingId: string): Promise<FoundEntry[]> {
    const found = await this.ledger.entriesOf(subjectOf(recordingId));
    return found.map(({ index, bytes }) => ({
      index,
      bytes,
      hash: leafHash(bytes),
      entry: parseEntry(bytes),
    }));
  }

  async #unavailable(kind: AlarmKind, error: unknown): Promise<VerbatimError> {
    const reason = error instanceof Error ? error.message : String(error);
    await this.#alarms.raise(kind, 'log', reason);
    return error instanceof VerbatimError && error.code === 'evidence_unavailable'
      ? error
      : new VerbatimError('evidence_unavailable', reason, { cause: error });
  }
}

/** The text of a signed note, its last newline included, without the signatures. */
export function noteText(note: string): string {
  return note.slice(0, note.lastIndexOf('\n\n') + 1);
}

export function subjectOf(recordingId: string): string {
  return `rec:${recordingId}`;
}

/** The work goes on when the time is up; only the waiting ends. */
export async function inTime<T>(work: Promise<T>, timeoutMs: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
