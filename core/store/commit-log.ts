import { performance } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { VerbatimError } from '#protocol';
import { ArenaPool } from './arena.ts';
import { BufferPool } from './buffers.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import type { CommitWriter, SealedPart } from './commit-part.ts';
import { mkdirDurable } from './durable.ts';
import type { StoreFiles } from './files.ts';
import { storeError, systemFiles } from './files.ts';
import type { JournalFile } from './journal-file.ts';
import { Lanes } from './lanes.ts';
import type { LogOwner } from './log-owner.ts';
import { claimLog } from './log-owner.ts';
import { rebuildJournal } from './log-recovery.ts';
import { LogSegments } from './log-segments.ts';

export interface CommitLogOptions {
  /** The log's own directory, one per recorder process: `dataPaths().log(recorderId)`. */
  dir: string;
  journalsDir: string;
  /** Default 4. */
  maxCommitsPerSecond?: number;
  /** How often blocks are cut. Default 1000. */
  tickMs?: number;
  /** Default 64 MiB. */
  segmentBytes?: number;
  /** Past this much log, journals that hold back the oldest segment are synced ahead of their END. Default 1 GiB. */
  maxLogBytes?: number;
  /** Errors that no caller waits for. A recording that ends by one also hears it by `onFailed`. */
  onError?: (error: VerbatimError) => void;
  files?: StoreFiles;
  clock?: Clock;
}

export interface CommitLogStats {
  writers: number;
  commits: number;
  blocks: number;
  /** Bytes of commits, padding included. */
  bytes: number;
  /** Packets and marks acknowledged. */
  acknowledged: number;
  /**
   * From the first block being cut to the commit being durable, over the last 128 commits. A commit under way counts
   * with the time that it has taken so far, where that is more.
   */
  commitMsMedian: number;
  commitMsMax: number;
  journalWrites: number;
  journalSyncs: number;
  segments: number;
  logBytes: number;
  /** Memory held by blocks that are not yet in their journals. */
  arenaBytes: number;
  errors: number;
}

/** Blocks are cut once a second. */
const DEFAULT_TICK_MS = 1000;
/** Sealing a thousand calls takes tens of milliseconds: the event loop gets a turn in between. */
const SLICE_MS = 3;
/** A journal is written when this much of it waits, or after this many commits' time. */
const JOURNAL_WRITE_BYTES = 16 * 1024;
const JOURNAL_WRITE_MS = 2500;
/** Blocks in memory that their journals have not taken; past it commits wait for the journals. */
const MAX_ARENA_BYTES = 256 * 1024 * 1024;
/** The same for blocks that no commit has taken; past it the calls that bring more fail, one by one. */
const MAX_WAITING_BYTES = 256 * 1024 * 1024;
/**
 * Nothing that a call brought may stay undurable for longer: past this the recording is lost and its owner told,
 * whether the disk fails or only hangs. Until then the two sides believe that they are recorded.
 */
export const MAX_UNDURABLE_MS = 3_000;
const AGE_CHECK_MS = 250;
const MAX_WRITERS = 4096;
const JOURNAL_LANES = 2;
const LATENCIES = 128;
const DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024;
const DEFAULT_MAX_LOG_BYTES = 1024 * 1024 * 1024;

/** Group commit for all journals of one process: one write and one fdatasync for the blocks of all calls. */
export class CommitLog {
  readonly clock: Clock;
  readonly buffers = new BufferPool();
  /** What a journal file needs of its surroundings. */
  readonly context: { journalsDir: string; files: StoreFiles; arenas: ArenaPool; clock: Clock };
  /** Full blocks and marks of all writers that wait for a commit. The writers keep count. */
  waitingBytes = 0;
  readonly #options: CommitLogOptions;
  readonly #segments: LogSegments;
  readonly #owner: LogOwner;
  readonly #writers = new Set<CommitWriter>();
  /** Journals with blocks to write, and since when. */
  readonly #unwritten = new Map<JournalFile, number>();
  /** Journals that are about to be synced so that the oldest segment can go. */
  readonly #trimming = new Set<JournalFile>();
  readonly #lanes = new Lanes(JOURNAL_LANES);
  readonly #background = new Set<Promise<void>>();
  readonly #maxPerSecond: number;
  readonly #tick: NodeJS.Timeout;
  readonly #ageTimer: NodeJS.Timeout;
  #ageCheckedUs: number;
  #ageCheckLate = false;
  #reserved = 0;
  #due = new Set<CommitWriter>();
  /** Starts of the last `maxPerSecond` commits, oldest first. */
  #starts: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #kick: NodeJS.Immediate | undefined;
  #commit: Promise<void> | undefined;
  #commitStarted = 0;
  #closed = false;
  #closing: Promise<void> | undefined;
  #latencies: number[] = [];
  #counts = {
    commits: 0,
    blocks: 0,
    bytes: 0,
    acknowledged: 0,
    journalWrites: 0,
    journalSyncs: 0,
    errors: 0,
  };

  private constructor(options: CommitLogOptions, segments: LogSegments, owner: LogOwner) {
    this.#options = options;
    this.#segments = segments;
    this.#owner = owner;
    this.clock = options.clock ?? systemClock;
    this.#maxPerSecond = options.maxCommitsPerSecond ?? 4;
    this.context = {
      journalsDir: options.journalsDir,
      files: options.files ?? systemFiles,
      arenas: new ArenaPool(),
      clock: this.clock,
    };
    this.#tick = setInterval(() => this.#onTick(), options.tickMs ?? DEFAULT_TICK_MS);
    this.#ageCheckedUs = this.clock.monotonicUs();
    this.#ageTimer = setInterval(() => this.#checkAge(), AGE_CHECK_MS);
  }

  /**
   * Opens an empty log in `dir`. A directory that still holds segments is refused with `conflict`: they must
   * be replayed first (`recoverLog`), or a second process owns them.
   */
  static async open(options: CommitLogOptions): Promise<CommitLog> {
    await mkdirDurable(options.journalsDir);
    const owner = await claimLog(options.dir);
    try {
      const segments = await LogSegments.open(
        options.dir,
        options.files ?? systemFiles,
        options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
      );
      return new CommitLog(options, segments, owner);
    } catch (error) {
      await owner.release();
      throw storeError(error, `commit log ${options.dir}`);
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  stats(): CommitLogStats {
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const soFarMs = this.#commit === undefined ? 0 : performance.now() - this.#commitStarted;
    return {
      ...this.#counts,
      writers: this.#writers.size,
      commitMsMedian: Math.max(sorted[sorted.length >> 1] ?? 0, soFarMs),
      commitMsMax: Math.max(sorted.at(-1) ?? 0, soFarMs),
      segments: this.#segments.count,
      logBytes: this.#segments.bytes,
      arenaBytes: this.context.arenas.liveBytes,
    };
  }

  /** Closes what is still open (without END), syncs the journals, removes the log if nothing needs it. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#shut();
    return this.#closing;
  }

  async #shut(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#writers].map((writer) => writer.close()));
    await this.settled();
    await Promise.all(this.#background);
    clearInterval(this.#tick);
    clearInterval(this.#ageTimer);
    clearTimeout(this.#timer);
    clearImmediate(this.#kick);
    await this.#segments.close();
    await this.#owner.release();
  }

  // From here on: called by the writers.

  /** Takes a place for a writer that is about to be created. */
  reserve(): void {
    if (this.#closed) throw new VerbatimError('shutting_down', 'the commit log is closed');
    if (this.#reserved >= MAX_WRITERS) {
      throw new VerbatimError('unavailable', `a recorder carries at most ${MAX_WRITERS} recordings`);
    }
    this.#reserved += 1;
  }

  /** True when the log stands still and memory is what pays for it. */
  get overfull(): boolean {
    return this.waitingBytes > MAX_WAITING_BYTES;
  }

  unreserve(): void {
    this.#reserved -= 1;
  }

  attach(writer: CommitWriter): void {
    this.#writers.add(writer);
  }

  detach(writer: CommitWriter): void {
    this.#due.delete(writer);
    if (this.#writers.delete(writer)) this.#reserved -= 1;
  }

  /** Asks for a commit now. Requests of the same moment, and those that come during a commit, share one. */
  request(writer: CommitWriter): void {
    this.#due.add(writer);
    this.#schedule();
  }

  /** Resolves when no commit is under way: everything sealed so far is acknowledged or failed. */
  async settled(): Promise<void> {
    await this.#commit;
  }

  /** Writes and syncs a journal now. Rejects with the file's error. */
  async syncJournal(file: JournalFile): Promise<void> {
    await this.#lanes.run(() => this.#sync(file), { urgent: true });
  }

  /** Makes the file of a journal that broke anew from what is readable of it and the log. */
  async rebuild(file: JournalFile): Promise<void> {
    const paths = this.#segments.holding(file);
    const seq = await this.#lanes.run(() => rebuildJournal(file.path, paths), { urgent: true });
    if (seq < file.acknowledgedSeq) {
      const wanted = file.acknowledgedSeq;
      throw new VerbatimError('corrupt', `${file.path}: block ${seq} of ${wanted} is the last to be found`);
    }
    file.rebuilt();
    await this.#segments.synced(file, file.syncedSeq);
  }

  report(error: VerbatimError): void {
    this.#counts.errors += 1;
    this.#options.onError?.(error);
  }

  #onTick(): void {
    for (const writer of this.#writers) if (writer.hasWork) this.#due.add(writer);
    this.#schedule();
    this.#writeJournals();
    this.#trim();
  }

  /** Gives up the recordings that the disk, or a next journal, keeps waiting. */
  #checkAge(): void {
    const nowUs = this.clock.monotonicUs();
    const late = nowUs - this.#ageCheckedUs > 2 * AGE_CHECK_MS * 1000;
    this.#ageCheckedUs = nowUs;
    // A process that stood still has kept its own blocks waiting and commits them next; a second time does not count.
    this.#ageCheckLate = late && !this.#ageCheckLate;
    if (this.#ageCheckLate) return;
    for (const writer of this.#writers) {
      const sinceUs = writer.undurableSinceUs;
      if (sinceUs === undefined || nowUs - sinceUs <= MAX_UNDURABLE_MS * 1000) continue;
      writer.fail(
        new VerbatimError('recording_lost', `nothing became durable for more than ${MAX_UNDURABLE_MS} ms`),
      );
    }
  }

  #schedule(): void {
    if (this.#due.size === 0 || this.#commit !== undefined) return;
    if (this.#timer !== undefined || this.#kick !== undefined) return;
    const waitMs = this.#waitMs(performance.now());
    if (waitMs > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#schedule();
      }, Math.ceil(waitMs));
    } else {
      // Not at once: everything that arrived in the same turn of the event loop belongs into this commit.
      this.#kick = setImmediate(() => {
        this.#kick = undefined;
        this.#start();
      });
    }
  }

  /**
   * Never more than `maxPerSecond` commits in any second. A first urgent one goes at once, so does a second
   * (the other leg of the same call); when more come they are spaced evenly, so that none waits long.
   */
  #waitMs(now: number): number {
    const max = this.#maxPerSecond;
    const recent = this.#starts.filter((start) => now - start < 1000);
    const last = recent.at(-1);
    if (last === undefined) return 0;
    const oldest = recent.length >= max ? recent[recent.length - max] : undefined;
    const full = oldest === undefined ? 0 : oldest + 1000 - now;
    const spaced = recent.length >= 2 ? last + 1000 / max - now : 0;
    return Math.max(full, spaced);
  }

  #start(): void {
    if (this.#commit !== undefined || this.#due.size === 0) return;
    this.#commitStarted = performance.now();
    this.#commit = this.#run().finally(() => {
      this.#commit = undefined;
      this.#schedule();
    });
  }

  async #run(): Promise<void> {
    const started = performance.now();
    const due = this.#due;
    this.#due = new Set();
    const parts = await this.#seal(due, started);
    const run = this.context.arenas.takeRun();
    if (parts.length === 0) return;
    this.#starts.push(started);
    if (this.#starts.length > this.#maxPerSecond) this.#starts.shift();
    const feeds = new Map(parts.map((part) => [part.file, part.seq]));
    try {
      const bytes = await this.#segments.append(run, feeds, (error) => this.report(error));
      this.#acknowledge(parts, bytes, performance.now() - started);
    } catch (cause) {
      const error = storeError(cause, 'commit log');
      this.report(error);
      for (const part of parts) {
        for (const slice of part.slices) this.context.arenas.release(slice);
        part.writer.fail(error);
      }
    }
    this.#writeJournals();
    // Journals that fall behind hold memory: better that commits are late, which writers notice and bound.
    while (this.context.arenas.liveBytes > MAX_ARENA_BYTES && this.#background.size > 0) {
      await Promise.race(this.#background);
    }
  }

  async #seal(due: Set<CommitWriter>, started: number): Promise<SealedPart[]> {
    const parts: SealedPart[] = [];
    let sliceStart = started;
    for (const writer of due) {
      try {
        const part = writer.seal();
        if (part !== undefined) parts.push(part);
      } catch (cause) {
        // Its chain is in an unknown state; the others are not to suffer for it.
        writer.fail(storeError(cause, `sealing ${writer.path}`));
      }
      if (performance.now() - sliceStart > SLICE_MS) {
        await turn();
        sliceStart = performance.now();
      }
    }
    return parts;
  }

  #acknowledge(parts: SealedPart[], bytes: number, tookMs: number): void {
    const counts = this.#counts;
    counts.commits += 1;
    counts.bytes += bytes;
    this.#latencies.push(tookMs);
    if (this.#latencies.length > LATENCIES) this.#latencies.shift();
    const now = performance.now();
    for (const part of parts) {
      counts.blocks += part.slices.length;
      part.file.enqueue(part.slices, part.seq);
      if (!this.#unwritten.has(part.file)) this.#unwritten.set(part.file, now);
      counts.acknowledged += part.writer.committed(part);
    }
  }

  #writeJournals(): void {
    const now = performance.now();
    for (const [file, since] of this.#unwritten) {
      if (file.pendingBytes < JOURNAL_WRITE_BYTES && now - since < JOURNAL_WRITE_MS) continue;
      this.#unwritten.delete(file);
      if (file.pendingBytes > 0) this.#inBackground(file, () => this.#write(file));
    }
  }

  async #write(file: JournalFile): Promise<void> {
    await file.write();
    this.#counts.journalWrites += 1;
  }

  async #sync(file: JournalFile): Promise<void> {
    this.#unwritten.delete(file);
    await file.sync();
    this.#counts.journalSyncs += 1;
    await this.#segments.synced(file, file.syncedSeq);
  }

  /** A share of the journals that hold back the oldest segment each second, so that syncs do not come in bursts. */
  #trim(): void {
    if (this.#segments.bytes <= (this.#options.maxLogBytes ?? DEFAULT_MAX_LOG_BYTES)) return;
    for (const file of this.#segments.holdingBack()) {
      if (file.failure !== undefined || this.#trimming.has(file)) continue;
      this.#trimming.add(file);
      this.#inBackground(file, () => this.#sync(file).finally(() => this.#trimming.delete(file)));
    }
  }

  #inBackground(file: JournalFile, operation: () => Promise<void>): void {
    const work = this.#lanes.run(operation).catch((error: unknown) => {
      const failure = storeError(error, `journal ${file.path}`);
      this.report(failure);
      for (const writer of this.#writers) writer.journalFailed(file, failure);
    });
    this.#background.add(work);
    void work.finally(() => this.#background.delete(work));
  }
}
