import { spawn } from 'node:child_process';
import { chown, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VerbatimError } from '#protocol';
import type { Log } from './log.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import type { PostgresUser } from './postgres-user.ts';

/**
 * How PostgreSQL's programs are told where their folder is: they are started in it. Its user can then work in a
 * folder whose parents it may not enter, because this link leads to the folder itself and not through a path.
 */
export const HERE = '/proc/self/cwd';

/** What PostgreSQL gets of our environment: nothing that could be a secret or change its behaviour. */
export const POSTGRES_ENV = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

const OUTPUT_LIMIT_CHARS = 8_192;

interface CreateClusterOptions {
  /** Holds `data` (the cluster) and, while it is being made, `init`. */
  home: string;
  binaries: PostgresBinaries;
  user: PostgresUser | undefined;
  name: string;
  password: string;
  log: Log;
}

/**
 * Makes the cluster if there is none. It is made beside its place and moved there when complete, with its role,
 * database and access rules: a start that is killed half-way leaves nothing that looks like data.
 */
export async function createCluster(options: CreateClusterOptions): Promise<void> {
  const { home, binaries, user, name, password, log } = options;
  const data = join(home, 'data');
  if (await stat(data).catch(() => undefined)) return checkVersion(data, binaries.major);

  log.info({ dir: data }, 'Creating the embedded PostgreSQL');
  const init = join(home, 'init');
  // Left by a start that was killed: it was never moved into place, so it never held anybody's data.
  // Its initdb may still be at work for a moment; it fails when its folder is gone.
  await rm(init, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  await mkdir(init, { mode: 0o700 });
  if (user !== undefined) await chown(init, user.uid, user.gid);

  await mustRun(binaries.initdb, initdbArguments(), { cwd: init, user });
  // The superuser has no password and no rule lets it in: only our role may connect.
  await mustRun(binaries.postgres, ['--single', '-D', HERE, '-c', 'log_min_messages=fatal', 'postgres'], {
    cwd: init,
    user,
    input: `create role ${name} login password '${password}'\ncreate database ${name} owner ${name}\n`,
  });
  await writeSynced(
    join(init, 'pg_hba.conf'),
    `# type  database  user  address       method\nhost    ${name}  ${name}  127.0.0.1/32  scram-sha-256\n`,
    user,
  );
  await rename(init, data);
  await syncDir(home);
}

function initdbArguments(): string[] {
  return [
    `--pgdata=${HERE}`,
    '--username=postgres',
    '--auth=reject',
    '--encoding=UTF8',
    // Sorting that does not change with the system's C library, or an index would break with an upgrade of it.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
    '--no-instructions',
  ];
}

async function checkVersion(data: string, major: string): Promise<void> {
  const version = (await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => 'no version')).trim();
  if (version === major) return;
  throw new VerbatimError(
    'unavailable',
    `The database in ${data} is of PostgreSQL ${version}, and the embedded one is ${major}: start the Verbatim that made it, or move the data with pg_dump and database.url.`,
  );
}

/** Runs a program to its end; its output goes into the error. What it reads comes by a pipe, never by argument. */
function mustRun(
  program: string,
  args: readonly string[],
  { cwd, user, input }: { cwd: string; user: PostgresUser | undefined; input?: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: POSTGRES_ENV,
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own: Ctrl-C is for us, and we end our children in order.
      detached: true,
      ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    });
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-OUTPUT_LIMIT_CHARS);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', reject);
    child.on('close', (code) => {
      // A single-user server exits with 0 after an SQL error, and says so on its error stream.
      const said = output.split('\n').find((line) => /\b(ERROR|FATAL|PANIC|error):/.test(line));
      if (code === 0 && said === undefined) resolve();
      else reject(failure(said ?? `exit code ${code}`, output));
    });
    // The program may end without reading; its exit code then says why.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input ?? '');
  });
}

function failure(said: string, output: string): Error {
  if (/No space left on device/i.test(output)) return Object.assign(new Error(said), { code: 'ENOSPC' });
  return new VerbatimError('unavailable', `The embedded PostgreSQL cannot be created: ${said.trim()}`, {
    cause: new Error(output),
  });
}

async function writeSynced(path: string, text: string, user: PostgresUser | undefined): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    if (user !== undefined) await file.chown(user.uid, user.gid);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDir(path: string): Promise<void> {
  const dir = await open(path, 'r');
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}
