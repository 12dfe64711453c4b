import { rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { consistencyProof } from '#ledger';
import { Backoff } from './backoff.ts';
import type { Edge, Leaf, TreeFile } from './edge.ts';
import type { LedgerFiles } from './files.ts';
import { writeFiles } from './files.ts';
import type { KeyRing } from './key-ring.ts';
import type { Signer } from './signer.ts';
import { SignerRefusal } from './signer.ts';
import type { TreeReader } from './tree-reader.ts';
import { unavailable } from './write-ahead.ts';

/** Entries taken into the tree at a time: four full bundles. */
const MAX_BATCH = 1024;
/** Heads kept for `covered`; somebody who asks for an older entry gets the oldest of these. */
const MAX_HEADS = 1024;

export interface PublishedHead {
  size: number;
  root: Buffer;
  note: string;
}

export interface PublisherOptions {
  ledgerDir: string;
  files: LedgerFiles;
  edge: Edge;
  reader: TreeReader;
  signer: Signer;
  keys: KeyRing;
  head: PublishedHead | undefined;
  /** Files of the tree that are on disk and that no head needs any more. */
  stale: readonly string[];
  /** Index of the entry that accepts the loss of the signer's last head, while that is still to be signed over. */
  acceptedAt: number | undefined;
  /** Entries are taken together for this long, unless somebody waits. */
  collectMs: number;
  retry: { minMs: number; maxMs: number };
  onPublished: (size: number) => Promise<void>;
  /** Nothing can be published for now (a sentence), or again (undefined). */
  onTrouble: (problem: string | undefined) => void;
  /** The signer refuses: nothing will ever be published again. */
  onRefused: (problem: string) => void;
}

/**
 * Takes durable entries into the tree and publishes the head. In this order, each durable before the next begins:
 * bundles and tiles, the signer's memory, the checkpoint; then superseded partial files go. Entries wait in memory and
 * in the write-ahead file until their head is published, so every step can be repeated, by this process or the next.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #backoff: Backoff;
  #edge: Edge;
  /** Durable entries behind the edge. */
  #leaves: Leaf[] = [];
  #leafBytes = 0;
  /** Oldest first. */
  #heads: PublishedHead[] = [];
  #newest: PublishedHead | undefined;
  #stale: Set<string>;
  #waiters: { index: number; resolve: (note: string) => void; reject: (error: unknown) => void }[] = [];
  #acceptedAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #active = false;
  #running: Promise<void> | undefined;
  #trouble: string | undefined;
  #stopped: string | undefined;
  /** The head on disk is older than what the signer remembers: it is published although nothing is new. */
  #owed: boolean;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#edge = options.edge;
    this.#newest = options.head;
    this.#stale = new Set(options.stale);
    this.#acceptedAt = options.acceptedAt;
    this.#owed = options.edge.size > (options.head?.size ?? 0);
    this.#backoff = new Backoff(options.retry);
  }

  get edge(): Edge {
    return this.#edge;
  }

  get head(): PublishedHead | undefined {
    return this.#newest;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  get waitingBytes(): number {
    return this.#leafBytes;
  }

  /** A durable entry that is not in the tree yet. */
  waiting(index: number): Leaf | undefined {
    return this.#leaves[index - this.#edge.size];
  }

  add(leaves: readonly Leaf[]): void {
    this.#leaves.push(...leaves);
    for (const { bytes } of leaves) this.#leafBytes += bytes.length;
    this.#soon();
  }

  /** The first head since the start that covers this entry, else the newest one. Waits until there is one. */
  covered(index: number): Promise<string> {
    const newest = this.#newest;
    if (newest !== undefined && newest.size > index) {
      return Promise.resolve((this.#heads.find(({ size }) => size > index) ?? newest).note);
    }
    if (this.#stopped !== undefined) return Promise.reject(unavailable(this.#stopped));
    return new Promise((resolve, reject) => {
      this.#waiters.push({ index, resolve, reject });
      // Somebody waits: no more collecting. While the disk refuses, the next attempt is planned already.
      if (this.#trouble === undefined) this.#now();
    });
  }

  /** The next head covers an entry that accepts the loss of the signer's last one. */
  accept(index: number): void {
    this.#acceptedAt = index;
  }

  /** Resolves when what is being done now is done, or has failed. */
  async settled(): Promise<void> {
    const due = this.#timer !== undefined || this.#owed || this.#options.keys.rotating;
    if (due && this.#trouble === undefined) this.#now();
    await this.#running;
  }

  /** One more attempt to publish everything; what remains stays in the write-ahead file. */
  async close(): Promise<void> {
    this.#backoff.stop();
    if (this.#stopped === undefined) {
      this.#now();
      await this.#running;
    }
    this.#stop('the ledger is closed');
    await this.#running;
  }

  #soon(): void {
    if (
      this.#stopped !== undefined ||
      this.#active ||
      this.#timer !== undefined ||
      this.#trouble !== undefined
    ) {
      return;
    }
    if (this.#waiters.length > 0) this.#now();
    else this.#timer = setTimeout(() => this.#now(), this.#options.collectMs);
  }

  #now(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#stopped !== undefined || this.#active) return;
    this.#active = true;
    this.#running = this.#run();
  }

  #stop(problem: string): void {
    this.#stopped ??= problem;
    clearTimeout(this.#timer);
    this.#backoff.stop();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { reject } of waiters) reject(unavailable(this.#stopped));
  }

  async #run(): Promise<void> {
    try {
      const { keys, onTrouble } = this.#options;
      while ((this.#leaves.length > 0 || this.#owed) && this.#stopped === undefined) await this.#publish();
      await keys.settle(this.#newest?.size ?? 0);
      this.#backoff.reset();
      if (this.#trouble !== undefined) {
        this.#trouble = undefined;
        onTrouble(undefined);
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (error instanceof SignerRefusal) {
        this.#stop(reason);
        this.#options.onRefused(reason);
      } else {
        const first = this.#trouble === undefined;
        this.#trouble = `the ledger's head cannot be published: ${reason}`;
        if (first) this.#options.onTrouble(this.#trouble);
        if (this.#stopped === undefined) this.#backoff.again(() => this.#now());
      }
    }
    this.#active = false;
  }

  async #publish(): Promise<void> {
    const { ledgerDir, files, signer, keys, reader, onPublished } = this.#options;
    await keys.settle(this.#newest?.size ?? 0);
    // The first head ever is of one entry: so a checkpoint that is missing later was there once.
    const first = this.#newest === undefined && this.#edge.size === 0;
    // Where a loss was accepted no head is signed that does not say so.
    const most = this.#acceptedAt === undefined ? MAX_BATCH : this.#acceptedAt + 1 - this.#edge.size;
    const leaves = this.#leaves.slice(0, first ? 1 : Math.max(most, 0));
    const next = this.#edge.clone();
    const full = next.grow(leaves);
    const partials = next.partials();
    for (const { path } of partials) this.#stale.add(path);
    // A crash in here leaves some of the new files beside all of the old ones. The head on disk needs the old ones
    // only; the next start finds the entries in the write-ahead file and writes the same files again.
    await writeFiles(
      files,
      [...full, ...partials].map((file) => this.#toWrite(file)),
    );

    const head = { size: next.size, root: next.root() };
    const accepted = this.#acceptedAt !== undefined && head.size > this.#acceptedAt;
    const prove = (from: number): Promise<Buffer[]> => consistencyProof(from, head.size, reader.hashes(next));
    const note = await signer.sign(head, keys.signers(head.size), { prove, accepted });

    // A crash before this is durable: the signer remembers a newer head than the one on disk, whose entries are in
    // tiles. The next start publishes it.
    await writeFiles(files, [{ path: join(ledgerDir, 'checkpoint'), bytes: Buffer.from(note) }]);

    // A crash from here on leaves partial files and write-ahead segments that nobody needs.
    this.#edge = next;
    this.#leaves = this.#leaves.slice(leaves.length);
    for (const { bytes } of leaves) this.#leafBytes -= bytes.length;
    this.#owed = false;
    if (accepted) this.#acceptedAt = undefined;
    this.#newest = { ...head, note };
    this.#heads.push(this.#newest);
    if (this.#heads.length > MAX_HEADS) this.#heads.shift();
    this.#resolve(head.size, note);
    for (const { path } of partials) this.#stale.delete(path);
    await this.#removeStale();
    for (const { path } of partials) this.#stale.add(path);
    await onPublished(head.size);
  }

  #toWrite({ path, bytes }: TreeFile): { path: string; bytes: Buffer } {
    return { path: join(this.#options.ledgerDir, path), bytes };
  }

  #resolve(size: number, note: string): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ index }) => index >= size);
    for (const waiter of waiters) if (waiter.index < size) waiter.resolve(note);
  }

  /** The newer file is durable, and so is the head that needs it. One that stays goes after the next start. */
  async #removeStale(): Promise<void> {
    const stale = [...this.#stale];
    this.#stale.clear();
    for (const path of stale) {
      const whole = join(this.#options.ledgerDir, path);
      await this.#options.files.remove(whole).catch(() => undefined);
      // Where it was the last of its number its folder goes; any other one is not empty.
      await rmdir(dirname(whole)).catch(() => undefined);
    }
  }
}
