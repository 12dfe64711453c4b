// What: sees which of Debian's packages the build lacks, and installs them where that is allowed.
// What not: no other package manager; elsewhere it says what is needed.
// Who may import: scripts/media-worker/ensure.ts, scripts/lib/tools.ts.

import type { CommandOptions } from './command.ts';
import { MediaWorkerError, mustRun, runCommand } from './command.ts';
import { debianPackages } from './recipe.ts';

/** Afterwards everything the build needs is there, or a MediaWorkerError names the command that brings it. */
export async function ensurePackages(
  log: (sentence: string) => void,
  options: CommandOptions,
): Promise<void> {
  const missing = await missingPackages();

  if (missing.length > 0) {
    await installPackages('Building the media worker', missing, log, options);
  }
}

/**
 * Installs Debian packages with apt-get when this user may: root, or sudo without a password. `what` is what needs
 * them. Throws a MediaWorkerError that names the command to run, when it may not or when apt-get fails.
 */
export async function installPackages(
  what: string,
  missing: readonly string[],
  log: (sentence: string) => void,
  options: CommandOptions = {},
): Promise<void> {
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  const prefix = await rootPrefix();

  if (prefix === undefined) {
    throw new MediaWorkerError(`${what} needs packages that are not installed; run: sudo ${command}`);
  }

  log(`Installing what is missing: ${missing.join(', ')}.`);

  const install = [...prefix, ...command.split(' ')];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const first = await runCommand(String(install[0]), install.slice(1), { ...options, env });

  if (first.code === 0) {
    return;
  }

  // The lists may be missing or older than the archive: fetch them and try once more.
  const update = [...prefix, 'apt-get', 'update'];

  await runCommand(String(update[0]), update.slice(1), { ...options, env });
  await mustRun('Installing the missing packages', String(install[0]), install.slice(1), { ...options, env });
}

async function missingPackages(): Promise<string[]> {
  try {
    const { output } = await runCommand('dpkg-query', [
      '--show',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: these are dpkg-query's own fields
      '--showformat=${db:Status-Status} ${Package}\\n',
      ...debianPackages,
    ]);

    return packagesNotInstalled(output);
  } catch (error) {
    if (error instanceof MediaWorkerError) {
      throw new MediaWorkerError(
        'Building the media worker needs Debian or Ubuntu; elsewhere set MEDIASOUP_WORKER_BIN to a worker that was built for this machine.',
      );
    }

    throw error;
  }
}

/** From dpkg-query's lines `<status> <package>`; a package that it has never heard of has no line. */
export function packagesNotInstalled(output: string): string[] {
  const installed = new Set([...output.matchAll(/^installed (\S+)$/gm)].map((match) => match[1]));

  return debianPackages.filter((name) => !installed.has(name));
}

/** What to put before a command so that root runs it; undefined when that would need a password. */
async function rootPrefix(): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) {
    return [];
  }

  try {
    return (await runCommand('sudo', ['-n', 'true'])).code === 0
      ? ['sudo', '-n', '--preserve-env=DEBIAN_FRONTEND']
      : undefined;
  } catch (error) {
    if (error instanceof MediaWorkerError) {
      return undefined;
    }

    throw error;
  }
}
