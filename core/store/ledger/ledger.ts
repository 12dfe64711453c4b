import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Entry, JsonObject } from '#ledger';
import { consistencyProof, formatProof, inclusionProof, leafHash, signNote } from '#ledger';
import { VerbatimError } from '#protocol';
import { systemClock } from '../clock.ts';
import type { LogOwner } from '../log-owner.ts';
import { claimLog } from '../log-owner.ts';
import { CommitQueue, MAX_PENDING_BYTES } from './commit-queue.ts';
import type { Edge } from './edge.ts';
import { systemLedgerFiles } from './files.ts';
import { Findings, findingText } from './findings.ts';
import { readHead } from './head.ts';
import type { History } from './history.ts';
import type { KeyRing } from './key-ring.ts';
import { openKeys } from './key-ring.ts';
import { makeNextKey, rotationText } from './keys.ts';
import type { Loaded } from './load.ts';
import { loadLedger, ownVkeys } from './load.ts';
import type { AcceptedLoss, Appended, LedgerOptions, LedgerState, NewLedgerEntry } from './options.ts';
import { Publisher } from './publisher.ts';
import { LOG_SUBJECT, Scribe, SERVER } from './scribe.ts';
import { Signer } from './signer.ts';
import { removeTemporaries, staleFiles } from './stale.ts';
import { TreeReader } from './tree-reader.ts';
import { unavailable, WriteAhead } from './write-ahead.ts';

const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** Many small commits take more of the write-ahead file than their entries. */
const MAX_WAL_BYTES = 256 * 1024 * 1024;
const DEFAULT_COLLECT_MS = 500;
const DEFAULT_RETRY = { minMs: 250, maxMs: 30_000 };
const OPERATOR: JsonObject = { kind: 'operator' };

interface Parts {
  keys: KeyRing;
  wal: WriteAhead;
  queue: CommitQueue;
  publisher: Publisher;
  scribe: Scribe;
}

/**
 * The transparency log on disk: the one writer of a data folder. FORMAT.md section 5 has the files and, for every
 * step, what a crash there means.
 */
export class Ledger {
  readonly origin: string;
  readonly #options: LedgerOptions;
  readonly #owner: LogOwner;
  readonly #reader: TreeReader;
  readonly #history: History;
  readonly #boot = randomUUID();
  /** Present when the log was sound at the start. */
  readonly #parts: Parts | undefined;
  readonly #loaded: Pick<Loaded, 'checkpoint' | 'edge'> & { vkeys: string[]; earlier: readonly string[] };
  #damage: string | undefined;
  #headAt: Date | undefined;
  #rotating = false;
  #closed = false;
  #closing: Promise<void> | undefined;

  private constructor(
    options: LedgerOptions,
    owner: LogOwner,
    loaded: Loaded,
    origin: string,
    keys?: KeyRing,
  ) {
    const { paths, signerDir, onAlarm } = options;
    this.#options = options;
    this.#owner = owner;
    this.origin = origin;
    this.#history = loaded.history;
    const { checkpoint, edge, history } = loaded;
    // These only: the rest holds every entry of the write-ahead file.
    this.#loaded = { checkpoint, edge, vkeys: ownVkeys(loaded), earlier: history.earlierVkeys };
    this.#reader = new TreeReader(paths.ledger);
    const files = options.files ?? systemLedgerFiles;
    const retry = options.retry ?? DEFAULT_RETRY;
    const first = loaded.findings.first;
    if (first !== undefined || keys === undefined) {
      const more = loaded.findings.count > 1 ? ` (and ${loaded.findings.count - 1} more)` : '';
      this.#damage = first === undefined ? 'there is no key' : `${findingText(first)}${more}`;
      return;
    }
    const onTrouble = (problem: string | undefined): void => {
      if (problem === undefined) options.log.info({}, 'The ledger works again');
      else onAlarm(problem);
    };
    const wal = WriteAhead.open(join(paths.ledger, 'wal'), files, loaded.segments);
    const signer = new Signer({
      signerDir,
      origin,
      files,
      last: loaded.memory ?? loaded.checkpoint,
      absent: loaded.memory === undefined,
    });
    const publisher = new Publisher({
      ledgerDir: paths.ledger,
      files,
      edge: loaded.baseEdge,
      reader: this.#reader,
      signer,
      keys,
      head: loaded.checkpoint,
      stale: staleFiles(loaded.listing, loaded.baseEdge),
      acceptedAt: loaded.lossAccepted ? loaded.history.accepted?.index : undefined,
      collectMs: options.collectMs ?? DEFAULT_COLLECT_MS,
      retry,
      onPublished: (size) => {
        this.#headAt = new Date();
        return wal.published(size);
      },
      onTrouble,
      onRefused: (problem) => this.#stop(`the signer refuses: ${problem}`),
    });
    const queue = new CommitQueue({
      wal,
      edge: loaded.baseEdge.clone(),
      retry,
      onDurable: (leaves) => publisher.add(leaves),
      onTrouble,
      onError: (error) =>
        options.log.error({ err: error }, 'A write-ahead segment of the ledger is given up'),
    });
    const scribe = new Scribe({
      history: loaded.history,
      clock: options.clock ?? systemClock,
      boot: this.#boot,
      size: loaded.edge.size,
      onPlaced: (leaf) => queue.push(leaf),
    });
    this.#parts = { keys, wal, queue, publisher, scribe };
  }

  /**
   * Opens the log of a data folder, or makes it. Reads all of it. A log that contradicts itself is opened read-only,
   * with `problem` in its state, and nothing on disk is changed.
   * @throws VerbatimError `conflict` when another process writes it, or when it has another origin; the system's
   * error when a file cannot be read
   */
  static async open(options: LedgerOptions): Promise<Ledger> {
    const { paths, signerDir } = options;
    const owner = await claimLog(join(paths.ledger, 'wal'));
    let ledger: Ledger | undefined;
    try {
      const loaded = await loadLedger({ paths, signerDir, withKey: true, anew: options.anew !== undefined });
      const origin =
        loaded.history.origin ?? loaded.origin ?? options.origin ?? options.newOrigin ?? randomOrigin();
      const sound = loaded.findings.count === 0;
      if (sound && options.origin !== undefined && options.origin !== origin) {
        const problem = `the ledger here has the origin ${origin}, which cannot become ${options.origin}`;
        throw new VerbatimError('conflict', problem);
      }
      if (!sound) {
        ledger = new Ledger(options, owner, loaded, origin);
        options.onAlarm(`the ledger is read-only: ${ledger.#damage}`);
        return ledger;
      }
      const keys = await openKeys(paths, loaded, origin, options.onAlarm);
      ledger = new Ledger(options, owner, loaded, origin, keys);
      await ledger.#begin(loaded);
      return ledger;
    } catch (error) {
      await (ledger === undefined ? owner.release() : ledger.close());
      throw error;
    }
  }

  /** The newest published checkpoint as a signed note. */
  get checkpoint(): string | undefined {
    return this.#parts === undefined ? this.#loaded.checkpoint?.note : this.#parts.publisher.head?.note;
  }

  /** The verifier key in force. */
  get vkey(): string {
    return this.#parts?.keys.current.vkey ?? this.#loaded.vkeys.at(-1) ?? '';
  }

  /** Every verifier key of this log, oldest first. */
  get vkeys(): readonly string[] {
    return this.#parts?.keys.vkeys ?? this.#loaded.vkeys;
  }

  /** Keys of logs before this one, oldest first: some stay with whoever kept heads of those. */
  get earlierVkeys(): readonly string[] {
    return this.#parts?.keys.earlier ?? this.#loaded.earlier;
  }

  /** Durable entries. */
  get size(): number {
    return this.#parts?.queue.durable ?? this.#loaded.edge.size;
  }

  /** Durable entries that no published head covers yet. */
  get unpublished(): number {
    const head = this.#parts === undefined ? this.#loaded.checkpoint : this.#parts.publisher.head;
    return Math.max(0, this.size - (head?.size ?? 0));
  }

  /** When the newest head was published; undefined before the first one of this run. */
  get headAt(): Date | undefined {
    return this.#headAt;
  }

  get state(): LedgerState {
    const problem = this.#damage ?? this.#parts?.queue.trouble ?? this.#full();
    return problem === undefined ? { mode: 'writable' } : { mode: 'read-only', problem };
  }

  /** Set while entries are taken but no head can be published; tried again until it works. */
  get trouble(): string | undefined {
    return this.#parts?.publisher.trouble;
  }

  /** Memory of the index over all entries. */
  get indexBytes(): number {
    return this.#history.subjects.bytes;
  }

  /**
   * Resolves when the entry is durable. The same subject and id again resolves to the first one, whatever else it says.
   * @throws VerbatimError `evidence_unavailable` when the log takes no entries: after a disk error the entry may still
   * be entered later, with these bytes; LedgerError for something that can never be an entry
   */
  async append({ t, id, sub, actor, d }: NewLedgerEntry): Promise<Appended> {
    const begun = performance.now();
    for (;;) {
      const { queue, scribe } = this.#writable();
      const known = scribe.find(sub, id);
      if (known !== undefined) {
        await queue.whenDurable(known);
        const bytes = await this.entry(known);
        return { index: known, hash: leafHash(bytes), bytes, fresh: false };
      }
      const last = scribe.forgotten(sub);
      if (last === undefined) break;
      // Its hash is made from its bytes, and then everything is looked at again.
      scribe.recall(sub, last, await this.entry(last));
    }
    const { queue, scribe } = this.#writable();
    const { index, hash, bytes } = scribe.enter({ t, id, sub, actor, d });
    await queue.whenDurable(index);
    this.#options.onAppended?.(performance.now() - begun);
    return { index, hash, bytes, fresh: true };
  }

  /** The first checkpoint published since the start that covers this entry, else the newest. Waits for it. */
  covered(index: number): Promise<string> {
    const note = this.checkpoint;
    if (this.#parts !== undefined) return this.#parts.publisher.covered(index);
    const size = this.#loaded.checkpoint?.size ?? 0;
    if (note !== undefined && size > index) return Promise.resolve(note);
    return Promise.reject(unavailable(`the ledger is read-only: ${this.#damage}`));
  }

  /** The exact bytes of a durable entry. @throws VerbatimError `not_found` when there is none */
  async entry(index: number): Promise<Buffer> {
    if (!Number.isSafeInteger(index) || index < 0 || index >= this.size) {
      throw new VerbatimError('not_found', `the ledger has no entry ${index}`);
    }
    const waiting = this.#parts?.publisher.waiting(index);
    return waiting?.bytes ?? (await this.#reader.entry(this.#edge, index));
  }

  /**
   * True while an entry of this subject has its place and is not durable: its appender may have been told that the disk
   * refuses it, but it comes before anything else does.
   */
  isPending(sub: string): boolean {
    const last = this.#history.subjects.last(sub);
    return last !== undefined && last >= this.size;
  }

  /** The durable entries of a subject, oldest first. */
  async entriesOf(sub: string): Promise<{ index: number; bytes: Buffer }[]> {
    const entries: { index: number; bytes: Buffer }[] = [];
    for (const index of [...this.placesOf(sub)].reverse())
      entries.push({ index, bytes: await this.entry(index) });
    return entries;
  }

  /** Where the durable entries of a subject stand, newest first; from memory. */
  *placesOf(sub: string): Generator<number, void, void> {
    const { subjects } = this.#history;
    for (let at = subjects.last(sub); at !== undefined; at = subjects.before(at)) {
      if (at < this.size) yield at;
    }
  }

  /** Audit path of an entry in the tree of `size` entries, which is no larger than the published one. */
  inclusion(index: number, size: number): Promise<Buffer[]> {
    this.#assertPublished(size);
    return inclusionProof(index, size, this.#reader.hashes(this.#edge));
  }

  consistency(from: number, to: number): Promise<Buffer[]> {
    this.#assertPublished(to);
    return consistencyProof(from, to, this.#reader.hashes(this.#edge));
  }

  /** C2SP tlog-proof of an entry against one of this log's checkpoints. */
  async proof(index: number, checkpoint: string): Promise<string> {
    const { size } = readHead(checkpoint, this.origin, this.vkeys);
    return formatProof({ index, hashes: await this.inclusion(index, size), checkpoint });
  }

  /**
   * The text as a note signed by the log's key. Never a checkpoint: those are the signer's alone.
   * @throws VerbatimError `evidence_unavailable` when the log contradicts itself
   */
  sign(text: string): string {
    if (text.startsWith(`${this.origin}\n`)) {
      throw new VerbatimError('bad_request', 'a text that begins with the origin would be a checkpoint');
    }
    if (this.#parts === undefined || this.#damage !== undefined) {
      throw unavailable(`the ledger is read-only: ${this.#damage}`);
    }
    return signNote(text, [this.#parts.keys.current.signer]);
  }

  /**
   * The log's key for JSON Web Signatures (RFC 7515, EdDSA), as long as it is the one in force. A signing input has no
   * newline and a note always has one, so neither signature can be taken for the other.
   * @throws VerbatimError `evidence_unavailable` when the log contradicts itself
   */
  jwsSigner(): { kid: string; sign: (signingInput: string) => Buffer } {
    if (this.#parts === undefined || this.#damage !== undefined) {
      throw unavailable(`the ledger is read-only: ${this.#damage}`);
    }
    const { signer } = this.#parts.keys.current;
    return {
      kid: `${signer.name}+${signer.keyHash}`,
      sign: (signingInput) => {
        if (!/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(signingInput))
          throw new VerbatimError('bad_request', 'expected the signing input of a JSON Web Signature');
        return signer.sign(signingInput);
      },
    };
  }

  /**
   * Replaces the signing key. Resolves when the old private key is gone: the entry is in, the first head that covers
   * it is signed by both keys, and the list of public keys names the new one.
   */
  async rotateKey(reason: string): Promise<{ index: number; old: string; new: string; checkpoint: string }> {
    const { keys, queue, publisher, scribe } = this.#writable();
    if (keys.rotating || this.#rotating)
      throw new VerbatimError('conflict', 'the key is being replaced already');
    this.#rotating = true;
    const old = keys.current.vkey;
    const key = await makeNextKey(this.#options.paths, this.origin).finally(() => {
      this.#rotating = false;
    });
    this.#writable();
    const proof = signNote(rotationText({ origin: this.origin, old, new: key.vkey, reason }), [key.signer]);
    const [, hash] = key.vkey.split('+');
    const { index } = scribe.enter(
      {
        t: 'key.rotate',
        id: `key.rotate.${hash}`,
        sub: LOG_SUBJECT,
        actor: SERVER,
        d: { old, new: key.vkey, reason, proof },
      },
      // In the same turn: no head can cover the entry before the keys know of it.
      (place) => keys.rotate({ key, index: place }),
    );
    await queue.whenDurable(index);
    const checkpoint = await publisher.covered(index);
    await publisher.settled();
    if (keys.rotating) throw unavailable(publisher.trouble ?? 'the rotation is not ended');
    return { index, old, new: key.vkey, checkpoint };
  }

  /**
   * An operator's word, after an older copy was restored, that the head the signer remembers is lost: opens the log,
   * enters that, publishes and closes. Only for a log in which nothing else is wrong. Never automatic.
   * @throws VerbatimError `conflict` when that is not what is wrong
   */
  static async acceptHead(options: LedgerOptions & { reason: string }): Promise<AcceptedLoss> {
    const { paths, signerDir, reason } = options;
    const owner = await claimLog(join(paths.ledger, 'wal'));
    let ledger: Ledger | undefined;
    try {
      const loaded = await loadLedger({ paths, signerDir, withKey: true });
      const { memory, origin } = loaded;
      if (!loaded.rolledBack || memory === undefined || origin === undefined) {
        const first = loaded.findings.first;
        const found = first === undefined ? 'nothing is wrong with the ledger' : findingText(first);
        throw new VerbatimError('conflict', `there is no lost head to accept: ${found}`);
      }
      const sound = { ...loaded, findings: new Findings() };
      const keys = await openKeys(paths, sound, origin, options.onAlarm);
      ledger = new Ledger(options, owner, sound, origin, keys);
      const lost = { size: memory.size, root: memory.root.toString('hex') };
      const now = { size: loaded.edge.size, root: loaded.edge.root().toString('hex') };
      const d = { what: 'head-accepted', lost, now, reason };
      await ledger.#begin(sound, {
        t: 'config.change',
        id: `head-accepted.${ledger.#boot}`,
        sub: LOG_SUBJECT,
        actor: OPERATOR,
        d,
      });
      const { state, trouble } = ledger;
      const problem = trouble ?? (state.mode === 'read-only' ? state.problem : undefined);
      if (problem !== undefined) throw unavailable(problem);
      return { lost, now };
    } finally {
      await (ledger === undefined ? owner.release() : ledger.close());
    }
  }

  /** Makes durable and publishes what the disk takes; the rest stays in the write-ahead file. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    try {
      if (this.#parts !== undefined) {
        const { queue, publisher, wal } = this.#parts;
        await queue.close();
        await publisher.close();
        await wal.close(this.#damage === undefined ? (publisher.head?.size ?? 0) : 0);
      }
    } finally {
      await this.#owner.release();
    }
  }

  get #edge(): Edge {
    return this.#parts?.publisher.edge ?? this.#loaded.edge;
  }

  /** Everything that must be in before the log is used. */
  async #begin(loaded: Loaded, accepted?: NewLedgerEntry): Promise<void> {
    const { paths, signerDir, files = systemLedgerFiles, version, onAlarm } = this.#options;
    const { queue, publisher, scribe } = this.#writable();
    await removeTemporaries(files, loaded.listing, [paths.ledger, signerDir]);
    const { replayed, edge, baseEdge, checkpoint } = loaded;
    // What the write-ahead segments hold beyond the tree is committed once more: after a crash nobody knows which of
    // it is on the disk and which in memory only. A crash in here leaves the same entries twice, which is the same.
    for (let index = baseEdge.size; index < edge.size; index += 1) {
      const waiting = replayed.entries[index - replayed.from];
      if (waiting !== undefined) queue.push({ bytes: waiting.bytes, hash: leafHash(waiting.bytes) });
    }
    const forgotten = scribe.forgotten(LOG_SUBJECT);
    if (forgotten !== undefined) scribe.recall(LOG_SUBJECT, forgotten, await this.entry(forgotten));
    const enter = (t: Entry['t'], id: string, d: JsonObject): unknown =>
      scribe.enter({ t, id, sub: LOG_SUBJECT, actor: SERVER, d });
    if (loaded.empty) {
      const { earlierVkeys: earlier } = this;
      const before = earlier.length === 0 ? {} : { earlier: [...earlier] };
      const why = this.#options.anew === undefined ? {} : { anew: this.#options.anew };
      enter('sys.init', 'sys.init', { origin: this.origin, vkey: this.vkey, version, ...before, ...why });
    }
    scribe.noteFuture();
    if (loaded.memory === undefined && checkpoint !== undefined) {
      const head = { size: checkpoint.size, root: checkpoint.root.toString('hex') };
      enter('config.change', `signer.memory-new.${this.#boot}`, { what: 'signer.memory-new', ...head });
      const goesOn = `it goes on from the checkpoint of ${head.size} entries`;
      onAlarm(
        `the signer of the ledger remembers nothing: ${goesOn}, and whether there were more cannot be told`,
      );
    }
    if (accepted !== undefined) publisher.accept(scribe.enter(accepted).index);
    // A disk that refuses this is in `state`, was alarmed, and is tried again.
    if (scribe.size > baseEdge.size) await queue.whenDurable(scribe.size - 1).catch(() => undefined);
    await publisher.settled();
  }

  #writable(): Parts {
    if (this.#closed) throw unavailable('the ledger is closed');
    const { state } = this;
    if (state.mode === 'read-only') throw unavailable(`the ledger is read-only: ${state.problem}`);
    if (this.#parts === undefined) throw unavailable('the ledger is read-only');
    return this.#parts;
  }

  /** Set when so much waits for the tree, or for the disk, that no more is taken. */
  #full(): string | undefined {
    if (this.#parts === undefined) return undefined;
    const { queue, publisher, wal } = this.#parts;
    if (queue.pendingBytes >= MAX_PENDING_BYTES) return 'too many entries wait for the disk';
    const { maxWaitingBytes = MAX_WAITING_BYTES } = this.#options;
    if (publisher.waitingBytes < maxWaitingBytes && wal.bytes < MAX_WAL_BYTES) return undefined;
    return publisher.trouble ?? 'too many entries wait for the tree';
  }

  #assertPublished(size: number): void {
    const published = this.#parts?.publisher.head?.size ?? this.#loaded.checkpoint?.size ?? 0;
    if (!Number.isSafeInteger(size) || size < 0 || size > published) {
      throw new VerbatimError('bad_request', `the published tree has ${published} entries, got ${size}`);
    }
  }

  /** Nothing is signed or entered any more until somebody has looked. */
  #stop(problem: string): void {
    this.#damage ??= problem;
    this.#options.onAlarm(`the ledger is read-only: ${problem}`);
  }
}

function randomOrigin(): string {
  return `verbatim-${randomBytes(8).toString('hex')}`;
}
