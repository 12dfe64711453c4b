import { VerbatimError } from '#protocol';
import type { Slice } from './arena.ts';
import type { CommitLog } from './commit-log.ts';
import type { CommitWriter, SealedPart } from './commit-part.ts';
import { storeError } from './files.ts';
import { JournalFile } from './journal-file.ts';
import type { BlockType, JournalMark } from './journal-format.ts';
import { encodeJson, RECORD_HEADER_BYTES } from './journal-format.ts';

/** A DATA block is cut at this size at the latest. */
export const BLOCK_PLAINTEXT_BYTES = 32 * 1024;
const FIRST_BUFFER_BYTES = 4 * 1024;
/** Audio that waits for a log that does not keep up: far more than a call brings until the log gives it up by its age. */
const MAX_WAITING_BYTES = 512 * 1024;
/** Chunks that wait for the next commit; past it marks are refused. A commit comes every second at the latest. */
const MAX_WAITING_CHUNKS = 256;
/** Journals that one recording may open one after the other in one process. */
const MAX_EPOCHS = 8;

/** What is in the log and synced: nobody can lose it any more. */
export interface Acknowledged {
  epoch: number;
  /** 0 when only the file header is there. */
  seq: number;
  /** c[seq], hex. */
  head: string;
}

export interface JournalWriterOptions {
  log: CommitLog;
  /** UUID, lower case. */
  recording: string;
  call: string;
  epoch: number;
  /** Id of the recorder process. */
  recorder: string;
  /** Last acknowledged head (hex) of the epoch before, when this one continues a recording. */
  prev?: string;
  /** age recipients (age1...): the writer cannot read back what it wrote. */
  recipients: readonly string[];
  /** The journal file broke; the recording goes on in this next epoch. Nothing acknowledged is lost. */
  onEpoch?: (epoch: number, cause: VerbatimError) => void;
  /** Nothing more can be recorded here. Called once; what was acknowledged before stays. */
  onFailed?: (error: VerbatimError) => void;
}

interface Chunk {
  type: BlockType;
  /** When its first content was appended, on the log's clock. */
  sinceUs: number;
  monotonicUs: number;
  wallMs: number;
  plaintext: Buffer;
  usedBytes: number;
}

interface Waiter {
  covers: number;
  resolve: (acknowledged: Acknowledged) => void;
  reject: (error: VerbatimError) => void;
}

type State = 'open' | 'switching' | 'ending' | 'closed' | 'failed';

/**
 * Writes one recording: packets are copied into a buffer, cut into blocks by the commit log, acknowledged when
 * they are in the log and synced. Owns the journal file of the present epoch.
 */
export class JournalWriter implements CommitWriter {
  readonly #options: JournalWriterOptions;
  readonly #log: CommitLog;
  #state: State = 'open';
  #file: JournalFile;
  /** Files of earlier epochs that broke; their blocks are safe in the log until the file is rebuilt. */
  readonly #broken = new Set<JournalFile>();
  #whole = false;
  #buffer: Buffer;
  #used = 0;
  #blockUs = 0;
  #blockWallMs = 0;
  /** When the buffer's first packet was appended, on the log's clock: `#blockUs` is the caller's word. */
  #blockSinceUs = 0;
  /** The same for the oldest of what is sealed and not committed. */
  #sealedSinceUs: number | undefined;
  #legsSeen = 0;
  #waiting: Chunk[] = [];
  #waitingBytes = 0;
  #appended = 0;
  #covered = 0;
  #acknowledged: Acknowledged;
  #waiters: Waiter[] = [];
  #error: VerbatimError | undefined;
  #end: Promise<Acknowledged> | undefined;
  #closing: Promise<void> | undefined;
  #switching: Promise<void> = Promise.resolve();

  private constructor(options: JournalWriterOptions, file: JournalFile) {
    this.#options = options;
    this.#log = options.log;
    this.#file = file;
    this.#buffer = options.log.buffers.take(FIRST_BUFFER_BYTES);
    this.#acknowledged = acknowledgedOf(file);
  }

  /**
   * Creates `<journalsDir>/<recording>-<epoch>.scj` with O_EXCL; header and name are durable on return.
   * Throws `conflict` when that epoch exists, `no_space`, `unavailable` (no descriptors, too many writers)
   * or `recording_lost`.
   */
  static async create(options: JournalWriterOptions): Promise<JournalWriter> {
    options.log.reserve();
    try {
      const file = await JournalFile.create(
        { ...options, prev: options.prev ?? null },
        options.recipients,
        options.log.context,
      );
      const writer = new JournalWriter(options, file);
      if (options.log.closed) {
        await file.close();
        throw new VerbatimError('shutting_down', 'the commit log is closed');
      }
      options.log.attach(writer);
      return writer;
    } catch (error) {
      options.log.unreserve();
      throw error;
    }
  }

  get recording(): string {
    return this.#options.recording;
  }

  get epoch(): number {
    return this.#file.identity.epoch;
  }

  get path(): string {
    return this.#file.path;
  }

  /** The newest head that cannot be lost. */
  get acknowledged(): Acknowledged {
    return this.#acknowledged;
  }

  /**
   * Records one packet, copying it. The hot path: no allocation, no cipher, no system call.
   * `monotonicUs` is the arrival on the clock of `monotonicUs()`. The first packet of a leg is committed at
   * once. False when the writer is not open (any more): the packet is not recorded.
   */
  append(leg: 0 | 1, flags: number, packet: Uint8Array, monotonicUs: number | bigint): boolean {
    if (this.#state !== 'open' && this.#state !== 'switching') return false;
    const length = packet.length;
    if (length > 0xffff) return false;
    let used = this.#used;
    if (used + RECORD_HEADER_BYTES + length > this.#buffer.length) {
      if (!this.#makeRoom(RECORD_HEADER_BYTES + length)) return false;
      used = this.#used;
    }
    const nowUs = typeof monotonicUs === 'number' ? monotonicUs : Number(monotonicUs);
    if (used === 0) {
      this.#blockUs = nowUs;
      this.#blockWallMs = this.#log.clock.wallMs();
      this.#blockSinceUs = this.#log.clock.monotonicUs();
    }
    // A packet stamped before its block's first one counts as arrived with it: the field has no sign.
    const us = nowUs > this.#blockUs ? nowUs - this.#blockUs : 0;
    const buffer = this.#buffer;
    buffer[used] = leg;
    buffer[used + 1] = flags;
    buffer[used + 2] = length >>> 8;
    buffer[used + 3] = length;
    buffer[used + 4] = us >>> 24;
    buffer[used + 5] = us >>> 16;
    buffer[used + 6] = us >>> 8;
    buffer[used + 7] = us;
    buffer.set(packet, used + RECORD_HEADER_BYTES);
    this.#used = used + RECORD_HEADER_BYTES + length;
    this.#appended += 1;
    if ((this.#legsSeen & (1 << leg)) === 0) {
      this.#legsSeen |= 1 << leg;
      this.#log.request(this);
    }
    return true;
  }

  /**
   * Writes a MARK block behind everything appended so far. False when the writer is not open, or when
   * more marks came within a second than anybody makes by hand.
   */
  mark(mark: JournalMark): boolean {
    if (this.#state !== 'open' && this.#state !== 'switching') return false;
    if (this.#waiting.length >= MAX_WAITING_CHUNKS) return false;
    this.#note('mark', encodeJson(mark));
    return true;
  }

  /**
   * Resolves when everything appended so far is acknowledged; at once when it already is. `urgent` asks for a
   * commit now instead of at the next second. Rejects when the recording failed first.
   */
  flush({ urgent = false }: { urgent?: boolean } = {}): Promise<Acknowledged> {
    if (this.#covered >= this.#appended && this.#state !== 'switching') {
      return this.#error === undefined ? Promise.resolve(this.#acknowledged) : Promise.reject(this.#error);
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ covers: this.#appended, resolve, reject });
      if (urgent) this.#log.request(this);
    });
  }

  /**
   * Writes END and closes. Resolves when END is acknowledged and every journal file of this writer holds
   * everything, synced. Idempotent: a second call gets the first one's answer. Rejects with the error that
   * ended the recording, or with the journal file's error: then the log keeps its blocks for `recoverLog`.
   */
  end(reason: string): Promise<Acknowledged> {
    this.#end ??= this.#finish(reason);
    return this.#end;
  }

  /** Leaves the journal without END: what was appended is flushed, synced and readable up to here. Idempotent. */
  close(): Promise<void> {
    // END under way closes by itself.
    if (this.#end !== undefined) return this.#end.then(nothing, nothing);
    return this.#release();
  }

  /**
   * For a writer that is over, however it ended: resolves when its journal files hold everything acknowledged, synced.
   * Then nothing of this process touches them any more. Rejects while the disk does not let it, and may be asked again;
   * `corrupt` means that it never will.
   */
  async makeWhole(): Promise<void> {
    await this.close();
    if (!this.#whole) await this.#makeFilesWhole();
  }

  // From here on: called by the commit log.

  get undurableSinceUs(): number | undefined {
    if (this.#error !== undefined) return undefined;
    const waitingUs = this.#waiting[0]?.sinceUs ?? (this.#used > 0 ? this.#blockSinceUs : undefined);
    return this.#sealedSinceUs ?? waitingUs;
  }

  get hasWork(): boolean {
    const sealable = this.#state === 'open' || this.#state === 'ending';
    return sealable && (this.#used > 0 || this.#waiting.length > 0);
  }

  /** Cuts everything appended so far into blocks. The log calls this once a commit, never twice at a time. */
  seal(): SealedPart | undefined {
    if (!this.hasWork) return undefined;
    this.#sealedSinceUs = this.undurableSinceUs;
    const slices: Slice[] = [];
    for (const chunk of this.#waiting) {
      const plaintext = chunk.plaintext.subarray(0, chunk.usedBytes);
      slices.push(this.#file.seal(chunk.type, chunk.monotonicUs, chunk.wallMs, plaintext));
      this.#log.buffers.give(chunk.plaintext);
    }
    this.#dropWaiting();
    if (this.#used > 0) {
      const plaintext = this.#buffer.subarray(0, this.#used);
      slices.push(this.#file.seal('data', this.#blockUs, this.#blockWallMs, plaintext));
      this.#used = 0;
    }
    const { seq, head } = this.#file;
    return { writer: this, file: this.#file, slices, seq, head, covers: this.#appended };
  }

  /** The part is in the log and synced. Returns how many packets and marks it acknowledges. */
  committed(part: SealedPart): number {
    const count = part.covers - this.#covered;
    this.#covered = part.covers;
    this.#sealedSinceUs = undefined;
    this.#acknowledged = { epoch: part.file.identity.epoch, seq: part.seq, head: part.head.toString('hex') };
    this.#settle();
    return count;
  }

  /** Nothing more will be recorded: the log lost a commit, or no further journal could be opened. */
  fail(error: VerbatimError): void {
    if (this.#error !== undefined || this.#state === 'closed') return;
    this.#error = error;
    this.#state = 'failed';
    this.#dropWaiting();
    this.#used = 0;
    // In a turn of its own: what the owner does in there, or throws, must not disturb a commit under way.
    queueMicrotask(() => this.#options.onFailed?.(error));
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  /** The file of the present epoch broke: go on in the next. Everything sealed so far is safe in the log. */
  journalFailed(file: JournalFile, cause: VerbatimError): void {
    if (file !== this.#file || this.#state !== 'open') return;
    this.#state = 'switching';
    this.#switching = this.#nextEpoch(cause);
  }

  async #nextEpoch(cause: VerbatimError): Promise<void> {
    // Blocks of the old epoch may be on their way into the log; `prev` must name the last acknowledged one.
    await this.#log.settled();
    if (this.#state !== 'switching') return;
    const old = this.#file;
    this.#broken.add(old);
    try {
      if (this.#broken.size >= MAX_EPOCHS) throw cause;
      const identity = { ...this.#options, epoch: old.identity.epoch + 1, prev: this.#acknowledged.head };
      const next = await JournalFile.create(identity, this.#options.recipients, this.#log.context);
      // The writer may have been given up meanwhile, and would not close this one.
      if (this.#state === 'switching') this.#file = next;
      else await next.close();
    } catch (error) {
      this.fail(storeError(error, 'next epoch'));
      return;
    }
    if (this.#state !== 'switching') return;
    this.#acknowledged = acknowledgedOf(this.#file);
    this.#state = 'open';
    const { epoch } = this;
    queueMicrotask(() => this.#options.onEpoch?.(epoch, cause));
    this.#settle();
    this.#log.request(this);
  }

  async #finish(reason: string): Promise<Acknowledged> {
    // A second file can break while the first one is being replaced.
    while (this.#state === 'switching') await this.#switching;
    try {
      if (this.#error !== undefined) throw this.#error;
      if (this.#state !== 'open') throw new VerbatimError('conflict', 'the journal is closed');
      this.#state = 'ending';
      this.#note('end', encodeJson({ reason }));
      const acknowledged = await this.flush({ urgent: true });
      await this.#makeFilesWhole();
      return acknowledged;
    } finally {
      await this.#release();
    }
  }

  #release(): Promise<void> {
    this.#closing ??= this.#shut();
    return this.#closing;
  }

  async #shut(): Promise<void> {
    while (this.#state === 'switching') await this.#switching;
    try {
      if (this.#state === 'open') {
        // No END: whoever reads this knows that the recording stops here without one.
        this.#state = 'ending';
        await this.flush({ urgent: true });
      }
    } catch (error) {
      this.#log.report(storeError(error, `journal ${this.path}`));
    }
    try {
      if (!this.#whole) await this.#makeFilesWhole();
    } catch (error) {
      // What the journals lack stays in the log for `makeWhole` or recovery, and the owner hears of it there.
      this.#log.report(storeError(error, `journal ${this.path}`));
    }
    this.#state = 'closed';
    const gone = this.#error ?? new VerbatimError('shutting_down', 'the journal is closed');
    for (const waiter of this.#waiters.splice(0)) waiter.reject(gone);
    this.#log.detach(this);
    for (const file of new Set([...this.#broken, this.#file])) await file.close();
    this.#log.buffers.give(this.#buffer);
    this.#buffer = Buffer.alloc(0);
  }

  /** Every epoch's file gets all of its acknowledged blocks, synced; a broken one is made anew from the log. */
  async #makeFilesWhole(): Promise<void> {
    // A commit may still bring blocks of ours.
    await this.#log.settled();
    await this.#log.syncJournal(this.#file).catch(() => this.#broken.add(this.#file));
    // One that was closed with blocks to write has nothing to sync, and still lacks them.
    if (this.#file.syncedSeq < this.#file.acknowledgedSeq) this.#broken.add(this.#file);
    for (const file of this.#broken) await this.#log.rebuild(file);
    this.#whole = true;
  }

  /** The present buffer is full, or a record is larger than what is left. Not on the common path. */
  #makeRoom(needBytes: number): boolean {
    const wanted = this.#used + needBytes;
    const { buffers } = this.#log;
    if (wanted <= BLOCK_PLAINTEXT_BYTES) {
      const larger = buffers.take(wanted);
      this.#buffer.copy(larger, 0, 0, this.#used);
      buffers.give(this.#buffer);
      this.#buffer = larger;
      return true;
    }
    if (this.#used > 0) {
      this.#pushPackets(this.#buffer, this.#used);
      this.#buffer = buffers.take(Math.max(needBytes, this.#used));
      this.#used = 0;
      if (this.#waitingBytes > MAX_WAITING_BYTES || this.#log.overfull) {
        this.fail(new VerbatimError('recording_lost', 'the commit log does not keep up'));
        return false;
      }
      this.#log.request(this);
    }
    if (needBytes > this.#buffer.length) {
      buffers.give(this.#buffer);
      this.#buffer = buffers.take(needBytes);
    }
    return true;
  }

  /** Marks and END keep their place among the packets, so the block before them ends there. */
  #note(type: BlockType, plaintext: Buffer): void {
    if (this.#used > 0) {
      const packets = Buffer.from(this.#buffer.subarray(0, this.#used));
      this.#pushPackets(packets, packets.length);
      this.#used = 0;
    }
    const { clock } = this.#log;
    const [nowUs, wallMs] = [clock.monotonicUs(), clock.wallMs()];
    this.#push({ type, sinceUs: nowUs, monotonicUs: nowUs, wallMs, plaintext, usedBytes: plaintext.length });
    this.#appended += 1;
  }

  #pushPackets(plaintext: Buffer, usedBytes: number): void {
    const [sinceUs, monotonicUs, wallMs] = [this.#blockSinceUs, this.#blockUs, this.#blockWallMs];
    this.#push({ type: 'data', sinceUs, monotonicUs, wallMs, plaintext, usedBytes });
  }

  #push(chunk: Chunk): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.usedBytes;
    this.#log.waitingBytes += chunk.usedBytes;
  }

  #dropWaiting(): void {
    this.#waiting = [];
    this.#log.waitingBytes -= this.#waitingBytes;
    this.#waitingBytes = 0;
  }

  #settle(): void {
    while (this.#waiters.length > 0) {
      const waiter = this.#waiters[0];
      if (waiter === undefined || waiter.covers > this.#covered) return;
      this.#waiters.shift();
      waiter.resolve(this.#acknowledged);
    }
  }
}

function acknowledgedOf(file: JournalFile): Acknowledged {
  return { epoch: file.identity.epoch, seq: file.seq, head: file.head.toString('hex') };
}

function nothing(): void {}
