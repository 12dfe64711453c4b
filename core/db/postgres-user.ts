import { execFile } from 'node:child_process';
import { chown, lchown, lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { VerbatimError } from '#protocol';
import type { Log } from './log.ts';

/** The system user that PostgreSQL runs as when Verbatim runs as root. */
export interface PostgresUser {
  name: string;
  uid: number;
  gid: number;
}

const run = promisify(execFile);

/** A user of our own first: sharing the system's PostgreSQL user would give either server the other's data. */
const OWN_USER = 'verbatim-db';
const FALLBACK_USER = 'postgres';

/** Undefined for an ordinary user, who runs PostgreSQL himself. As root, finds the user or makes it. */
export async function findPostgresUser(log: Log): Promise<PostgresUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const own = (await lookUp(OWN_USER)) ?? (await create(log));
  const user = own ?? (await lookUp(FALLBACK_USER));
  if (user !== undefined) return user;
  throw new VerbatimError(
    'unavailable',
    `PostgreSQL does not run as root, and the system user ${OWN_USER} could not be created: create it with useradd, start Verbatim as an ordinary user, or set database.url.`,
  );
}

async function create(log: Log): Promise<PostgresUser | undefined> {
  log.info(
    { user: OWN_USER },
    'Creating the system user that PostgreSQL runs as, because it does not run as root',
  );
  try {
    await run('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', OWN_USER]);
  } catch (error) {
    log.warn({ err: error }, 'The system user could not be created');
  }
  // Looked up in any case: two starts at once create it once.
  return lookUp(OWN_USER);
}

async function lookUp(name: string): Promise<PostgresUser | undefined> {
  try {
    const { stdout: uid } = await run('id', ['-u', name]);
    const { stdout: gid } = await run('id', ['-g', name]);
    return { name, uid: Number.parseInt(uid, 10), gid: Number.parseInt(gid, 10) };
  } catch {
    // id(1) says by its exit code that there is no such user.
    return undefined;
  }
}

/** Gives a folder of ours and all in it to the user, when it is not his yet (first start, or a restored backup). */
export async function giveTo(user: PostgresUser, dir: string): Promise<void> {
  const { uid, gid } = await lstat(dir);
  if (uid === user.uid && gid === user.gid) return;
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    await lchown(join(entry.parentPath, entry.name), user.uid, user.gid);
  }
  // The folder itself comes last: an interrupted run is noticed and repeated.
  await chown(dir, user.uid, user.gid);
}
