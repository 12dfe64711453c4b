// What: builds the media worker from the sources in the mediasoup package with Debian's libraries.
// What not: it neither installs packages nor knows the cache; ensure.ts does.
// Who may import: scripts/media-worker/ensure.ts.

import { cpSync, mkdirSync, readdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { CommandOptions } from './command.ts';
import { MediaWorkerError, mustRun } from './command.ts';
import { buildLibsrtp } from './libsrtp.ts';
import {
  correctDtlsTransport,
  flatcFlags,
  mediasoupDir,
  ninjaFile,
  precompiledHeader,
  recipeDir,
  workerSources,
} from './recipe.ts';

/** Sources, the precompiled header, objects and the package lists together take about 300 MB. */
const neededBytes = 600 * 1024 * 1024;
const progressIntervalMs = 10_000;
/** A compiler takes up to 450 MB; more of them than this help little. */
const maxJobs = 16;

/** Builds in `dir` (which must be empty and stays behind); answers the path of the new binary. */
export async function buildMediaWorker(
  dir: string,
  logFile: string,
  { log, signal }: { log: (sentence: string) => void; signal?: AbortSignal | undefined },
): Promise<string> {
  checkDiskSpace(dir);

  const options: CommandOptions = { signal, logFile };
  const startedAt = Date.now();
  const elapsed = (): string => `${Math.round((Date.now() - startedAt) / 1000)} s`;

  log('Fetching and building libsrtp.');
  const libsrtpDir = await buildLibsrtp(makeDir(dir, 'libsrtp'), options);

  log(`Preparing the media worker’s sources (${elapsed()} so far).`);
  const workerDir = copySources(dir);
  const sources = workerSources(readFileSync(join(workerDir, 'meson.build'), 'utf8'));
  const schemas = readdirSync(join(workerDir, 'fbs')).filter((name) => name.endsWith('.fbs'));
  const generatedDir = makeDir(dir, 'generated');

  await mustRun(
    'Generating the message headers',
    'flatc',
    [
      ...flatcFlags,
      '-o',
      makeDir(generatedDir, 'FBS'),
      ...schemas.map((name) => join(workerDir, 'fbs', name)),
    ],
    options,
  );

  const objectsDir = makeDir(dir, 'objects');
  const binary = join(dir, 'mediasoup-worker');

  writeFileSync(join(objectsDir, 'pch.hpp'), precompiledHeader(schemas));
  writeFileSync(
    join(objectsDir, 'build.ninja'),
    ninjaFile({ workerDir, generatedDir, libsrtpDir, compatDir: join(recipeDir, 'compat'), sources, binary }),
  );

  const jobs = Math.min(availableParallelism(), maxJobs);
  let loggedAt = Date.now();

  log(
    `Compiling the media worker: ${sources.length} files, ${jobs} at a time (a few minutes; only this once).`,
  );
  await mustRun('Compiling the media worker', 'ninja', ['-C', objectsDir, '-j', String(jobs)], {
    ...options,
    env: { NINJA_STATUS: '[%f/%t] ' },
    onLine: (line) => {
      const progress = /^\[(\d+)\/(\d+)\]/.exec(line);

      if (progress && Date.now() - loggedAt >= progressIntervalMs) {
        loggedAt = Date.now();
        log(`Compiling the media worker: ${progress[1]} of ${progress[2]} files done (${elapsed()} so far).`);
      }
    },
  });
  await mustRun('Stripping the media worker', 'strip', [binary], options);
  log(`The media worker is built (${elapsed()}).`);

  return binary;
}

/** The package itself stays as it was installed; the correction goes into a copy. */
function copySources(dir: string): string {
  const workerDir = makeDir(dir, 'worker');

  for (const name of ['src', 'include', 'fbs', 'meson.build']) {
    cpSync(join(mediasoupDir, 'worker', name), join(workerDir, name), { recursive: true });
  }

  const dtls = join(workerDir, 'src', 'RTC', 'DtlsTransport.cpp');

  writeFileSync(dtls, correctDtlsTransport(readFileSync(dtls, 'utf8')));

  return workerDir;
}

function makeDir(parent: string, name: string): string {
  const dir = join(parent, name);

  mkdirSync(dir);

  return dir;
}

function checkDiskSpace(dir: string): void {
  const { bavail, bsize } = statfsSync(dir);
  const freeBytes = bavail * bsize;

  if (freeBytes < neededBytes) {
    throw new MediaWorkerError(
      `Building the media worker needs ${neededBytes >> 20} MB in ${dir}, and only ${Math.floor(freeBytes / 2 ** 20)} MB are free.`,
    );
  }
}
