import type { Dirent } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { copyFile, link, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { VerbatimError } from '#protocol';
import { fsyncDir, isErrno, temporaryName } from './durable.ts';
import { storeError } from './files.ts';
import { BLOCK_HEADER_BYTES, CHAIN_BYTES, chainHead } from './journal-format.ts';
import { readJournal } from './journal-reader.ts';
import { scanSegment } from './log-format.ts';
import type { LogOwner } from './log-owner.ts';
import { ownersOf, takeLog } from './log-owner.ts';
import { listSegments } from './log-segments.ts';
import { journalName, parseJournalName } from './paths.ts';

/** A segment is 64 MiB and its last commit; a much larger file is not ours. */
const MAX_SEGMENT_BYTES = 1024 * 1024 * 1024;

export interface ReplayedJournal {
  recording: string;
  epoch: number;
  path: string;
  /**
   * - `whole`: the journal holds every block that the log has for it, synced.
   * - `missing`: there is no such journal (any more); the log alone cannot be read, it has no key.
   * - `broken`: the journal or the log lacks or contradicts blocks; nothing wrong was written over, see `problem`.
   */
  status: 'whole' | 'missing' | 'broken';
  /** Blocks that were in the log only. */
  appendedBlocks: number;
  /** Last block after the replay. */
  seq: number;
  problem?: string;
  /** Log and journal could both be read and do not fit together. Otherwise it is worth trying again. */
  contradicts?: boolean;
}

export interface LogRecovery {
  walDir: string;
  segments: number;
  blocks: number;
  /** Pages at the end of segments that hold no whole record: a commit that nobody was told about. */
  badPages: number;
  journals: ReplayedJournal[];
  /** True when everything is in the journals and the log is gone. */
  removed: boolean;
}

/**
 * Replays the log of a recorder that is gone into the journals and removes it. Idempotent: it may be stopped
 * and started again at any point, and only one process does it. A log with a broken journal is kept. A log that is
 * not there needs nothing. `conflict` while the recorder, or another recovery, runs.
 */
export async function recoverLog(options: { walDir: string; journalsDir: string }): Promise<LogRecovery> {
  const { walDir, journalsDir } = options;
  let owner: LogOwner;
  try {
    owner = await takeLog(walDir);
  } catch (error) {
    if (isErrno(error, 'ENOENT'))
      return { walDir, segments: 0, blocks: 0, badPages: 0, journals: [], removed: true };
    throw error;
  }
  try {
    return await replayLog(walDir, journalsDir);
  } finally {
    // Also removes the directory, unless segments or files that are not ours are left in it.
    await owner.release();
    await fsyncDir(dirname(walDir));
  }
}

/** Replays every log below `walRoot` whose process is gone. Logs in use are left alone. */
export async function recoverLogs(options: { walRoot: string; journalsDir: string }): Promise<LogRecovery[]> {
  const recoveries: LogRecovery[] = [];
  let entries: Dirent[];
  try {
    entries = await readdir(options.walRoot, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  for (const name of names.sort()) {
    const walDir = join(options.walRoot, name);
    try {
      // Some other directory, or one that is about to get its owner: there is nothing to replay.
      if ((await ownersOf(walDir)).length + (await listSegments(walDir)).length === 0) continue;
      recoveries.push(await recoverLog({ walDir, journalsDir: options.journalsDir }));
    } catch (error) {
      // Its recorder lives, or took it away in this moment.
      if (!isErrno(error, 'ENOENT') && !(error instanceof VerbatimError && error.code === 'conflict'))
        throw error;
    }
  }
  return recoveries;
}

/** By the owner only. */
async function replayLog(walDir: string, journalsDir: string): Promise<LogRecovery> {
  const segments = await listSegments(walDir);
  const index = await indexLog(segments);
  const journals: ReplayedJournal[] = [];
  for (const entry of index.journals.values()) {
    const path = join(journalsDir, journalName(entry.recording, entry.epoch));
    journals.push(await replayInPlace(path, entry));
  }
  // The journals are synced, each by its replay. Only then may the log go.
  const removed = journals.every((journal) => journal.status !== 'broken');
  if (removed) for (const segment of segments) await unlink(segment);
  const { blocks, badPages } = index;
  return { walDir, segments: segments.length, blocks, badPages, journals, removed };
}

/** The journals of one recording, oldest epoch first, whatever any queue or database says. */
export async function listJournals(
  journalsDir: string,
  recording: string,
): Promise<{ epoch: number; path: string }[]> {
  const found: { epoch: number; path: string }[] = [];
  for (const name of await readdir(journalsDir)) {
    const parsed = parseJournalName(name);
    if (parsed?.recording === recording) found.push({ epoch: parsed.epoch, path: join(journalsDir, name) });
  }
  return found.sort((a, b) => a.epoch - b.epoch);
}

/**
 * Makes the file of a journal whose disk writes failed anew: its readable part, then the log's blocks, in a
 * new file that takes the old one's name when it is synced. Returns the last block. Throws `corrupt` when the
 * two do not fit together.
 */
export async function rebuildJournal(path: string, segments: string[]): Promise<number> {
  const name = parseJournalName(basename(path));
  if (name === undefined) throw new VerbatimError('internal', `${path} is not the name of a journal`);
  const index = await indexLog(segments, name);
  const blocks = [...index.journals.values()][0]?.blocks ?? [];
  const temporary = temporaryName(path);
  try {
    await copyFile(path, temporary);
    const replayed = await replay(temporary, blocks, path);
    if (replayed.problem !== undefined) throw new VerbatimError('corrupt', `${path}: ${replayed.problem}`);
    // The copy's tail is kept beside it; what is left of it here would stand behind END.
    await truncateDurable(temporary, replayed.endBytes);
    await rename(temporary, path);
    await fsyncDir(dirname(path));
    return replayed.seq;
  } finally {
    await rm(temporary, { force: true });
  }
}

interface LoggedBlock {
  segment: string;
  seq: number;
  offset: number;
  bytes: number;
}

interface LoggedJournal {
  recording: string;
  epoch: number;
  /** In the order of the log. */
  blocks: LoggedBlock[];
}

interface LogIndex {
  journals: Map<string, LoggedJournal>;
  blocks: number;
  badPages: number;
}

/** Where each journal's blocks lie; one segment in memory at a time. */
async function indexLog(segments: string[], only?: { recording: string; epoch: number }): Promise<LogIndex> {
  const index: LogIndex = { journals: new Map(), blocks: 0, badPages: 0 };
  for (const segment of segments) {
    const { size } = await stat(segment);
    if (size > MAX_SEGMENT_BYTES)
      throw new VerbatimError('corrupt', `${segment} is too large to be a log segment`);
    const scanned = scanSegment(await readFile(segment));
    index.badPages += scanned.badPages;
    for (const record of scanned.records) {
      if (only !== undefined && (record.recording !== only.recording || record.epoch !== only.epoch))
        continue;
      index.blocks += 1;
      const key = journalName(record.recording, record.epoch);
      let journal = index.journals.get(key);
      if (journal === undefined) {
        journal = { recording: record.recording, epoch: record.epoch, blocks: [] };
        index.journals.set(key, journal);
      }
      journal.blocks.push({ segment, seq: record.seq, offset: record.blockOffset, bytes: record.blockBytes });
    }
  }
  return index;
}

async function replayInPlace(path: string, journal: LoggedJournal): Promise<ReplayedJournal> {
  const { recording, epoch } = journal;
  try {
    const replayed = await replay(path, journal.blocks);
    const { appendedBlocks, seq, problem } = replayed;
    if (problem !== undefined)
      return { recording, epoch, path, status: 'broken', appendedBlocks, seq, problem, contradicts: true };
    return { recording, epoch, path, status: 'whole', appendedBlocks, seq };
  } catch (error) {
    const nothing = { recording, epoch, path, appendedBlocks: 0, seq: 0 };
    if (isErrno(error, 'ENOENT')) return { ...nothing, status: 'missing' };
    // One journal on a bad spot of the disk does not keep the others from being replayed.
    return { ...nothing, status: 'broken', problem: storeError(error, 'replay').message };
  }
}

interface Replayed {
  appendedBlocks: number;
  seq: number;
  /** Where the last block ends. */
  endBytes: number;
  problem?: string;
}

/**
 * Writes the log's blocks into a journal, each at its place, and syncs it. Blocks that are there already are
 * written again: after a failed sync the system may believe a page to be on disk that is not. Bytes behind the
 * verified part that are about to change are kept in `<keepAs>.tail` first.
 */
async function replay(path: string, blocks: LoggedBlock[], keepAs = path): Promise<Replayed> {
  const prefix = await verifiedPrefix(path);
  if (prefix.head.length === 0) {
    return { appendedBlocks: 0, seq: 0, endBytes: 0, problem: 'the file header does not verify' };
  }
  const journal = await open(path, 'r+');
  const sources = new Map<string, FileHandle>();
  try {
    let { head, seq, end } = prefix;
    let appendedBlocks = 0;
    let tailKept = prefix.sizeBytes === end;
    const fail = (problem: string): Replayed => ({ appendedBlocks, seq, endBytes: end, problem });
    for (const logged of blocks) {
      const bytes = await readBlock(logged, sources);
      if (logged.seq <= seq) {
        const at = prefix.offsets[logged.seq];
        // Written by this very replay: the log holds it twice, after a segment that broke.
        if (at === undefined) continue;
        const there = Buffer.alloc(CHAIN_BYTES);
        const chainAt = at + logged.bytes - CHAIN_BYTES;
        await journal.read(there, 0, CHAIN_BYTES, chainAt);
        if (!there.equals(bytes.subarray(logged.bytes - CHAIN_BYTES))) {
          return fail(`the log and the journal have different blocks ${logged.seq}`);
        }
        await writeAt(journal, bytes, at);
        continue;
      }
      if (logged.seq !== seq + 1) return fail(`block ${seq + 1} is neither in the journal nor in the log`);
      const next = chainHead(
        head,
        bytes.subarray(0, BLOCK_HEADER_BYTES),
        bytes.subarray(BLOCK_HEADER_BYTES, logged.bytes - CHAIN_BYTES),
      );
      if (!next.equals(bytes.subarray(logged.bytes - CHAIN_BYTES))) {
        return fail(`block ${logged.seq} in the log does not follow the chain`);
      }
      if (!tailKept) {
        await keepTail(path, end, keepAs);
        tailKept = true;
      }
      await writeAt(journal, bytes, end);
      head = next;
      seq = logged.seq;
      end += logged.bytes;
      appendedBlocks += 1;
    }
    return { appendedBlocks, seq, endBytes: end };
  } finally {
    for (const source of sources.values()) await source.close();
    try {
      await journal.sync();
    } finally {
      await journal.close();
    }
  }
}

/** What of a journal verifies, and where its blocks lie. */
async function verifiedPrefix(
  path: string,
): Promise<{ head: Buffer; seq: number; end: number; offsets: (number | undefined)[]; sizeBytes: number }> {
  const reader = await readJournal(path);
  const offsets: (number | undefined)[] = [undefined];
  for await (const block of reader) offsets.push(block.offsetBytes);
  const { seq, head, goodBytes, sizeBytes } = reader.result;
  return { head: Buffer.from(head, 'hex'), seq, end: goodBytes, offsets, sizeBytes };
}

/** Copies what lies behind the verified part to a file beside the journal. An older copy is never replaced. */
async function keepTail(path: string, from: number, keepAs: string): Promise<void> {
  const temporary = temporaryName(keepAs);
  const source = await open(path, 'r');
  try {
    const target = await open(temporary, 'wx', 0o600);
    try {
      const buffer = Buffer.alloc(1024 * 1024);
      for (let at = from; ; ) {
        const { bytesRead } = await source.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) break;
        await writeAt(target, buffer.subarray(0, bytesRead), at - from);
        at += bytesRead;
      }
      await target.sync();
    } finally {
      await target.close();
    }
    for (let number = 1; ; number += 1) {
      try {
        await link(temporary, `${keepAs}.tail${number === 1 ? '' : number}`);
        break;
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error;
      }
    }
  } finally {
    await source.close();
    await rm(temporary, { force: true });
  }
  await fsyncDir(dirname(keepAs));
}

async function truncateDurable(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.truncate(sizeBytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readBlock(logged: LoggedBlock, sources: Map<string, FileHandle>): Promise<Buffer> {
  let source = sources.get(logged.segment);
  if (source === undefined) {
    source = await open(logged.segment, 'r');
    sources.set(logged.segment, source);
  }
  const bytes = Buffer.allocUnsafe(logged.bytes);
  const { bytesRead } = await source.read(bytes, 0, logged.bytes, logged.offset);
  if (bytesRead !== logged.bytes)
    throw new VerbatimError('corrupt', `${logged.segment} is shorter than it was`);
  return bytes;
}

async function writeAt(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}
