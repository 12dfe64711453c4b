import { randomBytes } from 'node:crypto';
import { link, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { VerbatimError } from '#protocol';

/** Whose lock it is. A pid alone is reused sooner or later; with its start time and the boot it is unique. */
interface Holder {
  pid: number;
  startTicks: string;
  bootId: string;
  purpose: string;
  nonce: string;
}

export interface HeldLock {
  /** Idempotent. */
  release(): Promise<void>;
}

const POLL_MS = 50;

/**
 * Holds `path` for this process, so that no other one does what it guards. The lock of a process that is gone
 * counts as free. Waits `waitMs` at most, then throws VerbatimError `unavailable` that names the holder.
 * The file is local to one machine (and one pid namespace), like the folder that it guards.
 */
export async function holdLock(
  path: string,
  { purpose, what, waitMs }: { purpose: string; what: string; waitMs: number },
): Promise<HeldLock> {
  const me: Holder = { ...(await identityOf(process.pid)), purpose, nonce: randomBytes(8).toString('hex') };
  const deadline = Date.now() + waitMs;
  for (;;) {
    const holder = await tryHold(path, me);
    if (holder === undefined) return { release: releaser(path, me) };
    if (Date.now() >= deadline) {
      throw new VerbatimError(
        'unavailable',
        `${what} is in use by ${holder.purpose} (process ${holder.pid}): stop that one first.`,
      );
    }
    await delay(POLL_MS);
  }
}

/**
 * Undefined when the lock is ours now, otherwise who has it.
 * A dead holder's lock is replaced only by who holds the lock beside it that is named after that holder, taken in
 * the same way: of many that see the same dead holder one goes first, and the others find him in its place.
 */
async function tryHold(path: string, me: Holder): Promise<Holder | undefined> {
  const temporary = `${path}.${me.nonce}`;
  try {
    await writeFile(temporary, JSON.stringify(me), { mode: 0o600 });
    for (;;) {
      if (await linkNew(temporary, path)) return undefined;
      const found = await readHolder(path);
      if (found === 'missing') continue;
      if (found !== 'unreadable' && (await isAlive(found))) return found;

      const turn = `${path}.${nonceOf(found)}`;
      const other = await tryHold(turn, me);
      if (other !== undefined) return other;
      try {
        if (nonceOf(await readHolder(path)) !== nonceOf(found)) continue;
        await rename(temporary, path);
        return undefined;
      } finally {
        await unlink(turn);
      }
    }
  } finally {
    await rm(temporary, { force: true });
  }
}

/** False when the name is taken. link(2) never replaces, and the name always carries a whole, written holder. */
async function linkNew(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
}

function releaser(path: string, me: Holder): () => Promise<void> {
  let released: Promise<void> | undefined;
  return () => {
    released ??= (async () => {
      const holder = await readHolder(path);
      if (nonceOf(holder) === me.nonce) await unlink(path);
    })();
    return released;
  };
}

type Found = Holder | 'missing' | 'unreadable';

async function readHolder(path: string): Promise<Found> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return isHolder(value) ? value : 'unreadable';
  } catch (error) {
    if (error instanceof SyntaxError) return 'unreadable';
    if (isCode(error, 'ENOENT')) return 'missing';
    throw error;
  }
}

function nonceOf(found: Found): string {
  return typeof found === 'string' ? found : found.nonce;
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false;
  const row: Partial<Record<keyof Holder, unknown>> = value;
  return (
    Number.isInteger(row.pid) &&
    [row.startTicks, row.bootId, row.purpose].every((field) => typeof field === 'string') &&
    // It becomes part of a file name.
    typeof row.nonce === 'string' &&
    /^[0-9a-f]{1,64}$/.test(row.nonce)
  );
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (isCode(error, 'ESRCH')) return false;
  }
  const now = await identityOf(holder.pid);
  return now.startTicks === holder.startTicks && now.bootId === holder.bootId;
}

/** Start time and boot from /proc; empty where there is none, then the pid alone has to do. */
async function identityOf(pid: number): Promise<{ pid: number; startTicks: string; bootId: string }> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  // proc(5): the second field is the name in brackets and may hold anything; starttime is field 22.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, startTicks: fields[19] ?? '', bootId: bootId.trim() };
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
