import { VerbatimError } from '#protocol';
import type { HoldRow, HoldScope } from '../db/holds.ts';
import {
  holdById,
  holdsInForce,
  holdsOn,
  insertHold,
  releaseHold,
  releaseHoldFirst,
  scopeExists,
} from '../db/holds.ts';
import type { Database } from '../db/index.ts';
import type { LedgerPort } from './destroyer.ts';
import { adminActor } from './destroyer.ts';

export interface SetHold {
  /** Chosen by whoever asks, so that asking twice sets one. */
  id: string;
  appId: string;
  scope: HoldScope;
  /** The recording's, the call's or the chat's id. */
  target: string;
  reason: string;
  /** Of a case, for people. */
  reference?: string;
}

const LIST = 200;
const MAX_REASON_CHARS = 2000;

/**
 * Holds (F42): set by one admin, released by two. While one is in force, neither retention nor an order takes what it
 * names. Each step is an entry of the ledger under `hold:<id>`, which is durable before the step counts.
 */
export class Holds {
  readonly #db: Database;
  readonly #ledger: LedgerPort;
  readonly #now: () => Date;

  constructor({
    db,
    ledger,
    now = () => new Date(),
  }: { db: Database; ledger: LedgerPort; now?: () => Date }) {
    this.#db = db;
    this.#ledger = ledger;
    this.#now = now;
  }

  /**
   * In force on return.
   * @throws VerbatimError `not_found` when the app has no such thing; `conflict` for a recording that is gone or going, and
   *   for an id that another hold has; `bad_request`; `evidence_unavailable`
   */
  async set(actor: string, hold: SetHold): Promise<HoldRow> {
    const { id, appId, scope, target, reason, reference = null } = hold;
    if (reason.trim() === '' || reason.length > MAX_REASON_CHARS)
      throw new VerbatimError('bad_request', `reason: expected 1 to ${MAX_REASON_CHARS} characters`);
    if (!(await scopeExists(this.#db, hold)))
      throw new VerbatimError('not_found', `this app has no ${scope} ${target}`);
    // The row first: it keeps from now on, and a crash leaves a hold too many rather than one too few.
    const row = await insertHold(this.#db, {
      id,
      appId,
      scope,
      target,
      reason,
      reference,
      setBy: actor,
      setAt: this.#now(),
    });
    if (row === null) throw new VerbatimError('conflict', `recording ${target} is gone or is being removed`);
    if (row.appId !== appId || row.scope !== scope || row.target !== target || row.setBy !== actor)
      throw new VerbatimError('conflict', `hold ${id} is another one`);
    await this.#ledger.append({
      t: 'hold.set',
      id: 'hold.set',
      sub: `hold:${id}`,
      actor: adminActor(row.setBy),
      d: { app: appId, scope, target, reason: row.reason, reference: row.reference },
    });
    return row;
  }

  /**
   * The first admin's word asks for the release, another one's ends the hold. Who set it may be either of them. Asked again by
   * the same admin it changes nothing.
   * @throws VerbatimError `not_found`; `evidence_unavailable`
   */
  async release(actor: string, id: string, reason: string): Promise<HoldRow> {
    const row = await holdById(this.#db, id);
    if (row === null) throw new VerbatimError('not_found', 'there is no such hold');
    if (row.releasedAt !== null) return row;
    if (row.firstReleaseBy === null) {
      await this.#enterRelease(actor, id, 1, reason);
      return (await releaseHoldFirst(this.#db, id, actor, this.#now())) ?? this.#standing(id);
    }
    if (row.firstReleaseBy === actor) return row;
    await this.#enterRelease(actor, id, 2, reason);
    return (await releaseHold(this.#db, id, actor, this.#now())) ?? this.#standing(id);
  }

  /** Those in force, newest first. */
  inForce(appId?: string): Promise<HoldRow[]> {
    return holdsInForce(this.#db, LIST, appId);
  }

  /** Those in force that keep this recording. */
  on(recordingId: string): Promise<HoldRow[]> {
    return holdsOn(this.#db.sql, recordingId);
  }

  async #enterRelease(actor: string, id: string, word: 1 | 2, reason: string): Promise<void> {
    await this.#ledger.append({
      t: 'hold.release',
      // Two who ask at once for the first word are two entries, and one of them counts.
      id: `hold.release.${word}.${actor}`.slice(0, 128),
      sub: `hold:${id}`,
      actor: adminActor(actor),
      d: { word, reason: reason.slice(0, MAX_REASON_CHARS) },
    });
  }

  async #standing(id: string): Promise<HoldRow> {
    const row = await holdById(this.#db, id);
    if (row === null) throw new VerbatimError('not_found', 'there is no such hold');
    return row;
  }
}
