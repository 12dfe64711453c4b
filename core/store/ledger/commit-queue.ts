import { setImmediate as turn } from 'node:timers/promises';
import type { VerbatimError } from '#protocol';
import { Backoff } from './backoff.ts';
import type { Edge, Leaf } from './edge.ts';
import { MAX_COMMIT_ENTRIES } from './wal-format.ts';
import type { WriteAhead } from './write-ahead.ts';
import { unavailable } from './write-ahead.ts';

/** Entries that wait for the disk; past it appends are refused. */
export const MAX_PENDING_BYTES = 8 * 1024 * 1024;

interface Waiter {
  index: number;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export interface CommitQueueOptions {
  wal: WriteAhead;
  /** The edge behind the last durable entry; it is this queue's from now on. */
  edge: Edge;
  retry: { minMs: number; maxMs: number };
  onDurable: (leaves: readonly Leaf[]) => void;
  /** The disk refuses entries (a sentence), or takes them again (undefined). */
  onTrouble: (problem: string | undefined) => void;
  onError: (error: VerbatimError) => void;
}

/**
 * Makes entries durable in their order: what comes while one commit is being written shares the next. An entry that
 * was given a place keeps it: when the disk fails its appender is told so, and the same bytes are committed as soon
 * as a fresh segment takes them, before anything else. So no place ever meets two different entries.
 */
export class CommitQueue {
  readonly #options: CommitQueueOptions;
  readonly #edge: Edge;
  readonly #backoff: Backoff;
  #pending: Leaf[] = [];
  #pendingBytes = 0;
  #waiters: Waiter[] = [];
  /** Set and cleared without an await in between, so that no entry is left lying. */
  #active = false;
  #running: Promise<void> | undefined;
  #trouble: string | undefined;
  #closed = false;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
    this.#edge = options.edge;
    this.#backoff = new Backoff(options.retry);
  }

  /** Entries below this index are durable. */
  get durable(): number {
    return this.#edge.size;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** An entry that has a place and is not durable yet. */
  pending(index: number): Leaf | undefined {
    return this.#pending[index - this.#edge.size];
  }

  push(leaf: Leaf): void {
    this.#pending.push(leaf);
    this.#pendingBytes += leaf.bytes.length;
    if (this.#trouble === undefined) this.#start();
  }

  /** Resolves when the entry is durable. Rejects with `evidence_unavailable` when the disk refuses it for now. */
  whenDurable(index: number): Promise<void> {
    if (index < this.#edge.size) return Promise.resolve();
    if (this.#trouble !== undefined) return Promise.reject(unavailable(this.#trouble));
    if (this.#closed) return Promise.reject(unavailable('the ledger is closed'));
    return new Promise((resolve, reject) => this.#waiters.push({ index, resolve, reject }));
  }

  /** Finishes what the disk takes; the rest was never acknowledged. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#backoff.stop();
    await this.#running;
    this.#reject(unavailable('the ledger is closed'));
  }

  #start(): void {
    if (this.#active) return;
    this.#active = true;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    // Those who append in the same turn share the commit.
    await turn();
    const { wal, onDurable, onTrouble, onError } = this.#options;
    while (this.#pending.length > 0) {
      const entries = this.#pending.slice(0, MAX_COMMIT_ENTRIES);
      const firstIndex = this.#edge.size;
      const next = this.#edge.clone();
      next.grow(entries);
      try {
        const roots = { rootBefore: this.#edge.root(), rootAfter: next.root() };
        await wal.commit({ firstIndex, ...roots, entries: entries.map(({ bytes }) => bytes) }, onError);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const first = this.#trouble === undefined;
        this.#trouble = `the write-ahead file takes no entries: ${reason}`;
        this.#reject(unavailable(this.#trouble, error));
        if (first) onTrouble(this.#trouble);
        this.#active = false;
        if (!this.#closed) this.#backoff.again(() => this.#start());
        return;
      }
      this.#edge.grow(entries);
      this.#pending = this.#pending.slice(entries.length);
      for (const { bytes } of entries) this.#pendingBytes -= bytes.length;
      // Handed on first: whoever is told that an entry is durable can read it.
      onDurable(entries);
      this.#resolve();
      if (this.#trouble === undefined) continue;
      this.#trouble = undefined;
      this.#backoff.reset();
      onTrouble(undefined);
    }
    this.#active = false;
  }

  #resolve(): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ index }) => index >= this.#edge.size);
    for (const waiter of waiters) if (waiter.index < this.#edge.size) waiter.resolve();
  }

  #reject(error: unknown): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}
