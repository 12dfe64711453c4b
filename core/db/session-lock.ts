import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import type { Log } from './log.ts';

export interface SessionLockOptions {
  url: string;
  /** The advisory lock's key. */
  key: number;
  log: Pick<Log, 'warn'>;
  /** How long to wait for another session to let go. */
  waitMs: number;
  /** The lock was lost with its connection and another session has it now. Called once at most. */
  onTaken: () => void;
}

const POLL_MS = 200;
/** A session of ours whose connection broke has ended this long after it was told to. */
const OWN_SESSION_MS = 1_000;
const CONNECT_TIMEOUT_S = 10;
const CLOSE_TIMEOUT_S = 2;
/** A peer that vanished without a word is noticed by TCP's own questions, the first after this. */
const KEEP_ALIVE_S = 10;

/**
 * An advisory lock of PostgreSQL (its documentation, 13.3.5) on a connection of its own. The server frees it when
 * that connection ends, whatever the reason; then it is taken again before anything else, or `onTaken` is told.
 */
export class SessionLock {
  readonly #options: SessionLockOptions;
  /** Tells the sessions of this lock from those of every other process. */
  readonly #name = `verbatim-lock-${randomBytes(8).toString('hex')}`;
  readonly #sql: postgres.Sql;
  #held = false;
  /** Connections that ended so far. */
  #ends = 0;
  #retaking: Promise<void> | undefined;
  #releasing: Promise<void> | undefined;

  private constructor(options: SessionLockOptions) {
    this.#options = options;
    this.#sql = postgres(options.url, {
      max: 1,
      // Never closed for its age: the lock would go with it.
      max_lifetime: null,
      keep_alive: KEEP_ALIVE_S,
      connect_timeout: CONNECT_TIMEOUT_S,
      fetch_types: false,
      connection: { application_name: this.#name },
      onnotice: () => undefined,
      onclose: () => this.#ended(),
    });
  }

  /** Undefined when another session holds the lock all the time. Rejects with the driver's error. */
  static async take(options: SessionLockOptions): Promise<SessionLock | undefined> {
    const lock = new SessionLock(options);
    const until = performance.now() + options.waitMs;
    try {
      while (!(await lock.#try())) {
        if (performance.now() > until) {
          await lock.release();
          return undefined;
        }
        await delay(POLL_MS);
      }
      return lock;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Lets go by closing the connection, also when the server does not answer. Idempotent. */
  release(): Promise<void> {
    this.#releasing ??= (async () => {
      await this.#sql.end({ timeout: CLOSE_TIMEOUT_S });
      await this.#retaking;
    })();
    return this.#releasing;
  }

  async #try(): Promise<boolean> {
    const ends = this.#ends;
    const [row] = await this.#sql<
      { locked: boolean }[]
    >`select pg_try_advisory_lock(${this.#options.key}) as locked`;
    // The connection may be gone already, and the lock with it.
    this.#held = row?.locked === true && ends === this.#ends;
    return this.#held;
  }

  #ended(): void {
    this.#ends += 1;
    if (!this.#held || this.#releasing !== undefined) return;
    this.#held = false;
    this.#retaking ??= this.#retake().finally(() => {
      this.#retaking = undefined;
    });
  }

  async #retake(): Promise<void> {
    const { log, onTaken } = this.#options;
    let takenMs: number | undefined;
    for (let told = false; this.#releasing === undefined; ) {
      try {
        // What the network cut off may live on in the server, with our lock.
        await this.#sql`
          select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = ${this.#name} and pid <> pg_backend_pid()`;
        if (await this.#try()) {
          log.warn(
            {},
            'the connection that holds the lock of the only server broke; the lock was taken again',
          );
          return;
        }
        takenMs ??= performance.now();
        if (performance.now() - takenMs > OWN_SESSION_MS) {
          onTaken();
          return;
        }
      } catch (error) {
        // While the database is away nobody else can have the lock either.
        const message = error instanceof Error ? error.message : String(error);
        if (!told && this.#releasing === undefined)
          log.warn({ error: message }, 'the lock of the only server waits for the database');
        told = true;
      }
      if (this.#releasing === undefined) await delay(POLL_MS);
    }
  }
}
