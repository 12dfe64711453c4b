import { mark, partyMark } from '#ledger';
import type { Consent, Side } from '#protocol';
import { VerbatimError } from '#protocol';
import type { OwedEnd } from '../db/consents.ts';
import { owedEnds, settleEnd } from '../db/consents.ts';
import type { Database } from '../db/index.ts';
import type { Alarms, Log } from './alarms.ts';
import type { Book } from './book.ts';
import { SERVER } from './book.ts';
import type { Salts } from './salts.ts';

/** What is known of a secure call when its entries are made. */
export interface CallFacts {
  callId: string;
  recordingId: string;
  appId: string;
  chatId: string;
  callerId: string;
  calleeId: string;
}

/** One side's agreement to one exact text (F35). */
export interface ConsentFacts {
  side: Side;
  device: string;
  consent: Consent;
  at: Date;
}

export interface JournalHead {
  epoch: number;
  seq: number;
  /** Hex. */
  head: string;
}

/** Ends that one look enters; the next look goes on. */
const SWEEP_CALLS = 500;

/**
 * The entries of a secure call. Nobody is named in them: people, devices and chats appear under the recording's salt.
 */
export class CallEntries {
  readonly #db: Database;
  readonly #book: Book;
  readonly #salts: Salts;
  readonly #alarms: Alarms;
  readonly #log: Log;
  /** Starts that are being entered, or could not be: tried again with the end. One for each running call at most. */
  readonly #starts = new Map<string, { call: CallFacts; journal: JournalHead; entering: Promise<unknown> }>();

  constructor(parts: { db: Database; book: Book; salts: Salts; alarms: Alarms; log: Log }) {
    this.#db = parts.db;
    this.#book = parts.book;
    this.#salts = parts.salts;
    this.#alarms = parts.alarms;
    this.#log = parts.log;
  }

  /**
   * Enters a consent; resolves with its index when it is durable, and only then may anything follow from it. A crash
   * right after it leaves a consent whose call ends at the next start.
   * @throws VerbatimError `evidence_unavailable`
   */
  async consent(call: CallFacts, { side, device, consent, at }: ConsentFacts): Promise<number> {
    this.#book.assertWritable();
    const salt = await this.#book.before(this.#salts.prepare(call.recordingId));
    const party = partyMark(salt, side === 'caller' ? call.callerId : call.calleeId);
    const { index } = await this.#book.enter({
      t: 'call.consent',
      id: `consent.${side}`,
      recordingId: call.recordingId,
      actor: { kind: 'party', party },
      d: {
        call: call.callId,
        app: call.appId,
        chat: mark(salt, 'chat', call.chatId),
        side,
        action: side === 'caller' ? 'start' : 'accept',
        party,
        device: mark(salt, 'device', device),
        disclosure: {
          sha256: consent.disclosureSha256,
          version: consent.disclosureVersion,
          locale: consent.locale,
        },
        at: at.toISOString(),
      },
    });
    return index;
  }

  /**
   * Both sides are recorded and hear each other from now on. Nobody waits for this entry: what made the call lawful is
   * entered already, and what was heard is in the journal that it names. Never rejects.
   */
  async started(call: CallFacts, journal: JournalHead): Promise<void> {
    const start = { call, journal, entering: Promise.resolve<unknown>(undefined) };
    this.#starts.set(call.recordingId, start);
    const entering = this.#enterStart(call, journal);
    start.entering = entering;
    await entering;
  }

  /**
   * The call is over: enters its end, and destroys the salt of a call that nobody was recorded in. Call it when the
   * call's row is ended and its recording settled. Never rejects: what fails stays owed and is swept.
   */
  async ended(callId: string): Promise<void> {
    try {
      for (const owed of await owedEnds(this.#db, 1, callId)) await this.#settle(owed);
    } catch (error) {
      this.#log.warn({ callId, err: error }, 'the end of a call could not be entered and is owed');
    }
  }

  /** Enters the ends that are owed, after a crash or an outage. Answers how many; stops at the first refusal. */
  async sweep(): Promise<number> {
    let settled = 0;
    for (const owed of await owedEnds(this.#db, SWEEP_CALLS)) {
      try {
        if (await this.#settle(owed)) settled += 1;
      } catch (error) {
        if (error instanceof VerbatimError && error.code === 'evidence_unavailable') throw error;
        // One that cannot be settled must not keep the others from it.
        await this.#alarms.raise('recording_fault', owed.recordingId, problemOf(error));
      }
    }
    return settled;
  }

  async #enterStart(call: CallFacts, journal: JournalHead): Promise<void> {
    const { recordingId, callId } = call;
    try {
      const salt = await this.#salts.read(recordingId);
      await this.#book.enter({
        t: 'call.start',
        id: 'call.start',
        recordingId,
        actor: SERVER,
        d: {
          call: callId,
          caller: partyMark(salt, call.callerId),
          callee: partyMark(salt, call.calleeId),
          journal: { epoch: journal.epoch, seq: journal.seq, head: journal.head },
        },
      });
      this.#starts.delete(recordingId);
    } catch (error) {
      this.#log.warn({ callId, err: error }, 'the start of a call could not be entered yet');
    }
  }

  /** False when the recording is not settled yet. Every step may be repeated after a crash. */
  async #settle(owed: OwedEnd): Promise<boolean> {
    const { callId, recordingId, endReason, endedAt, activeAt } = owed;
    // A disk that hangs may still bring a salt that was given up waiting for: then it must be there to be destroyed.
    if (owed.recordingState === 'armed' || this.#salts.isPreparing(recordingId)) return false;
    await this.#enterOwedStart(recordingId);
    // A consent that was given up waiting for may still come; then its call has an end.
    this.#book.assertSettled(recordingId);
    const entries = await this.#book.of(recordingId);
    // A call that was refused before the caller's consent was durable left nothing that could have an end.
    if (entries.some(({ entry }) => entry.t === 'call.consent')) {
      const durationMs = activeAt === null ? null : Math.max(0, endedAt.getTime() - activeAt.getTime());
      await this.#book.enter({
        t: 'call.end',
        id: 'call.end',
        recordingId,
        actor: SERVER,
        d: { call: callId, reason: endReason, at: endedAt.toISOString(), durationMs },
      });
    }
    // Crash here: the end is found by its id, and the salt goes then.
    if (!wasHeard(owed)) await this.#salts.destroy(recordingId);
    this.#starts.delete(recordingId);
    await settleEnd(this.#db, callId);
    return true;
  }

  async #enterOwedStart(recordingId: string): Promise<void> {
    const start = this.#starts.get(recordingId);
    if (start === undefined) return;
    await start.entering;
    if (this.#starts.has(recordingId)) await this.#enterStart(start.call, start.journal);
  }
}

const problemOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether anybody's words can be in the recording: then its salt lives as long as the recording does. */
function wasHeard({ recordingState, recordingEndedAt, activeAt }: OwedEnd): boolean {
  if (activeAt !== null) return true;
  if (recordingState === null) return false;
  return recordingState !== 'failed' || recordingEndedAt !== null;
}
