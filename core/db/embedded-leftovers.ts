import { readdir, readFile, readlink, realpath, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VerbatimError } from '#protocol';
import type { Log } from './log.ts';

const FAST_STOP_MS = 30_000;
const HARD_STOP_MS = 5_000;
/** Backends see within this time that their postmaster died, and end by themselves. */
const NOTICE_MS = 1_000;
const POLL_MS = 20;

/** What a running postmaster says about itself in postmaster.pid. */
export interface PostmasterState {
  pid: number;
  port: number;
  ready: boolean;
}

/** The postmaster that runs on this cluster now; a stale pid file, or one of another process, is none. */
export async function postmasterOf(cluster: string): Promise<PostmasterState | undefined> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '');
  // PostgreSQL, "pidfile.h": pid, folder, start time, port, socket folder, listen address, shared memory, status.
  const lines = text.split('\n').map((line) => line.trim());
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!Number.isInteger(pid) || pid <= 0 || !(await isServerOf(pid, await realpath(cluster))))
    return undefined;
  return { pid, port, ready: lines[7] === 'ready' && Number.isInteger(port) && port > 0 };
}

/**
 * Stops what an earlier run left behind on this cluster: the whole server if its guard was killed, or backends that
 * outlived their postmaster. The caller holds the folder's lock, so nobody is entitled to them any more.
 */
export async function stopLeftovers(cluster: string, log: Log): Promise<void> {
  const dir = await realpath(cluster).catch(() => undefined);
  if (dir === undefined) return;
  let pids = await serversOf(dir);
  if (pids.length > 0) {
    const postmaster = (await postmasterOf(dir))?.pid;
    log.warn({ pids, postmaster }, 'Stopping the PostgreSQL that an earlier run left behind');
    if (postmaster !== undefined) signal(postmaster, 'SIGINT');
    pids = await waitUntilGone(dir, postmaster === undefined ? NOTICE_MS : FAST_STOP_MS);
    // Immediate shutdown: recovery from the write-ahead log follows at the next start.
    for (const pid of pids) signal(pid, 'SIGQUIT');
    pids = await waitUntilGone(dir, HARD_STOP_MS);
    if (pids.length > 0) {
      throw new VerbatimError(
        'unavailable',
        `An earlier PostgreSQL of ${dir} does not end (process ${pids.join(', ')}): end it and start again.`,
      );
    }
  }
  // With no server alive the file is stale; its pid may belong to anybody by now, at which PostgreSQL would balk.
  await rm(join(dir, 'postmaster.pid'), { force: true });
}

async function waitUntilGone(dir: string, timeoutMs: number): Promise<number[]> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const pids = await serversOf(dir);
    if (pids.length === 0 || Date.now() >= deadline) return pids;
    await delay(POLL_MS);
  }
}

/** Every PostgreSQL process that works in this folder. Only these are ever signalled. */
async function serversOf(dir: string): Promise<number[]> {
  const names = await readdir('/proc').catch(() => []);
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number);
  const ours = await Promise.all(pids.map((pid) => isServerOf(pid, dir)));
  return pids.filter((_, index) => ours[index]);
}

/** Both its program and its working folder say so; unreadable links belong to other users' processes. */
async function isServerOf(pid: number, dir: string): Promise<boolean> {
  const [exe, cwd] = await Promise.all([
    readlink(`/proc/${pid}/exe`).catch(() => ''),
    readlink(`/proc/${pid}/cwd`).catch(() => ''),
  ]);
  // A program replaced by an upgrade while it runs shows as "… (deleted)".
  return cwd === dir && basename(exe).replace(/ \(deleted\)$/, '') === 'postgres';
}

function signal(pid: number, name: 'SIGINT' | 'SIGQUIT'): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // Gone in the meantime is what we want.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
