// What: answers the path of a media worker that works on this machine; makes one when there is none.
// What not: it never changes the installed mediasoup package or the system's package lists.
// Who may import: scripts/start, scripts/test and tests; or run `node scripts/media-worker/ensure.ts`.
//
// The order: the one that MEDIASOUP_WORKER_BIN names; the per-user cache; mediasoup's own prebuilt; a build from the
// mediasoup package's sources. Whatever it is, it has passed the smoke test before its path is answered.

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildMediaWorker } from './build.ts';
import type { CacheEntry } from './cache.ts';
import { cacheEntry, makeBuildDir, publish, withLock } from './cache.ts';
import { MediaWorkerError } from './command.ts';
import { ensurePackages } from './packages.ts';
import { fetchPrebuilt } from './prebuilt.ts';
import { mediasoupPackage, recipeHash } from './recipe.ts';
import { smokeTest } from './smoke.ts';

export interface EnsureOptions {
  /** Told in whole sentences what goes on. */
  readonly log: (sentence: string) => void;
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
}

/** The absolute path of a proven worker. Throws a MediaWorkerError with one clear sentence when there can be none. */
export async function ensureMediaWorker(options: EnsureOptions): Promise<string> {
  const env = options.env ?? process.env;
  const given = env.MEDIASOUP_WORKER_BIN;

  if (given) {
    return await provenGiven(given);
  }

  const entry = cacheEntry(
    {
      version: mediasoupPackage.version,
      platform: process.platform,
      arch: process.arch,
      recipeHash: recipeHash(),
    },
    env,
  );

  try {
    return (
      (await provenCached(entry, options)) ??
      (await withLock(
        entry,
        (pid) => options.log(`Another process (${pid}) is making the media worker; waiting for it.`),
        async () => (await provenCached(entry, options)) ?? (await make(entry, options, env)),
        options.signal,
      ))
    );
  } catch (error) {
    throw explained(error, entry);
  }
}

async function provenGiven(workerBin: string): Promise<string> {
  try {
    await smokeTest(workerBin);
  } catch (error) {
    throw new MediaWorkerError(
      `MEDIASOUP_WORKER_BIN names a worker that does not work: ${messageOf(error)}`,
      { cause: error },
    );
  }

  return workerBin;
}

/** Proven again at every start, in 0.2 s: an upgrade of the system's libraries may have broken it since. */
async function provenCached(entry: CacheEntry, { log }: EnsureOptions): Promise<string | undefined> {
  if (!existsSync(entry.binary)) {
    return undefined;
  }

  try {
    await smokeTest(entry.binary);

    return entry.binary;
  } catch (error) {
    log(`The media worker in the cache does not work any more, so a new one is made: ${messageOf(error)}`);

    return undefined;
  }
}

async function make(entry: CacheEntry, options: EnsureOptions, env: NodeJS.ProcessEnv): Promise<string> {
  const dir = makeBuildDir(entry);

  try {
    const binary = (await provenPrebuilt(dir, options, env)) ?? (await provenBuild(entry, dir, options));

    publish(entry, binary);

    return entry.binary;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function provenPrebuilt(
  dir: string,
  { log, signal }: EnsureOptions,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  if (env.MEDIASOUP_SKIP_WORKER_PREBUILT_DOWNLOAD) {
    return undefined;
  }

  log('Looking for a prebuilt media worker.');
  try {
    const binary = await fetchPrebuilt(dir, { signal });

    await smokeTest(binary);
    log('Fetched the prebuilt media worker; it works.');

    return binary;
  } catch (error) {
    signal?.throwIfAborted();
    log(`No prebuilt media worker can be used here (${messageOf(error)}); building it from source.`);

    return undefined;
  }
}

async function provenBuild(entry: CacheEntry, dir: string, { log, signal }: EnsureOptions): Promise<string> {
  const logFile = join(entry.dir, 'build.log');

  rmSync(logFile, { force: true });
  await ensurePackages(log, { signal, logFile });

  const binary = await buildMediaWorker(dir, logFile, { log, signal });
  const { handshakeMs, totalMs } = await smokeTest(binary);

  log(
    `The media worker passed its test: a DTLS handshake in ${handshakeMs} ms, everything in ${totalMs} ms.`,
  );

  return binary;
}

function explained(error: unknown, entry: CacheEntry): unknown {
  if (!(error instanceof Error) || !('code' in error)) {
    return error;
  }

  switch (error.code) {
    case 'ENOSPC':
      return new MediaWorkerError(
        `The disk that holds ${entry.dir} is full: free about 1 GB and start again.`,
        { cause: error },
      );
    case 'EACCES':
    case 'EROFS':
    case 'EPERM':
    case 'ENOTDIR':
    case 'EEXIST':
      return new MediaWorkerError(
        `The media worker cannot be kept in ${entry.dir} (${error.code}): make that folder writable, or set XDG_CACHE_HOME to one that is.`,
        { cause: error },
      );
    default:
      return error;
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }

  // fetch() says only "fetch failed" and keeps the reason in its cause.
  return error.cause instanceof Error && !(error instanceof MediaWorkerError)
    ? `${error.message}: ${error.cause.message}`
    : error.message;
}

async function main(): Promise<void> {
  const interrupted = new AbortController();

  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () =>
      interrupted.abort(new MediaWorkerError('Interrupted; nothing was left behind.')),
    );
  }

  try {
    const path = await ensureMediaWorker({
      log: (sentence) => process.stderr.write(`${sentence}\n`),
      signal: interrupted.signal,
    });

    process.stdout.write(`${path}\n`);
  } catch (error) {
    const known = interrupted.signal.aborted ? interrupted.signal.reason : error;

    process.stderr.write(
      `${known instanceof MediaWorkerError ? known.message : (known instanceof Error && known.stack) || String(known)}\n`,
    );
    process.exitCode = 1;
  }
}

if (import.meta.main) {
  await main();
}
