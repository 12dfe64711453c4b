import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Entry, JsonObject } from '#ledger';
import {
  consistencyProof,
  encodeEntry,
  formatProof,
  inclusionProof,
  LedgerError,
  leafHash,
  signNote,
} from '#ledger';
import { VerbatimError } from '#protocol';
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import type { LogOwner } from '../log-owner.ts';
import { claimLog } from '../log-owner.ts';
import type { DataPaths } from '../paths.ts';
import { ClockWatch } from './clock-watch.ts';
import { CommitQueue, MAX_PENDING_BYTES } from './commit-queue.ts';
import type { Edge } from './edge.ts';
import type { LedgerFiles } from './files.ts';
import { systemLedgerFiles } from './files.ts';
import { Findings, findingText } from './findings.ts';
import { readHead } from './head.ts';
import type { History } from './history.ts';
import type { KeyRing } from './key-ring.ts';
import { openKeys } from './key-ring.ts';
import { makeNextKey, rotationText } from './keys.ts';
import type { Loaded } from './load.ts';
import { loadLedger } from './load.ts';
import { Publisher } from './publisher.ts';
import { Signer } from './signer.ts';
import { removeTemporaries, staleFiles } from './stale.ts';
import { TreeReader } from './tree-reader.ts';
import { unavailable, WriteAhead } from './write-ahead.ts';

/** Entries that the tree has not taken; past it appends are refused. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const MAX_WAL_BYTES = 256 * 1024 * 1024;
const DEFAULT_COLLECT_MS = 500;
const DEFAULT_RETRY = { minMs: 250, maxMs: 30_000 };
/** Subject of the entries that are about the log itself. */
const LOG_SUBJECT = 'log';
const SERVER: JsonObject = { kind: 'server' };
const OPERATOR: JsonObject = { kind: 'operator' };

/** A log as any of the program's; pino fits. */
export interface LedgerLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface LedgerOptions {
  paths: DataPaths;
  /** Where the signer remembers the last head it signed: outside the data folder. */
  signerDir: string;
  /** Name of the log, for its first start. Fixed from then on: another one later is refused. */
  origin?: string;
  /** Of the program, for the first entry. */
  version: string;
  log: LedgerLog;
  /** What an operator must look at, as one sentence. */
  onAlarm: (problem: string) => void;
  clock?: Clock;
  files?: LedgerFiles;
  /** Durable entries are taken into the tree together for this long. Default 500. */
  collectMs?: number;
  /** Waiting times between attempts when the disk fails. Default 250 ms to 30 s. */
  retry?: { minMs: number; maxMs: number };
}

export type LedgerState = { mode: 'writable' } | { mode: 'read-only'; problem: string };

export interface NewLedgerEntry {
  t: Entry['t'];
  /** Unique within the subject. */
  id: string;
  sub: string;
  actor: Record<string, unknown>;
  d: Record<string, unknown>;
}

export interface Appended {
  index: number;
  /** Leaf hash (RFC 6962). */
  hash: Buffer;
  /** The exact bytes; those of the first one when this was entered before. */
  bytes: Buffer;
  fresh: boolean;
}

export interface AcceptedLoss {
  /** What the signer remembered. */
  lost: { size: number; root: string };
  /** What there is instead, before the entry about it. */
  now: { size: number; root: string };
}

interface Parts {
  keys: KeyRing;
  wal: WriteAhead;
  queue: CommitQueue;
  publisher: Publisher;
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
  readonly #watch: ClockWatch;
  readonly #boot = randomUUID();
  /** Present when the log was sound at the start. */
  readonly #parts: Parts | undefined;
  readonly #loaded: Pick<Loaded, 'checkpoint' | 'memory' | 'rolledBack' | 'vkeys' | 'edge'>;
  #damage: string | undefined;
  /** Entries that have a place, durable or not. */
  #entered = 0;
  /** Leaf hash of the last entry about the log itself: it is needed in the middle of entering something else. */
  #logHash: Buffer | undefined;
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
    this.#loaded = loaded;
    this.#reader = new TreeReader(paths.ledger);
    this.#watch = new ClockWatch(options.clock ?? systemClock);
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
      onPublished: (size) => wal.published(size),
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
    this.#parts = { keys, wal, queue, publisher };
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
      const loaded = await loadLedger({ paths, signerDir, withKey: true });
      const origin = loaded.history.origin ?? loaded.origin ?? options.origin ?? newOrigin();
      if (options.origin !== undefined && options.origin !== origin) {
        const problem = `the ledger here has the origin ${origin}, which cannot become ${options.origin}`;
        throw new VerbatimError('conflict', problem);
      }
      if (loaded.findings.count > 0) {
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

  /** Durable entries. */
  get size(): number {
    return this.#parts?.queue.durable ?? this.#loaded.edge.size;
  }

  get state(): LedgerState {
    const full = this.#parts?.publisher.trouble === undefined ? undefined : this.#full();
    const problem = this.#damage ?? this.#parts?.queue.trouble ?? full;
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
    for (;;) {
      const { queue } = this.#writable();
      const known = this.#history.subjects.find(sub, id);
      if (known !== undefined) {
        await queue.whenDurable(known);
        const bytes = await this.entry(known);
        return { index: known, hash: leafHash(bytes), bytes, fresh: false };
      }
      const last = this.#history.subjects.last(sub);
      if (last === undefined || this.#history.recent.get(last) !== undefined) break;
      // Long past: its hash is made from its bytes, and then everything is looked at again.
      this.#history.recent.set(last, leafHash(await this.entry(last)));
    }
    const { queue } = this.#writable();
    const { index, hash, bytes } = this.#enter({ t, id, sub, actor, d });
    await queue.whenDurable(index);
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

  /** The durable entries of a subject, oldest first. */
  async entriesOf(sub: string): Promise<{ index: number; bytes: Buffer }[]> {
    const { subjects } = this.#history;
    const indexes: number[] = [];
    for (let at = subjects.last(sub); at !== undefined; at = subjects.before(at)) {
      if (at < this.size) indexes.push(at);
    }
    const entries: { index: number; bytes: Buffer }[] = [];
    for (const index of indexes.reverse()) entries.push({ index, bytes: await this.entry(index) });
    return entries;
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
    const { keys, queue, publisher } = this.#writable();
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
    const { index } = this.#enter(
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
    const { queue, publisher } = this.#writable();
    await removeTemporaries(files, loaded.listing, [paths.ledger, signerDir]);
    const { replayed, edge, baseEdge, history, checkpoint } = loaded;
    // What the write-ahead segments hold beyond the tree is committed once more: after a crash nobody knows which of
    // it is on the disk and which in memory only. A crash in here leaves the same entries twice, which is the same.
    for (let index = baseEdge.size; index < edge.size; index += 1) {
      const waiting = replayed.entries[index - replayed.from];
      if (waiting !== undefined) queue.push({ bytes: waiting.bytes, hash: leafHash(waiting.bytes) });
    }
    this.#entered = edge.size;
    const lastOfLog = history.subjects.last(LOG_SUBJECT);
    if (lastOfLog !== undefined)
      this.#logHash = history.recent.get(lastOfLog) ?? leafHash(await this.entry(lastOfLog));

    const own = (t: Entry['t'], id: string, d: JsonObject): NewLedgerEntry => ({
      t,
      id,
      sub: LOG_SUBJECT,
      actor: SERVER,
      d,
    });
    if (loaded.empty)
      this.#enter(own('sys.init', 'sys.init', { origin: this.origin, vkey: this.vkey, version }));
    const { wallMs } = this.#watch.look();
    const lastMs = history.lastTs === undefined ? wallMs : Date.parse(history.lastTs);
    if (lastMs > wallMs) {
      const step = { fromMs: lastMs, toMs: wallMs, stepMs: wallMs - lastMs };
      this.#enter(own('clock.step', `clock.step.${this.#entered}`, step));
    }
    if (loaded.memory === undefined && checkpoint !== undefined) {
      const head = { size: checkpoint.size, root: checkpoint.root.toString('hex') };
      this.#enter(
        own('config.change', `signer.memory-new.${this.#boot}`, { what: 'signer.memory-new', ...head }),
      );
      onAlarm(
        `the signer of the ledger remembers nothing: it goes on from the checkpoint of ${head.size} entries, and whether there were more before cannot be told`,
      );
    }
    if (accepted !== undefined) publisher.accept(this.#enter(accepted).index);
    // A disk that refuses this is in `state`, was alarmed, and is tried again.
    if (this.#entered > baseEdge.size) await queue.whenDurable(this.#entered - 1).catch(() => undefined);
    await publisher.settled();
  }

  /** Gives the entry its place. Everything in one turn: nothing can come in between. */
  #enter(
    entry: NewLedgerEntry,
    placed?: (index: number) => void,
  ): { index: number; hash: Buffer; bytes: Buffer } {
    const { step, wallMs, monoMs } = this.#watch.look();
    if (step !== undefined) {
      const id = `clock.step.${this.#entered}`;
      this.#put({ t: 'clock.step', id, sub: LOG_SUBJECT, actor: SERVER, d: { ...step } }, wallMs, monoMs);
    }
    return this.#put(entry, wallMs, monoMs, placed);
  }

  #put(
    { t, id, sub, actor, d }: NewLedgerEntry,
    wallMs: number,
    monoMs: number,
    placed?: (index: number) => void,
  ): { index: number; hash: Buffer; bytes: Buffer } {
    const { queue } = this.#writable();
    const { subjects, recent } = this.#history;
    const index = this.#entered;
    const last = subjects.last(sub);
    const before = sub === LOG_SUBJECT ? this.#logHash : last === undefined ? undefined : recent.get(last);
    if (last !== undefined && before === undefined)
      throw new Error(`the hash of entry ${last} is not at hand`);
    const bytes = encodeEntry({
      v: 1,
      t,
      id,
      ts: new Date(wallMs).toISOString(),
      boot: this.#boot,
      mono: monoMs,
      sub,
      prev: before?.toString('hex') ?? null,
      actor: jsonObject(actor),
      d: jsonObject(d),
    });
    const hash = leafHash(bytes);
    // From here on nothing throws: the entry has its place.
    subjects.add(sub, id);
    recent.set(index, hash);
    if (sub === LOG_SUBJECT) this.#logHash = hash;
    this.#entered += 1;
    placed?.(index);
    queue.push({ bytes, hash });
    return { index, hash, bytes };
  }

  #writable(): Parts {
    if (this.#closed) throw unavailable('the ledger is closed');
    const { state } = this;
    if (state.mode === 'read-only') throw unavailable(`the ledger is read-only: ${state.problem}`);
    if (this.#parts === undefined) throw unavailable('the ledger is read-only');
    const full = this.#full();
    if (full !== undefined) throw unavailable(full);
    return this.#parts;
  }

  /** Set when so much waits for the tree, or for the disk, that no more is taken. */
  #full(): string | undefined {
    if (this.#parts === undefined) return undefined;
    const { queue, publisher, wal } = this.#parts;
    if (queue.pendingBytes >= MAX_PENDING_BYTES) return 'too many entries wait for the disk';
    if (publisher.waitingBytes < MAX_WAITING_BYTES && wal.bytes < MAX_WAL_BYTES) return undefined;
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

function newOrigin(): string {
  return `verbatim-${randomBytes(8).toString('hex')}`;
}

/** What JSON makes of it: members that are undefined are not there. */
function jsonObject(value: Record<string, unknown>): JsonObject {
  const json: unknown = JSON.parse(JSON.stringify(value));
  if (!isObject(json)) throw new LedgerError('expected actor and d as objects');
  return json;
}

function isObject(value: unknown): value is JsonObject {
  // Only ever called on what JSON.parse returned, where every object is one of these.
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
