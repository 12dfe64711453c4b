import type { FileHandle } from 'node:fs/promises';
import { lstat, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fsyncDir, isErrno } from './durable.ts';

/** Keys lie in the first kilobytes: an age header has 266 bytes, a journal's header some 700, an opening far less than this. */
export const SHREDDED_BYTES = 64 * 1024;

/**
 * Destroys a file: writes zeros over its first 64 KiB (all of a small file), syncs them, removes the name, and syncs the
 * directory. Only for files that hold a key, or whose beginning makes the rest readable. Where the disk keeps older
 * versions of a block (SSDs, snapshots, backups) the zeros do not reach those.
 *
 * A crash leaves the file whole, or with zeros in it, or gone; asking again goes on. A link is removed and not followed.
 * Answers false when there was none.
 * @throws what the disk says
 */
export async function shredFile(path: string): Promise<boolean> {
  try {
    if ((await lstat(path)).isFile()) await overwrite(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
  await rm(path, { force: true });
  await fsyncDir(dirname(path));
  return true;
}

async function overwrite(path: string): Promise<void> {
  const file: FileHandle = await open(path, 'r+');
  try {
    const { size } = await file.stat();
    const zeros = Buffer.alloc(Math.min(size, SHREDDED_BYTES));
    for (let at = 0; at < zeros.length; ) {
      const { bytesWritten } = await file.write(zeros, at, zeros.length - at, at);
      at += bytesWritten;
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
