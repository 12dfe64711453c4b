// What: fetches the worker that mediasoup's authors built for this platform.
// What not: it proves nothing; the smoke test does.
// Who may import: scripts/media-worker/ensure.ts.
//
// The address is the one that mediasoup's own install step uses, derived from its package.json in the same way, and
// the same two variables change it: MEDIASOUP_SKIP_WORKER_PREBUILT_DOWNLOAD, MEDIASOUP_WORKER_PREBUILT_DOWNLOAD_BASE_URL.

import { chmodSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import type { CommandOptions } from './command.ts';
import { mustRun } from './command.ts';
import { mediasoupPackage } from './recipe.ts';

const answerTimeoutMs = 10_000;
const downloadTimeoutMs = 60_000;
/** The archives are about 5 MB. */
const maxArchiveBytes = 64 * 1024 * 1024;

/** Answers the path of the unpacked worker in `dir`; rejects when there is none to be had. */
export async function fetchPrebuilt(dir: string, options: CommandOptions): Promise<string> {
  const url = prebuiltUrl(mediasoupPackage, process.platform, process.arch, release(), process.env);
  const archive = join(dir, 'worker.tgz');

  writeFileSync(archive, await download(url, options.signal));
  await mustRun(
    'Unpacking the prebuilt media worker',
    'tar',
    ['-xzf', archive, '-C', dir, '--no-same-owner'],
    options,
  );

  const binary = join(dir, 'mediasoup-worker');

  chmodSync(binary, 0o755);

  return binary;
}

export function prebuiltUrl(
  mediasoup: { version: string; repositoryUrl: string },
  platform: string,
  arch: string,
  kernelRelease: string,
  env: NodeJS.ProcessEnv,
): string {
  const base =
    env.MEDIASOUP_WORKER_PREBUILT_DOWNLOAD_BASE_URL ||
    `${mediasoup.repositoryUrl.replace(/^git\+/, '').replace(/\.git$/, '')}/releases/download`;
  const kernel = platform === 'linux' ? `-kernel${Number(kernelRelease.split('.')[0])}` : '';

  return `${base}/${mediasoup.version}/mediasoup-worker-${mediasoup.version}-${platform}-${arch}${kernel}.tgz`;
}

async function download(url: string, signal: AbortSignal | undefined): Promise<Buffer> {
  const noAnswer = new AbortController();
  const timer = setTimeout(
    () => noAnswer.abort(new Error(`no answer within ${answerTimeoutMs / 1000} s`)),
    answerTimeoutMs,
  );
  const signals = [noAnswer.signal, AbortSignal.timeout(downloadTimeoutMs), ...(signal ? [signal] : [])];

  try {
    const response = await fetch(url, { signal: AbortSignal.any(signals) });

    clearTimeout(timer);
    if (!response.ok || response.body === null) {
      throw new Error(`the server answered ${response.status}`);
    }

    const chunks: Uint8Array[] = [];
    let bytes = 0;

    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > maxArchiveBytes) {
        throw new Error(`the archive is larger than ${maxArchiveBytes >> 20} MB`);
      }
      chunks.push(chunk);
    }

    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
  }
}
