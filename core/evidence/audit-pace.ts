import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';

export interface AuditProgress {
  doneBytes: number;
  /** As far as the folder was listed; what a server writes meanwhile comes on top. */
  totalBytes: number;
}

export interface PaceOptions {
  /** Undefined: as fast as the disk. */
  bytesPerSecond?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: AuditProgress) => void) | undefined;
  /** Milliseconds of any monotonic clock; for tests. */
  now?: (() => number) | undefined;
  wait?: ((ms: number, signal: AbortSignal | undefined) => Promise<void>) | undefined;
}

/** What was not read for a while is not caught up with: never more than this at a time above the rate. */
const BURST_MS = 100;
/** Shorter waits are saved up: each costs a turn of the event loop. */
const MIN_WAIT_MS = 25;
/** Other work gets its turn after so many bytes, also without a rate. */
const TURN_BYTES = 512 * 1024;
const PROGRESS_MS = 100;

/** Holds a reader of files to a rate, tells how far it is, and stops it. */
export class Pace {
  totalBytes = 0;
  #doneBytes = 0;
  #sinceTurn = 0;
  /** When the bytes read so far are paid for. */
  #paidMs: number;
  #toldMs = Number.NEGATIVE_INFINITY;
  readonly #options: PaceOptions;
  readonly #now: () => number;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#paidMs = this.#now();
  }

  get doneBytes(): number {
    return this.#doneBytes;
  }

  get aborted(): boolean {
    return this.#options.signal?.aborted === true;
  }

  /** Call it after reading so many bytes. @throws the signal's reason */
  async spend(bytes: number): Promise<void> {
    const { bytesPerSecond, signal, onProgress } = this.#options;
    signal?.throwIfAborted();
    this.#doneBytes += bytes;
    this.#sinceTurn += bytes;
    const now = this.#now();
    if (onProgress !== undefined && now - this.#toldMs >= PROGRESS_MS) {
      this.#toldMs = now;
      onProgress({ doneBytes: this.#doneBytes, totalBytes: Math.max(this.totalBytes, this.#doneBytes) });
    }
    if (bytesPerSecond !== undefined && bytesPerSecond > 0) {
      this.#paidMs = Math.max(this.#paidMs, now - BURST_MS) + (bytes / bytesPerSecond) * 1000;
      const waitMs = this.#paidMs - now;
      if (waitMs >= MIN_WAIT_MS) {
        this.#sinceTurn = 0;
        await (this.#options.wait ?? sleep)(waitMs, signal);
        return;
      }
    }
    if (this.#sinceTurn < TURN_BYTES) return;
    this.#sinceTurn = 0;
    await nextTurn();
    signal?.throwIfAborted();
  }

  /** The last word, at the end. */
  finish(): void {
    this.#options.onProgress?.({ doneBytes: this.#doneBytes, totalBytes: this.#doneBytes });
  }
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(ms, undefined, signal === undefined ? {} : { signal });
}
