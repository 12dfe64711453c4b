import { retentionClock, setRetentionClock } from '../db/destructions.ts';
import type { Database } from '../db/index.ts';

/** So far ahead the wall clock may be without anybody's word: a night without power, a correction by NTP. */
export const MAX_AHEAD_MS = 24 * 3_600_000;

/**
 * The time that retention goes by. A machine's clock may be set forward by years, by a person or an empty battery, and
 * nothing may be destroyed over that. So this clock runs by the monotonic one, only while the server does; it is brought
 * up to the wall clock when that is ahead by a day at most, and is never ahead of it. Recordings may therefore be kept
 * too long, and never go more than a day too early.
 */
export class RetentionClock {
  readonly #db: Database;
  readonly #wallMs: () => number;
  readonly #monoMs: () => number;
  #before: number | undefined;

  constructor(parts: { db: Database; wallMs: () => number; monoMs: () => number }) {
    this.#db = parts.db;
    this.#wallMs = parts.wallMs;
    this.#monoMs = parts.monoMs;
  }

  /** Moves on, durably. `aheadMs` is how far the wall clock is ahead, when that is more than it may be; else 0. */
  async tick(): Promise<{ at: Date; aheadMs: number }> {
    const [wallMs, monoMs] = [this.#wallMs(), this.#monoMs()];
    const known = await retentionClock(this.#db);
    const wentMs = this.#before === undefined ? 0 : Math.max(0, monoMs - this.#before);
    // The first time there is nothing older: what is on the wall is taken.
    const ranMs = known === null ? wallMs : known.getTime() + wentMs;
    const aheadMs = wallMs - ranMs;
    const next = aheadMs > MAX_AHEAD_MS ? ranMs : Math.max(wallMs, known?.getTime() ?? wallMs);
    await setRetentionClock(this.#db, new Date(next));
    this.#before = monoMs;
    // A clock that was set back counts at once: the recordings that it makes young are kept.
    return { at: new Date(Math.min(next, wallMs)), aheadMs: aheadMs > MAX_AHEAD_MS ? aheadMs : 0 };
  }

  read(): Promise<Date | null> {
    return retentionClock(this.#db);
  }

  async confirm(at: Date): Promise<void> {
    await setRetentionClock(this.#db, at);
    this.#before = this.#monoMs();
  }
}
