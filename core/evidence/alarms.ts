import type { AlarmRow } from '../db/alarms.ts';
import { clearAlarm, openAlarms, raiseAlarm } from '../db/alarms.ts';
import type { Database } from '../db/index.ts';

/** What evidence needs from a logger; pino's fits. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Each has its own remedy, and an operator's monitor may tell them apart. */
export const ALARM_KINDS = {
  /** The ledger's files disagree with each other, or with the signer's memory: it is read-only. */
  ledger_fault: 'the ledger is read-only',
  /** The ledger takes no entries; what was to be entered is owed. */
  ledger_unwritable: 'the ledger takes no entries',
  /** Entries are taken, but no checkpoint covers them: finished recordings wait. */
  ledger_unpublished: 'the ledger publishes no checkpoint',
  /** The log of who listened takes no entries, or its files disagree: nothing is listed or played. */
  access_unwritable: 'the access log takes no entries',
  /** The ledger anchors entries of the log of who listened that are not there any more. */
  access_lost: 'the access log lacks entries',
  /** Something in a recording's files does not fit what the ledger or a receipt says of them. */
  recording_fault: 'a recording does not fit its evidence',
  /** A client's receipt, signed here, is not in the journal. */
  receipt_mismatch: 'a signed head is missing from its journal',
  /** A recording that was to go could not be destroyed, or files of one that is gone came back. */
  removal_fault: 'a removal is not clean',
  /** The machine's clock is ahead of the time that went by: retention waits for somebody who knows what time it is. */
  clock_jump: 'the clock is far ahead, and retention does not follow it',
  /** The background check found a difference. */
  scrub_fault: 'stored evidence does not verify',
} as const;
export type AlarmKind = keyof typeof ALARM_KINDS;

/** Details go to the log and to the table: no secrets, no content, bounded. */
const MAX_DETAIL_CHARS = 1000;
const MAX_SHOWN = 20;

/**
 * What an operator has to look at. An alarm stays open until what it is about is well again; it is logged when it is
 * raised, and only counted after that.
 */
export class Alarms {
  readonly #db: Database;
  readonly #log: Log;
  /** Open as far as this process knows: spares the table a question for each good outcome. */
  readonly #open = new Set<string>();

  constructor(db: Database, log: Log) {
    this.#db = db;
    this.#log = log;
  }

  /** Never rejects: who raises an alarm has trouble enough. */
  async raise(kind: AlarmKind, subject: string, problem: string): Promise<void> {
    const detail = problem.slice(0, MAX_DETAIL_CHARS);
    this.#open.add(key(kind, subject));
    try {
      const { count } = await raiseAlarm(this.#db, { kind, subject, detail });
      if (count === 1) this.#log.error({ alarm: kind, subject, detail }, ALARM_KINDS[kind]);
    } catch (error) {
      this.#log.error(
        { alarm: kind, subject, detail, err: error },
        `${ALARM_KINDS[kind]} (and not in the table)`,
      );
    }
  }

  /** What it was about is well again. Costs nothing when no such alarm is open. Never rejects. */
  async clear(kind: AlarmKind, subject: string): Promise<void> {
    if (!this.#open.delete(key(kind, subject))) return;
    try {
      if (await clearAlarm(this.#db, kind, subject))
        this.#log.info({ alarm: kind, subject }, 'an alarm is over');
    } catch (error) {
      this.#open.add(key(kind, subject));
      this.#log.warn({ alarm: kind, subject, err: error }, 'an alarm could not be cleared');
    }
  }

  /** Open alarms, oldest first. Call it at the start: from then on `clear` knows those of an earlier run. */
  async list(limit = MAX_SHOWN): Promise<AlarmRow[]> {
    const rows = await openAlarms(this.#db, limit);
    for (const { kind, subject } of rows) this.#open.add(key(kind, subject));
    return rows;
  }
}

const key = (kind: string, subject: string): string => `${kind}\n${subject}`;
