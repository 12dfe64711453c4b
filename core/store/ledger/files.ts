import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fsyncDir, temporaryName } from '../durable.ts';
import type { StoreFiles } from '../files.ts';
import { systemFiles } from '../files.ts';

/** The verbs that the ledger needs of a disk, so that tests can make each of them fail or stop there. */
export interface LedgerFiles extends StoreFiles {
  /** Replaces `to`. Durable after `syncDir` of its directory. */
  rename(from: string, to: string): Promise<void>;
  /** Makes the names in a directory durable. */
  syncDir(dir: string): Promise<void>;
  /** Makes a directory and its parents (0700). Returns the topmost one made, undefined when it was there. */
  mkdir(dir: string): Promise<string | undefined>;
  /** A file that is not there is no error. */
  remove(path: string): Promise<void>;
}

export const systemLedgerFiles: LedgerFiles = {
  create: (path) => systemFiles.create(path),
  rename,
  syncDir: fsyncDir,
  mkdir: (dir) => mkdir(dir, { recursive: true, mode: 0o700 }),
  remove: (path) => rm(path, { force: true }),
};

/** Temporary names are made by one function, so that what a crash left can be told from everything else. */
export const TEMPORARY = /\.[0-9a-f]{12}\.tmp$/;

/**
 * Puts whole files in place, each by a temporary, fsync and rename, then syncs every directory touched once.
 * A crash in the middle leaves some new files, some old ones and a temporary; never a part of a file under its name.
 * Nothing may count on any of them before this returns.
 */
export async function writeFiles(files: LedgerFiles, list: readonly FileToWrite[]): Promise<void> {
  const dirs = new Set<string>();
  for (const { path, bytes } of list) {
    const dir = dirname(path);
    if (!dirs.has(dir)) {
      await makeDirs(files, dir, dirs);
      dirs.add(dir);
    }
    await writeTemporary(files, path, bytes);
  }
  for (const dir of dirs) await files.syncDir(dir);
}

export interface FileToWrite {
  path: string;
  bytes: Buffer;
}

async function writeTemporary(files: LedgerFiles, path: string, bytes: Buffer): Promise<void> {
  const temporary = temporaryName(path);
  try {
    // A crash up to the rename leaves a temporary that nothing reads; the next start removes it.
    const file = await files.create(temporary);
    try {
      await file.write([bytes], 0);
      await file.datasync();
    } finally {
      await file.close();
    }
    // A crash after it leaves the old name or the new one, each with whole content.
    await files.rename(temporary, path);
  } catch (error) {
    await files.remove(temporary).catch(() => undefined);
    throw error;
  }
}

/** New directories are names too: their parents are synced, up to the first that was there. */
async function makeDirs(files: LedgerFiles, dir: string, dirs: Set<string>): Promise<void> {
  const first = await files.mkdir(dir);
  if (first === undefined) return;
  for (let level = dir; ; level = dirname(level)) {
    dirs.add(dirname(level));
    if (level === first || dirname(level) === level) return;
  }
}
