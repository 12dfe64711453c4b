import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VerbatimError } from '#protocol';
import { isErrno } from '../durable.ts';
import type { DataFile } from '../files.ts';
import { storeError } from '../files.ts';
import type { LedgerFiles } from './files.ts';
import type { Commit, SegmentContent } from './wal-format.ts';
import { encodeCommit, readSegment } from './wal-format.ts';

const SEGMENT_NAME = /^[0-9]{12}\.wal$/;
/** A segment this large whose entries are all published is put away; the next commit begins another one. */
const PUT_AWAY_BYTES = 1024 * 1024;
/** Segments are read whole at the start, so none grows much past this. */
const MAX_SEGMENT_BYTES = 8 * 1024 * 1024;
/** More than the writer ever leaves in one segment: a larger file is not ours. */
const MAX_READ_BYTES = 64 * 1024 * 1024;

interface Segment {
  path: string;
  sizeBytes: number;
  commits: number;
  /** Index behind its last entry; what the tree holds up to here is not needed of this segment. */
  endIndex: number;
}

/** The write-ahead file of the ledger, in segments. Acknowledged means: in here and synced. */
export class WriteAhead {
  readonly #dir: string;
  readonly #files: LedgerFiles;
  /** Oldest first; the last one is appended to while `#file` is open. */
  readonly #segments: Segment[];
  #file: DataFile | undefined;
  #next: number;

  private constructor(dir: string, files: LedgerFiles, segments: Segment[]) {
    this.#dir = dir;
    this.#files = files;
    this.#segments = segments;
    this.#next = Number(segments.at(-1)?.path.slice(-16, -4) ?? 0) + 1;
  }

  /** Goes on behind what earlier processes left, which is only read: a torn end is never written to again. */
  static open(dir: string, files: LedgerFiles, found: readonly FoundSegment[]): WriteAhead {
    return new WriteAhead(
      dir,
      files,
      found.map(({ path, sizeBytes, content }) => ({
        path,
        sizeBytes,
        commits: content.commits.length,
        endIndex: endOf(content),
      })),
    );
  }

  get bytes(): number {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.sizeBytes;
    return bytes;
  }

  /**
   * One commit: one write, one fdatasync. When it returns the entries are durable.
   * An error is final for the segment, since nobody knows what of it is on the disk: the same entries go to a new
   * one. When that fails too it throws, and the caller may come again with the same entries and no others.
   */
  async commit(commit: Commit, onError: (error: VerbatimError) => void): Promise<void> {
    if (this.#file !== undefined) {
      const current = this.#segments.at(-1);
      if (current !== undefined && current.sizeBytes >= MAX_SEGMENT_BYTES) await this.#retire();
      else {
        try {
          return await this.#write(commit);
        } catch (error) {
          onError(storeError(error, `write-ahead segment ${current?.path}`));
          await this.#retire();
        }
      }
    }
    try {
      await this.#rotate();
      await this.#write(commit);
    } catch (error) {
      await this.#retire();
      throw error;
    }
  }

  /** The published tree holds the entries below `size`, on disk: segments that hold nothing else go. */
  async published(size: number): Promise<void> {
    const current = this.#file === undefined ? undefined : this.#segments.at(-1);
    if (current !== undefined && current.endIndex <= size && current.sizeBytes >= PUT_AWAY_BYTES) {
      await this.#retire();
      return this.#drop((segment) => segment.endIndex <= size);
    }
    return this.#drop((segment) => segment !== current && segment.endIndex <= size);
  }

  /** What the tree does not hold stays for the next start. */
  async close(size: number): Promise<void> {
    await this.#retire();
    await this.#drop((segment) => segment.endIndex <= size);
  }

  async #write(commit: Commit): Promise<void> {
    const segment = this.#segments.at(-1);
    if (segment === undefined || this.#file === undefined) throw new Error('no write-ahead segment is open');
    const bytes = encodeCommit(segment.commits + 1, commit);
    // A crash up to the end of the sync leaves a torn commit or a whole one. Nobody was told of either; a whole one
    // counts at the next start.
    await this.#file.write([bytes], segment.sizeBytes);
    await this.#file.datasync();
    segment.sizeBytes += bytes.length;
    segment.commits += 1;
    segment.endIndex = commit.firstIndex + commit.entries.length;
  }

  /** A crash in here leaves an empty segment. Its name is durable before anything in it counts. */
  async #rotate(): Promise<void> {
    // Counted first: a name that cannot be created is not tried for ever.
    const path = join(this.#dir, `${String(this.#next++).padStart(12, '0')}.wal`);
    const made = await this.#files.mkdir(this.#dir);
    const file = await this.#files.create(path);
    this.#file = file;
    this.#segments.push({ path, sizeBytes: 0, commits: 0, endIndex: 0 });
    await this.#files.syncDir(this.#dir);
    if (made !== undefined) await this.#files.syncDir(join(this.#dir, '..'));
  }

  async #retire(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    // All that counts in it was synced before, so an error while closing changes nothing.
    await file?.close().catch(() => undefined);
    // One without a commit holds nothing that anybody was told of, whatever reached the disk.
    await this.#drop((segment) => segment.commits === 0);
  }

  async #drop(wanted: (segment: Segment) => boolean): Promise<void> {
    for (const segment of this.#segments.filter(wanted)) {
      this.#segments.splice(this.#segments.indexOf(segment), 1);
      // One that stays behind, here or after a crash, is compared with the tree at the next start and goes then.
      await this.#files.remove(segment.path).catch(() => undefined);
    }
  }
}

export interface FoundSegment {
  path: string;
  sizeBytes: number;
  content: SegmentContent;
}

/** Every segment in a directory, oldest first, read whole. An unreadable file throws the system's error. */
export async function readSegments(dir: string): Promise<FoundSegment[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const found: FoundSegment[] = [];
  for (const name of names.filter((name) => SEGMENT_NAME.test(name)).sort()) {
    const path = join(dir, name);
    const bytes = await readFile(path).catch((error: unknown) => {
      // A writer that runs may remove one in this moment; its entries are in the tree.
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (bytes === undefined) continue;
    const content: SegmentContent =
      bytes.length > MAX_READ_BYTES
        ? { commits: [], problem: `${bytes.length} bytes is more than a segment may have` }
        : readSegment(bytes);
    found.push({ path, sizeBytes: bytes.length, content });
  }
  return found;
}

export function endOf({ commits }: SegmentContent): number {
  const last = commits.at(-1);
  return last === undefined ? 0 : last.firstIndex + last.entries.length;
}

/** For callers that must tell a writer why nothing can be entered. */
export function unavailable(message: string, cause?: unknown): VerbatimError {
  return new VerbatimError('evidence_unavailable', message, cause === undefined ? undefined : { cause });
}
