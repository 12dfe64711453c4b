import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VerbatimError } from '#protocol';
import { fsyncDir, isErrno, mkdirDurable, temporaryName } from './durable.ts';
import { storeError } from './files.ts';
import { listSegments } from './log-segments.ts';

/**
 * Who writes or replays a log is said by the name of one empty file in its directory:
 * `owner.<process id>.<start time>.<boot id>.<random>`, or `owner.nobody`. A directory has it from its first moment,
 * and it changes hands by a rename, which succeeds for one process only: of all that want a log one gets it.
 */
const OWNER_PREFIX = 'owner.';
const NOBODY = `${OWNER_PREFIX}nobody`;
const OWNER_NAME = /^owner\.([1-9][0-9]{0,9})\.([0-9]+)\.([0-9a-f-]{36})\.[0-9a-f]{12}$/;
/** Others may come first this often; each time somebody else has got further. */
const MAX_TURNS = 16;

export interface LogOwner {
  /** Lets go. A directory with nothing left in it goes too; segments that a journal still needs keep it. */
  release(): Promise<void>;
}

/**
 * Makes a log directory for this process, or takes one whose process is gone. `conflict` when a living process has
 * it. A crash before the rename leaves a directory without segments that nobody looks at.
 */
export async function claimLog(dir: string): Promise<LogOwner> {
  try {
    await mkdirDurable(dirname(dir));
    for (let turn = 0; turn < MAX_TURNS; turn += 1) {
      const owner = (await makeLog(dir)) ?? (await takeLog(dir).catch(unlessGone));
      if (owner !== undefined) return owner;
    }
  } catch (error) {
    throw storeError(error, `commit log ${dir}`);
  }
  throw busy(dir);
}

/** Takes a log whose process is gone. `conflict` when a living process has it; ENOENT when there is no such log. */
export async function takeLog(dir: string): Promise<LogOwner> {
  const mine = await ownName();
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    const owners = await ownersOf(dir);
    await refuseIfAlive(dir, owners);
    const [gone] = owners;
    if (gone === undefined) {
      // Put together by hand, or restored from elsewhere.
      await create(join(dir, NOBODY));
      continue;
    }
    try {
      await rename(join(dir, gone), join(dir, mine));
    } catch (error) {
      // Another one was first.
      if (isErrno(error, 'ENOENT')) continue;
      throw error;
    }
    try {
      await dropOthers(dir, mine);
    } catch (error) {
      await rm(join(dir, mine), { force: true });
      throw error;
    }
    return new Owner(dir, mine);
  }
  throw busy(dir);
}

/** True while a process that writes or replays this log runs on this machine. */
export async function logIsOwned(dir: string): Promise<boolean> {
  for (const name of await ownersOf(dir)) if (await isAlive(name)) return true;
  return false;
}

/** Names of owners in a log directory: one, unless somebody copied or removed files by hand. */
export async function ownersOf(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.startsWith(OWNER_PREFIX)).sort();
}

/** Undefined when there is a log already. */
async function makeLog(dir: string): Promise<LogOwner | undefined> {
  const temporary = temporaryName(dir);
  const mine = await ownName();
  try {
    await mkdir(temporary, { mode: 0o700 });
    await create(join(temporary, mine));
    // Replaces nothing but an empty directory: what comes into the log directory from now on has an owner.
    await rename(temporary, dir);
    await fsyncDir(dirname(dir));
    return new Owner(dir, mine);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (isErrno(error, 'ENOTEMPTY') || isErrno(error, 'EEXIST')) return undefined;
    throw error;
  }
}

/** It went away in this moment: the way is free. */
function unlessGone(error: unknown): undefined {
  if (!isErrno(error, 'ENOENT')) throw error;
}

class Owner implements LogOwner {
  readonly #dir: string;
  readonly #name: string;
  #releasing: Promise<void> | undefined;

  constructor(dir: string, name: string) {
    this.#dir = dir;
    this.#name = name;
  }

  release(): Promise<void> {
    this.#releasing ??= this.#release();
    return this.#releasing;
  }

  async #release(): Promise<void> {
    const path = join(this.#dir, this.#name);
    if ((await listSegments(this.#dir)).length > 0) {
      await rename(path, join(this.#dir, NOBODY)).catch(unlessGone);
      return;
    }
    await rm(path, { force: true });
    // Who claims it in this moment puts a directory of his own in its place, which is not empty.
    await rmdir(this.#dir).catch(() => undefined);
  }
}

/** More than one owner is the work of hands; the dead ones among them say nothing. */
async function dropOthers(dir: string, mine: string): Promise<void> {
  const others = (await ownersOf(dir)).filter((name) => name !== mine);
  await refuseIfAlive(dir, others);
  for (const name of others) await rm(join(dir, name), { force: true });
}

async function refuseIfAlive(dir: string, owners: string[]): Promise<void> {
  for (const name of owners) if (await isAlive(name)) throw busy(dir);
}

function busy(dir: string): VerbatimError {
  return new VerbatimError('conflict', `${dir} belongs to a process that runs`);
}

async function create(path: string): Promise<void> {
  await (await open(path, 'a', 0o600)).close();
}

/** Random at its end: of two claims within one process, too, each has its own. */
async function ownName(): Promise<string> {
  const started = (await processStart(process.pid)) ?? 'unknown';
  return `${OWNER_PREFIX}${process.pid}.${started}.${randomBytes(6).toString('hex')}`;
}

async function isAlive(name: string): Promise<boolean> {
  const [, pid, started, boot] = OWNER_NAME.exec(name) ?? [];
  return pid !== undefined && (await processStart(Number(pid))) === `${started}.${boot}`;
}

/** Start time and boot id: a process id alone is given again to another process. Undefined when it is gone. */
async function processStart(pid: number): Promise<string | undefined> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the second field is a name in parentheses that may contain anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended; only its parent has not noticed.
    return fields[0] === 'Z' ? undefined : `${fields[19]}.${boot.trim()}`;
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
}
