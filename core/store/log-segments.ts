import { readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { VerbatimError } from '#protocol';
import { fsyncDir, isErrno } from './durable.ts';
import type { DataFile, StoreFiles } from './files.ts';
import { storeError } from './files.ts';
import type { JournalFile } from './journal-file.ts';
import { alignUp, LOG_PAGE_BYTES } from './log-format.ts';

const SEGMENT_NAME = /^[0-9]{12}\.wal$/;
const PADDING = Buffer.alloc(LOG_PAGE_BYTES);
/** The share of an old segment's journals that are synced each second: it is gone after a few seconds. */
const TRIM_SHARE = 8;

interface Segment {
  path: string;
  sizeBytes: number;
  /** Journals whose blocks lie here and are not synced past the given sequence number. */
  feeds: Map<JournalFile, number>;
}

/** The segment files of a commit log that is being written. The last one is appended to, the others wait to go. */
export class LogSegments {
  readonly #dir: string;
  readonly #files: StoreFiles;
  readonly #segmentBytes: number;
  readonly #segments: Segment[] = [];
  #file: DataFile | undefined;
  #next = 1;

  private constructor(dir: string, files: StoreFiles, segmentBytes: number) {
    this.#dir = dir;
    this.#files = files;
    this.#segmentBytes = segmentBytes;
  }

  static async open(dir: string, files: StoreFiles, segmentBytes: number): Promise<LogSegments> {
    const left = await listSegments(dir);
    if (left.length > 0)
      throw new VerbatimError('conflict', `${dir} holds a log that must be replayed first`);
    const segments = new LogSegments(dir, files, segmentBytes);
    await segments.#rotate();
    return segments;
  }

  get count(): number {
    return this.#segments.length;
  }

  get bytes(): number {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.sizeBytes;
    return bytes;
  }

  /** The segments, oldest first, that hold blocks of a journal beyond what it has synced. They do not go away. */
  holding(file: JournalFile): string[] {
    return this.#segments.filter((segment) => segment.feeds.has(file)).map((segment) => segment.path);
  }

  /**
   * One commit: one write, one fdatasync. Returns the bytes it took. An error is final for the segment: the
   * very same bytes go to a new one, so no (key, seq) pair ever meets two different blocks, and a replay that
   * finds them in both is no worse off. When that fails too nothing was acknowledged, and it throws.
   */
  async append(
    run: Buffer[],
    feeds: Map<JournalFile, number>,
    onError: (error: VerbatimError) => void,
  ): Promise<number> {
    const current = this.#segments.at(-1);
    if (this.#file === undefined) await this.#rotate();
    else if (current !== undefined && current.sizeBytes >= this.#segmentBytes) {
      // No room for a new segment is no reason to give up one that works.
      await this.#rotate().catch((error: unknown) => onError(storeError(error, 'next log segment')));
    }
    try {
      return await this.#write(run, feeds);
    } catch (error) {
      onError(storeError(error, `log segment ${this.#segments.at(-1)?.path}`));
    }
    try {
      await this.#rotate();
      return await this.#write(run, feeds);
    } catch (error) {
      await this.#retire();
      throw error;
    }
  }

  /** A journal is durable up to `seq`: segments that nothing else needs go. */
  async synced(file: JournalFile, seq: number): Promise<void> {
    for (const segment of this.#segments) {
      const last = segment.feeds.get(file);
      if (last !== undefined && last <= seq) segment.feeds.delete(file);
    }
    await this.#removeFree();
  }

  /** Some of the journals that keep the oldest segment from going. */
  holdingBack(): JournalFile[] {
    const oldest = this.#segments[0];
    if (oldest === undefined || this.#segments.length < 2) return [];
    return [...oldest.feeds.keys()].slice(0, Math.ceil(oldest.feeds.size / TRIM_SHARE));
  }

  /** What a journal still needs stays on disk for `recoverLog`. */
  async close(): Promise<void> {
    await this.#retire();
    await this.#removeFree();
  }

  async #write(run: Buffer[], feeds: Map<JournalFile, number>): Promise<number> {
    const segment = this.#segments.at(-1);
    if (segment === undefined || this.#file === undefined) throw new Error('no log segment is open');
    let bytes = 0;
    for (const buffer of run) bytes += buffer.length;
    const padded = alignUp(bytes, LOG_PAGE_BYTES);
    await this.#file.write([...run, PADDING.subarray(0, padded - bytes)], segment.sizeBytes);
    await this.#file.datasync();
    segment.sizeBytes += padded;
    for (const [file, seq] of feeds) segment.feeds.set(file, seq);
    return padded;
  }

  /** The name of the new segment is durable before anything in it counts. */
  async #rotate(): Promise<void> {
    // Counted first: a name that cannot be created is not tried for ever.
    const path = join(this.#dir, `${String(this.#next++).padStart(12, '0')}.wal`);
    const file = await this.#files.create(path);
    try {
      await fsyncDir(this.#dir);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#retire();
    this.#file = file;
    this.#segments.push({ path, sizeBytes: 0, feeds: new Map() });
  }

  async #retire(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    // All that counts in it was synced before, so an error while closing changes nothing.
    await file?.close().catch(() => undefined);
  }

  async #removeFree(): Promise<void> {
    const current = this.#file === undefined ? undefined : this.#segments.at(-1);
    for (const segment of [...this.#segments]) {
      if (segment === current || segment.feeds.size > 0) continue;
      const at = this.#segments.indexOf(segment);
      if (at < 0) continue;
      this.#segments.splice(at, 1);
      // A segment that stays behind is replayed once more, which changes nothing.
      await unlink(segment.path).catch(() => undefined);
    }
  }
}

/** Segment paths of a log, oldest first. */
export async function listSegments(dir: string): Promise<string[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  return names
    .filter((name) => SEGMENT_NAME.test(name))
    .sort()
    .map((name) => join(dir, name));
}
