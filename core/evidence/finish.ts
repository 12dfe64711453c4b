import { createHash } from 'node:crypto';
import type { JsonObject } from '#ledger';
import { commitment, mark, partyMark } from '#ledger';
import type { JournalState, Side } from '#protocol';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { listJournals, mkdirDurable, verifyJournal } from '#store';
import { consentsOf } from '../db/consents.ts';
import type { Database } from '../db/index.ts';
import { receiptsOf } from '../db/receipts.ts';
import type { RecordingRow } from '../db/recordings.ts';
import type { Alarms } from './alarms.ts';
import type { Book, Entered, FoundEntry } from './book.ts';
import { SERVER } from './book.ts';
import type { FinaliseReport } from './coverage.ts';
import { coverageOf, coverageSha256, MAX_ENTRY_SPANS, summaryOf } from './coverage.ts';
import type { Opening } from './opening.ts';
import { writeOpening } from './opening.ts';
import type { Salts } from './salts.ts';
import { RECORDING_FILE, signedVcon } from './vcon.ts';

/** Journals that one entry names; the coverage report names them all. */
export const MAX_ENTRY_JOURNALS = 64;
const MAX_DETAIL_CHARS = 500;
/** Reasons that mean: stored data contradicts what was acknowledged or entered before. */
const FAULTS: ReadonlySet<string> = new Set([
  'rollback_journal',
  'corrupt_journal',
  'missing_journal',
  'evidence_lost',
]);

/** What the last steps need of the rest of the evidence. */
export interface FinishParts {
  db: Database;
  paths: DataPaths;
  book: Book;
  salts: Salts;
  alarms: Alarms;
  /** Keeps the verifier that bundles carry and answers its SHA-256 (hex); null when this server has none. */
  verifier: () => Promise<string | null>;
}

/**
 * The last entries of a recording. Every step does nothing twice, so a crash anywhere is answered by asking again.
 */
export class FinalEntries {
  readonly #parts: FinishParts;

  constructor(parts: FinishParts) {
    this.#parts = parts;
  }

  /**
   * From a sealed file to one that may be Available: `rec.recovered` where files had to be brought to their end,
   * `rec.final`, a checkpoint that covers it, the opening. Answers the index of `rec.final`.
   * @throws VerbatimError `evidence_unavailable`: ask again later; `corrupt`: it can never be proven
   */
  async final(row: RecordingRow, report: FinaliseReport): Promise<number> {
    try {
      const index = await this.#final(row, report);
      await this.#parts.alarms.clear('recording_fault', row.recordingId);
      return index;
    } catch (error) {
      if (error instanceof VerbatimError && error.code === 'corrupt')
        await this.#parts.alarms.raise('recording_fault', row.recordingId, error.message);
      throw error;
    }
  }

  /**
   * Enters that there is no recording, and why. Answers the entry's index.
   * @throws VerbatimError `evidence_unavailable`: it stays owed
   */
  async failed(row: RecordingRow, journals?: readonly JournalState[]): Promise<number> {
    const { book, alarms, paths } = this.#parts;
    const { recordingId, callId } = row;
    const reason = row.reason ?? 'unknown';
    if (FAULTS.has(reason)) await alarms.raise('recording_fault', recordingId, row.detail ?? reason);
    const states = journals ?? (await this.#journalsOf(recordingId));
    const d = {
      call: callId,
      reason,
      // Both parties may read it, for ever: where the server keeps its data is not their business.
      detail: (row.detail ?? '').replaceAll(`${paths.dataDir}/`, '').slice(0, MAX_DETAIL_CHARS),
      journals: states.slice(0, MAX_ENTRY_JOURNALS).map(journalState),
    };
    const { index } = await this.#enterNext(row, 'rec.failed', d, await book.of(recordingId));
    return index;
  }

  async #final(row: RecordingRow, report: FinaliseReport): Promise<number> {
    const { book, salts } = this.#parts;
    const { recordingId } = row;
    const { sha512, crc32, hdr } = report;
    if (sha512 === undefined || crc32 === undefined || hdr === undefined)
      throw new VerbatimError('corrupt', 'the report of the sealed file lacks its SHA-512, CRC-32 or header');
    const salt = await salts.read(recordingId);
    const entries = await book.of(recordingId);
    const consents = { caller: consentIn(entries, 'caller'), callee: consentIn(entries, 'callee') };
    assertPeople(row, salt, consents);
    if (report.recovered !== undefined && report.recovered.length > 0) {
      const d = {
        why: row.reason ?? 'unknown',
        journals: report.recovered.slice(0, MAX_ENTRY_JOURNALS).map(journalState),
      };
      await this.#enterNext(row, 'rec.recovered', d, entries);
    }
    const coverage = coverageOf(row, report);
    const sealed = {
      pay: { sizeBytes: report.paySizeBytes, sha256: report.paySha256 },
      hdr: { sizeBytes: hdr.sizeBytes, sha256: hdr.sha256 },
      coverageSha256: coverageSha256(coverage),
      commitment: commitment(salt, Buffer.from(report.sha256, 'hex'), Buffer.from(sha512, 'hex')),
    };
    const final = await book.enter({
      t: 'rec.final',
      id: 'rec.final',
      recordingId,
      actor: SERVER,
      d: {
        call: coverage.call,
        startedAt: coverage.startedAt,
        endedAt: coverage.endedAt,
        durationMs: coverage.durationMs,
        consents: [consents.caller.hash.toString('hex'), consents.callee.hash.toString('hex')],
        legs: coverage.legs.map((leg) => ({
          ...leg,
          gaps: summaryOf(leg.gaps),
          mutes: summaryOf(leg.mutes),
        })),
        holes: coverage.holes.slice(0, MAX_ENTRY_SPANS),
        endReason: coverage.endReason,
        truncated: coverage.truncated,
        combined: coverage.combined,
        format: coverage.format,
        journals: coverage.journals.slice(0, MAX_ENTRY_JOURNALS),
        ...sealed,
      },
    });
    // Crash here: the entry is found by its id. It must be about this very file, or one of the two is not genuine.
    if (!final.fresh) assertSame(final, sealed);
    const checkpoint = await book.covered(final.index);
    // Crash here: the opening is written again; a later checkpoint covers the entry as well.
    await writeOpening(this.#parts.paths, {
      v: 1,
      recording: recordingId,
      call: row.callId,
      app: row.appId,
      chat: row.chatId,
      caller: row.callerId,
      callee: row.calleeId,
      sizeBytes: report.sizeBytes,
      sha256: report.sha256,
      sha512,
      crc32,
      format: report.format,
      coverage,
      entries: {
        consentCaller: consents.caller.index,
        consentCallee: consents.callee.index,
        final: final.index,
      },
      checkpoint,
      // From here on the row of a receipt may be lost or changed without changing the bundle.
      receipts: (await receiptsOf(this.#parts.db, recordingId)).map(({ epoch, note }) => ({ epoch, note })),
      disclosures: await this.#disclosures(row.callId, consents),
      vcon: signedVcon(
        {
          recordingId,
          callId: row.callId,
          caller: row.callerId,
          callee: row.calleeId,
          sha512,
          coverage,
          file: RECORDING_FILE,
        },
        book.ledger.jwsSigner(),
      ).toString('utf8'),
      verifier: await this.#parts.verifier(),
    });
    return final.index;
  }

  /** The texts come from the database, which is no evidence: each must hash to what its consent says. */
  async #disclosures(
    callId: string,
    consents: Readonly<Record<Side, FoundEntry>>,
  ): Promise<Opening['disclosures']> {
    const rows = await consentsOf(this.#parts.db, callId);
    const textOf = (side: Side): Opening['disclosures']['caller'] => {
      const row = rows.find((each) => each.side === side);
      const hash = row && createHash('sha256').update(row.text).digest('hex');
      if (row === undefined || hash !== disclosureOf(consents[side]))
        throw new VerbatimError('corrupt', `the text that the ${side} agreed to is not in the database`);
      return { locale: row.locale, version: row.version, text: row.text };
    };
    return { caller: textOf('caller'), callee: textOf('callee') };
  }

  /** `<type>.<n>`: another one only when it says something else than the last one did. */
  async #enterNext(
    { recordingId }: RecordingRow,
    t: 'rec.recovered' | 'rec.failed',
    d: JsonObject,
    entries: readonly FoundEntry[],
  ): Promise<{ index: number }> {
    const before = entries.filter(({ entry }) => entry.t === t);
    const last = before.at(-1);
    if (last !== undefined && JSON.stringify(last.entry.d) === JSON.stringify(d)) return last;
    return this.#parts.book.enter({ t, id: `${t}.${before.length + 1}`, recordingId, actor: SERVER, d });
  }

  /** From the files, without any key, held against the heads that left the server. */
  async #journalsOf(recordingId: string): Promise<JournalState[]> {
    const { paths, db } = this.#parts;
    const receipts = await receiptsOf(db, recordingId);
    const states: JournalState[] = [];
    await mkdirDurable(paths.journals);
    for (const { epoch, path } of await listJournals(paths.journals, recordingId)) {
      const receipt = receipts.find((each) => each.epoch === epoch);
      const { seq, head, status, goodBytes, sizeBytes } = await verifyJournal(
        path,
        receipt === undefined ? {} : { acknowledged: { seq: receipt.seq, head: receipt.head } },
      );
      states.push({ epoch, seq, head, status, goodBytes, tailBytes: sizeBytes - goodBytes });
    }
    return states;
  }
}

function consentIn(entries: readonly FoundEntry[], side: Side): FoundEntry {
  const found = entries.find(({ entry }) => entry.t === 'call.consent' && entry.id === `consent.${side}`);
  if (found === undefined) throw new VerbatimError('corrupt', `the ${side}’s consent is not in the ledger`);
  return found;
}

/** The row names people; the consents say who they were. One that was changed must not become an opening. */
function assertPeople(row: RecordingRow, salt: Buffer, consents: Readonly<Record<Side, FoundEntry>>): void {
  for (const [side, userId] of [
    ['caller', row.callerId],
    ['callee', row.calleeId],
  ] as const) {
    const { d } = consents[side].entry;
    const same =
      d.call === row.callId &&
      d.app === row.appId &&
      d.chat === mark(salt, 'chat', row.chatId) &&
      d.party === partyMark(salt, userId);
    if (!same) throw new VerbatimError('corrupt', `the row is of another call or ${side} than the consent`);
  }
}

function disclosureOf({ entry }: FoundEntry): string | undefined {
  const { disclosure } = entry.d;
  if (typeof disclosure !== 'object' || disclosure === null || !('sha256' in disclosure)) return undefined;
  return typeof disclosure.sha256 === 'string' ? disclosure.sha256 : undefined;
}

/** An entry of before that says other hashes than the file has now. */
function assertSame({ bytes }: Entered, sealed: Record<string, unknown>): void {
  const value: unknown = JSON.parse(bytes.toString());
  const d: unknown = typeof value === 'object' && value !== null && 'd' in value ? value.d : undefined;
  if (typeof d === 'object' && d !== null) {
    const entered = new Map<string, unknown>(Object.entries(d));
    const differing = Object.keys(sealed).filter(
      (key) => JSON.stringify(entered.get(key)) !== JSON.stringify(sealed[key]),
    );
    if (differing.length === 0) return;
    throw new VerbatimError('corrupt', `rec.final was entered with another ${differing.join(', ')}`);
  }
  throw new VerbatimError('corrupt', 'rec.final has no body');
}

function journalState({ epoch, seq, head, status, goodBytes, tailBytes }: JournalState): JournalState {
  return { epoch, seq, head, status, goodBytes, tailBytes };
}
