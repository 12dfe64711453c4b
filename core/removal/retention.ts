import { dueRecordings } from '../db/destructions.ts';
import type { Database } from '../db/index.ts';
import type { AlarmPort, Destroyer, LedgerPort, Log } from './destroyer.ts';
import { adminActor } from './destroyer.ts';
import { RetentionClock } from './retention-clock.ts';

export interface RetentionParts {
  db: Database;
  destroyer: Pick<Destroyer, 'begin' | 'run' | 'sweep'>;
  ledger: Pick<LedgerPort, 'append'>;
  alarms: AlarmPort;
  log: Log;
  /** Both clocks, for tests. */
  wallMs?: () => number;
  monoMs?: () => number;
  everyMs?: number;
}

const EVERY_MS = 3_600_000;
/** Begun in one go; the rest of many that are due at once comes in the next rounds of the same hour. */
const BATCH = 100;
/** Recordings in one hour. Whoever sets a period on an archive sees it shrink over days, and can still set a hold. */
const MAX_AN_HOUR = 2_000;

/**
 * F32: recordings go when their app's period is over; without one they stay. Looked after every hour and at the start, by a
 * clock that no step of the machine's clock moves on (RetentionClock).
 */
export class Retention {
  readonly #parts: RetentionParts;
  readonly #clock: RetentionClock;
  readonly #wallMs: () => number;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<number> | undefined;
  #closed = false;

  constructor(parts: RetentionParts) {
    const { wallMs = Date.now, monoMs = () => performance.now() } = parts;
    this.#parts = parts;
    this.#wallMs = wallMs;
    this.#clock = new RetentionClock({ db: parts.db, wallMs, monoMs });
  }

  /** Looks at once, and then every hour. */
  start(): void {
    const look = (): void =>
      void this.run().catch((error: unknown) =>
        this.#parts.log.warn({ err: error }, 'looking after old recordings failed'),
      );
    look();
    this.#timer = setInterval(look, this.#parts.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /**
   * One round: what was decided before is brought to its end, what is due goes. Answers how many recordings went.
   * @throws VerbatimError `evidence_unavailable`; what the disk or the database says
   */
  run(): Promise<number> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /**
   * An admin's word that the machine's clock is right although it is far ahead of what went by while the server ran:
   * after days without it, for one. Entered in the ledger, and retention goes by that time from then on.
   */
  async confirmClock(actor: string): Promise<void> {
    const from = await this.#clock.read();
    const to = new Date(this.#wallMs());
    await this.#parts.ledger.append({
      t: 'config.change',
      id: `retention-clock.${to.toISOString()}`,
      sub: 'log',
      actor: adminActor(actor),
      d: { what: 'retention.clock', from: from?.toISOString() ?? null, to: to.toISOString() },
    });
    await this.#clock.confirm(to);
    await this.#parts.alarms.clear('clock_jump', 'retention');
  }

  /** Idempotent; waits for a round that runs. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#running?.catch(() => undefined);
  }

  async #run(): Promise<number> {
    const { destroyer, alarms, db } = this.#parts;
    const { at, aheadMs } = await this.#clock.tick();
    if (aheadMs > 0) {
      const days = (aheadMs / 86_400_000).toFixed(1);
      const problem = `the clock is ${days} days ahead of the time that went by while the server ran: recordings expire so much later, until somebody confirms that it is right`;
      await alarms.raise('clock_jump', 'retention', problem);
    } else await alarms.clear('clock_jump', 'retention');
    await destroyer.sweep();
    let went = await destroyer.run();
    for (let looked = 0; looked < MAX_AN_HOUR && !this.#closed; ) {
      const due = await dueRecordings(db, at, BATCH);
      let begun = 0;
      for (const { recordingId, days } of due) {
        const outcome = await destroyer.begin({
          recordingId,
          cause: 'retention',
          removalId: null,
          reason: 'retention',
          actor: null,
          days,
        });
        if ('begun' in outcome) begun += 1;
      }
      looked += due.length;
      // What is not settled yet stays due, and has its turn in the next hour.
      if (begun === 0) break;
      went += await destroyer.run();
      if (due.length < BATCH) break;
    }
    return went;
  }
}
