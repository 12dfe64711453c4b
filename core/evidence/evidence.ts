import type { HeadReceipt, JournalState, LedgerInfo } from '#protocol';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import type { Database } from '../db/index.ts';
import type { ReceiptParties } from '../db/receipts.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { owedFailures, setEntryIndex } from '../db/recordings.ts';
import type { Alarms, Log } from './alarms.ts';
import type { LedgerPort } from './book.ts';
import { Book } from './book.ts';
import type { CallFacts, ConsentFacts, JournalHead } from './calls.ts';
import { CallEntries } from './calls.ts';
import { FinalEntries } from './finish.ts';
import { Mismatches } from './mismatch.ts';
import { Reading } from './reading.ts';
import type { RunningHead } from './receipts.ts';
import { Receipts } from './receipts.ts';
import { Salts } from './salts.ts';

export interface EvidenceOptions {
  db: Database;
  paths: DataPaths;
  ledger: LedgerPort;
  alarms: Alarms;
  log: Log;
  /** Keeps the verifier that bundles carry and answers its SHA-256 (hex); null when this server has none. */
  verifier?: () => Promise<string | null>;
  /** How often owed entries are looked for; for tests. */
  sweepMs?: number;
  /** How long one entry is waited for; for tests. */
  timeoutMs?: number;
}

/** What a call asks of the evidence. */
export type CallEvidence = Pick<
  Evidence,
  'assertWritable' | 'consent' | 'callStarted' | 'callEnded' | 'info'
>;
/** What a recording asks of the evidence. */
export type FinishEvidence = Pick<Evidence, 'final' | 'failed' | 'acknowledged' | 'heads'>;

const SWEEP_MS = 10_000;
const SWEEP_ROWS = 500;

/**
 * What is entered about calls and recordings, signed for their parties, and read back. It owns no file but the salts
 * and openings; the ledger is given to it and outlives it.
 */
export class Evidence {
  readonly alarms: Alarms;
  readonly salts: Salts;
  readonly reading: Reading;
  readonly mismatches: Mismatches;
  readonly #db: Database;
  readonly #log: Log;
  readonly #book: Book;
  readonly #calls: CallEntries;
  readonly #finals: FinalEntries;
  readonly #receipts: Receipts;
  readonly #timer: NodeJS.Timeout;
  /** Work that `close` waits for. */
  readonly #running = new Set<Promise<unknown>>();
  #sweeping: Promise<number> | undefined;
  #closed = false;

  constructor(options: EvidenceOptions) {
    const { db, paths, ledger, alarms, log } = options;
    this.#db = db;
    this.#log = log;
    this.alarms = alarms;
    this.salts = new Salts(paths);
    this.#book = new Book(ledger, alarms, options.timeoutMs);
    this.reading = new Reading({ db, paths, book: this.#book });
    this.mismatches = new Mismatches({ paths, book: this.#book, alarms });
    this.#calls = new CallEntries({ db, book: this.#book, salts: this.salts, alarms, log });
    this.#receipts = new Receipts({ db, book: this.#book, log });
    const verifier = options.verifier ?? (async () => null);
    this.#finals = new FinalEntries({ db, paths, book: this.#book, salts: this.salts, alarms, verifier });
    this.#timer = setInterval(() => void this.sweep().catch(() => undefined), options.sweepMs ?? SWEEP_MS);
    this.#timer.unref();
  }

  /** The log's key and newest checkpoint, for clients to keep; undefined while there is none. */
  info(): LedgerInfo | undefined {
    return this.reading.info();
  }

  /** @throws VerbatimError `evidence_unavailable`, before a secure call takes anything */
  assertWritable(): void {
    if (this.#closed) throw new VerbatimError('shutting_down');
    this.#book.assertWritable();
  }

  /**
   * Enters one side's consent. Resolves with its index when it is durable: nothing that follows from it may come before.
   * @throws VerbatimError `evidence_unavailable`, `shutting_down`
   */
  async consent(call: CallFacts, facts: ConsentFacts): Promise<number> {
    this.assertWritable();
    return this.#track(this.#calls.consent(call, facts));
  }

  /** Both sides are recorded from this head on. Never rejects. */
  callStarted(call: CallFacts, journal: JournalHead): Promise<void> {
    return this.#track(this.#calls.started(call, journal));
  }

  /** The call's row is ended and its recording is settled. Never rejects; what fails is swept. */
  callEnded(callId: string): Promise<void> {
    return this.#track(this.#calls.ended(callId));
  }

  /**
   * Everything between a sealed file and Available. Answers the index of `rec.final`; null for a call of before the
   * ledger, which has no consents in it.
   * @throws VerbatimError `evidence_unavailable`: ask again later; `corrupt`: it can never be proven
   */
  async final(row: RecordingRow): Promise<number | null> {
    if (row.report === null)
      throw new VerbatimError('internal', 'a recording without report cannot be final');
    if (!(await this.#isInLedger(row))) return null;
    return this.#track(this.#finals.final(row, row.report));
  }

  /**
   * Enters why there is no recording, and notes where. Nothing of calls of before the ledger, and of calls that nobody
   * was recorded in. Never rejects: what fails is owed and swept.
   */
  async failed(row: RecordingRow, journals?: readonly JournalState[]): Promise<void> {
    await this.#track(
      this.#failed(row, journals).catch((error: unknown) => {
        this.#log.warn(
          { recordingId: row.recordingId, err: error },
          'a failure could not be entered and is owed',
        );
      }),
    );
  }

  /** The heads of this recording that left the server: what its journals must hold. */
  acknowledged(recordingId: string): Promise<JournalHead[]> {
    return this.#receipts.acknowledged(recordingId);
  }

  /** Signs heads of captures that run and tells the parties. Never rejects. */
  heads(heads: readonly RunningHead[]): Promise<void> {
    return this.#closed ? Promise.resolve() : this.#track(this.#receipts.heads(heads));
  }

  /** Called with each receipt that was signed and stored, and with those whom it goes to. */
  onReceipt(tell: (receipt: HeadReceipt, parties: ReceiptParties) => void): void {
    this.#receipts.on('receipt', tell);
  }

  /** Enters what is owed after a crash or an outage. Answers how many entries; rejects when the ledger takes none. */
  sweep(): Promise<number> {
    this.#sweeping ??= this.#track(this.#sweep()).finally(() => {
      this.#sweeping = undefined;
    });
    return this.#sweeping;
  }

  /** Takes no more, and waits for what is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await Promise.allSettled(this.#running);
  }

  async #sweep(): Promise<number> {
    if (this.#closed) return 0;
    await this.#book.lookAfter();
    let count = await this.#calls.sweep();
    for (const row of await owedFailures(this.#db, SWEEP_ROWS)) {
      if (this.#closed) return count;
      try {
        await this.#failed(row);
        count += 1;
      } catch (error) {
        if (error instanceof VerbatimError && error.code === 'evidence_unavailable') throw error;
        this.#log.warn(
          { recordingId: row.recordingId, err: error },
          'a failure could not be entered and is owed',
        );
      }
    }
    return count;
  }

  async #failed(row: RecordingRow, journals?: readonly JournalState[]): Promise<void> {
    if (row.entryIndex !== null || !(await this.#isInLedger(row))) return;
    if (row.endedAt === null && !(await this.#wasActive(row.callId))) return;
    const index = await this.#finals.failed(row, journals);
    // Crash here: the same entry is found by what it says.
    await setEntryIndex(this.#db, row.recordingId, index);
  }

  /** The row alone is no evidence: a call that the ledger knows is entered to its end, whatever the row says. */
  async #isInLedger({ callId, recordingId }: RecordingRow): Promise<boolean> {
    const rows = await this.#db.sql`select 1 from calls where id = ${callId} and evidence <> 'none'`;
    return rows.length > 0 || (await this.#book.of(recordingId)).length > 0;
  }

  async #wasActive(callId: string): Promise<boolean> {
    const rows = await this.#db.sql`select 1 from calls where id = ${callId} and active_at is not null`;
    return rows.length > 0;
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
    // Whoever asked hears the rejection; this is only the note of it.
    tracked.catch(() => undefined);
    return tracked;
  }
}
