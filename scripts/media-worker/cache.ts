// What: the per-user folder in which a proven worker is kept, and the lock under which one is made.
// What not: it does not know how a worker is made.
// Who may import: scripts/media-worker only.

import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const heartbeatMs = 5_000;
/** A lock whose owner has not touched it for this long is abandoned, whatever process now has its pid. */
const abandonedAfterMs = 30_000;
const pollMs = 500;

export interface CacheEntry {
  /** The folder of this version, platform, architecture and recipe. */
  readonly dir: string;
  /** Where the proven worker lies, if there is one. */
  readonly binary: string;
}

export function cacheEntry(
  key: { version: string; platform: string; arch: string; recipeHash: string },
  env: NodeJS.ProcessEnv = process.env,
): CacheEntry {
  // The XDG specification says to ignore a relative path.
  const cacheHome = env.XDG_CACHE_HOME?.startsWith('/')
    ? env.XDG_CACHE_HOME
    : join(env.HOME ?? homedir(), '.cache');
  const name = `${key.version}-${key.platform}-${key.arch}-${key.recipeHash}`;
  const dir = join(cacheHome, 'verbatim', 'media-worker', name);

  return { dir, binary: join(dir, 'mediasoup-worker') };
}

/**
 * Runs `work` while no other process does for the same entry; `onWait` is told once, with the pid that is waited for.
 *
 * The lock only saves work. Two builders that both believe to hold it (after a stale lock) build in folders of their
 * own and rename a proven binary into place, so the last one wins and both are right.
 */
export async function withLock<T>(
  entry: CacheEntry,
  onWait: (pid: number) => void,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const lock = `${entry.dir}.lock`;
  let told = false;

  mkdirSync(entry.dir, { recursive: true });

  while (!tryLock(lock)) {
    const owner = lockOwner(lock);

    if (owner === undefined || isAbandoned(lock, owner)) {
      rmSync(lock, { force: true });
      continue;
    }

    if (!told) {
      told = true;
      onWait(owner);
    }
    await delay(pollMs, undefined, signal ? { signal } : {});
  }

  const heartbeat = setInterval(() => touch(lock), heartbeatMs).unref();

  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if (lockOwner(lock) === process.pid) {
      rmSync(lock, { force: true });
    }
  }
}

/** A fresh folder beside the cached binary, so that renaming out of it stays within one file system. */
export function makeBuildDir(entry: CacheEntry): string {
  mkdirSync(entry.dir, { recursive: true });
  removeAbandonedBuilds(entry);

  const dir = join(entry.dir, `building-${process.pid}`);

  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });

  return dir;
}

/** Makes a proven binary the cached one. A crash before the rename leaves the cache as it was. */
export function publish(entry: CacheEntry, binary: string): void {
  renameSync(binary, entry.binary);
}

/** Linking a file that already has its content is one atomic step: nobody ever reads a lock without a pid. */
function tryLock(lock: string): boolean {
  const own = `${lock}.${process.pid}`;

  writeFileSync(own, `${process.pid}\n`);
  try {
    linkSync(own, lock);

    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) {
      return false;
    }

    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

function lockOwner(lock: string): number | undefined {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));

    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) {
      return undefined;
    }

    throw error;
  }
}

function isAbandoned(lock: string, owner: number): boolean {
  if (!isRunning(owner)) {
    return true;
  }

  try {
    return Date.now() - statSync(lock).mtimeMs > abandonedAfterMs;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) {
      return false;
    }

    throw error;
  }
}

function removeAbandonedBuilds(entry: CacheEntry): void {
  for (const name of readdirSync(entry.dir)) {
    const pid = /^building-(\d+)$/.exec(name)?.[1];

    if (pid !== undefined && !isRunning(Number(pid))) {
      rmSync(join(entry.dir, name), { recursive: true, force: true });
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);

    return true;
  } catch (error) {
    // EPERM: it runs, as somebody else.
    return !isErrno(error, 'ESRCH');
  }
}

function touch(lock: string): void {
  try {
    const now = new Date();

    utimesSync(lock, now, now);
  } catch (error) {
    // Taken away as abandoned: the other builder is harmless (see withLock).
    if (!isErrno(error, 'ENOENT')) {
      throw error;
    }
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
