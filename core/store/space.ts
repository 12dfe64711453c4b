import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VerbatimError } from '#protocol';
import { isErrno } from './durable.ts';

/** Folders on the way up from one that is not made yet. */
const MAX_PARENTS = 8;

/**
 * Makes sure that each of these folders lies on a file system with so much space that an ordinary user may take.
 * A folder that is not made yet counts as the one it will be made in.
 * @throws VerbatimError `no_space`
 */
export async function assertFreeSpace(folders: readonly string[], neededBytes: number): Promise<void> {
  for (const folder of folders) {
    const freeBytes = await freeSpace(folder);
    if (freeBytes < neededBytes)
      throw new VerbatimError(
        'no_space',
        `${folder}: ${mebibytes(freeBytes)} MiB are free, ${mebibytes(neededBytes)} are needed`,
      );
  }
}

/** Bytes that are left for an ordinary user where this folder lies, or will lie. */
export async function freeSpace(folder: string): Promise<number> {
  for (let [at, turn] = [folder, 0]; ; at = dirname(at), turn += 1) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      if (!isErrno(error, 'ENOENT') || turn === MAX_PARENTS || dirname(at) === at) throw error;
    }
  }
}

const mebibytes = (bytes: number): number => Math.floor(bytes / 1024 / 1024);
