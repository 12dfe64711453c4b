import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rename, rm, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

/** True for an error of the operating system with this code (`ENOENT`, `EEXIST`, ...). */
export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Makes the names in a directory durable: creations, renames and removals before this call. */
export async function fsyncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates a directory and its parents; the last one gets `mode`, and its name is durable on return. */
export async function mkdirDurable(dir: string, mode = 0o700): Promise<void> {
  const first = await mkdir(dir, { recursive: true, mode });
  if (first === undefined) return;
  // Every new level's name lies in its parent: walk up from the deepest to the first that was created.
  let level = dir;
  for (;;) {
    await fsyncDir(dirname(level));
    if (level === first || dirname(level) === level) return;
    level = dirname(level);
  }
}

export interface WriteOptions {
  mode?: number;
  /** Refuse with `EEXIST` when the file is already there, instead of replacing it. */
  exclusive?: boolean;
}

/**
 * Writes a whole file so that a crash leaves either the old content or the new, never a part:
 * a temporary beside it, fsync, rename (or link when exclusive), fsync of the directory.
 */
export async function writeFileDurable(
  path: string,
  bytes: Uint8Array | string,
  { mode = 0o600, exclusive = false }: WriteOptions = {},
): Promise<void> {
  const temporary = temporaryName(path);
  const handle = await open(temporary, 'wx', mode);
  try {
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (exclusive) {
      // A rename would replace what another process wrote in the meantime; a link cannot.
      await link(temporary, path);
      await unlink(temporary);
    } else {
      await rename(temporary, path);
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await fsyncDir(dirname(path));
}

/** A name beside `path` that nothing else uses. */
export function temporaryName(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.tmp`;
}

/** Renames within one file system; the new name is durable on return. */
export async function renameDurable(from: string, to: string): Promise<void> {
  await rename(from, to);
  await fsyncDir(dirname(to));
  if (dirname(from) !== dirname(to)) await fsyncDir(dirname(from));
}

/** Removes a file; that it is gone is durable on return. A file that is not there is no error. */
export async function unlinkDurable(path: string): Promise<void> {
  await rm(path, { force: true });
  await fsyncDir(dirname(path));
}
