/**
 * Memory for blocks on their way to disk. One commit's bytes lie in a few large arenas, written to the log in
 * one go; the journals are written later from the very same bytes. An arena returns to the pool when the last
 * slice of it is released.
 */
const ARENA_BYTES = 256 * 1024;
/** Arenas kept for the next commit; more are left to the garbage collector. */
const MAX_FREE = 64;

export class Arena {
  readonly bytes: Buffer;
  used = 0;
  holders = 0;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }
}

/** A block's bytes inside an arena, held until `ArenaPool.release`. */
export interface Slice {
  arena: Arena;
  bytes: Buffer;
}

export class ArenaPool {
  readonly #free: Arena[] = [];
  #current: Arena | undefined;
  #liveBytes = 0;
  #run: Buffer[] = [];
  #runFrom = 0;

  /** Bytes of arenas that somebody still holds. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** The arena that has room for `bytes` more, all in one piece. The caller moves `used` itself. */
  room(bytes: number): Arena {
    if (this.#current !== undefined && this.#current.bytes.length - this.#current.used >= bytes) {
      return this.#current;
    }
    const arena = this.#take(bytes);
    const previous = this.#current;
    if (previous !== undefined && previous.used > this.#runFrom) {
      this.#run.push(previous.bytes.subarray(this.#runFrom, previous.used));
    }
    this.#runFrom = 0;
    this.#current = arena;
    // The pool itself holds the arena that is being filled.
    arena.holders = 1;
    if (previous !== undefined) this.#drop(previous);
    return arena;
  }

  hold(arena: Arena, from: number, to: number): Slice {
    arena.holders += 1;
    return { arena, bytes: arena.bytes.subarray(from, to) };
  }

  release(slice: Slice): void {
    this.#drop(slice.arena);
  }

  /**
   * Everything that was put into arenas since the last call, in order: one commit. The arenas stay alive only
   * as long as the slices of the commit's blocks are held.
   */
  takeRun(): Buffer[] {
    const run = this.#run;
    this.#run = [];
    const current = this.#current;
    if (current !== undefined && current.used > this.#runFrom) {
      run.push(current.bytes.subarray(this.#runFrom, current.used));
      this.#runFrom = current.used;
    }
    return run;
  }

  #take(bytes: number): Arena {
    const arena = bytes <= ARENA_BYTES ? (this.#free.pop() ?? new Arena(ARENA_BYTES)) : new Arena(bytes);
    arena.used = 0;
    this.#liveBytes += arena.bytes.length;
    return arena;
  }

  #drop(arena: Arena): void {
    arena.holders -= 1;
    if (arena.holders > 0) return;
    this.#liveBytes -= arena.bytes.length;
    if (arena.bytes.length === ARENA_BYTES && this.#free.length < MAX_FREE) this.#free.push(arena);
  }
}
