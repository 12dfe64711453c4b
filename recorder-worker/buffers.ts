/**
 * Large buffers that are used again. Finalising touches a few buffers of the size of the journal, and after a hundred
 * hang-ups at once getting fresh memory for each (page faults, collections of what lies outside the heap) costs a
 * fifth of the work.
 */

/** What is kept for the next recording: enough for a call of an hour. */
const MAX_KEPT_BYTES = 128 * 1024 * 1024;

export class BufferPool {
  #kept: Buffer[] = [];
  #keptBytes = 0;

  /** A lease of buffers for one piece of work; `release` ends it. */
  lease(): BufferLease {
    return new BufferLease(this);
  }

  /** The smallest kept buffer of at least this size, or a new one. Its content is anything. */
  take(bytes: number): Buffer {
    let best = -1;
    this.#kept.forEach((buffer, i) => {
      if (buffer.length < bytes) return;
      if (best < 0 || buffer.length < (this.#kept[best] as Buffer).length) best = i;
    });
    const [found] = best < 0 ? [] : this.#kept.splice(best, 1);
    if (found === undefined) return Buffer.allocUnsafeSlow(Math.max(1, bytes));
    this.#keptBytes -= found.length;
    return found;
  }

  /** Takes a buffer back, wiped: it held audio. Where there is no room the smallest buffers go. */
  give(buffer: Buffer): void {
    buffer.fill(0);
    this.#kept.push(buffer);
    this.#keptBytes += buffer.length;
    this.#kept.sort((a, b) => b.length - a.length);
    while (this.#keptBytes > MAX_KEPT_BYTES) {
      // A buffer larger than all the room there is goes first, or nothing else would ever be kept.
      const drop = (this.#kept[0] as Buffer).length > MAX_KEPT_BYTES ? this.#kept.shift() : this.#kept.pop();
      this.#keptBytes -= drop?.length ?? 0;
    }
  }
}

export class BufferLease {
  readonly #pool: BufferPool;
  readonly #taken = new Set<Buffer>();

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  take(bytes: number): Buffer {
    const buffer = this.#pool.take(bytes);
    this.#taken.add(buffer);
    return buffer;
  }

  /** Gives one buffer back early. Nothing may look at it any more. */
  give(buffer: Buffer): void {
    if (this.#taken.delete(buffer)) this.#pool.give(buffer);
  }

  /** Gives back everything that was taken. Idempotent. */
  release(): void {
    for (const buffer of this.#taken) this.#pool.give(buffer);
    this.#taken.clear();
  }
}
