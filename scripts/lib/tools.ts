import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { installPackages } from '../media-worker/packages.ts';

/** A program that a script needs, and the Debian package that brings it. */
export interface Tool {
  program: string;
  package: string;
}

/** What one real call in headless Chromium needs, and reading back what it left. */
export const CALL_TOOLS: readonly Tool[] = [
  { program: 'chromium', package: 'chromium' },
  { program: 'espeak-ng', package: 'espeak-ng' },
  { program: 'ffmpeg', package: 'ffmpeg' },
  { program: 'ffprobe', package: 'ffmpeg' },
];

/** What the whole test suite needs on top. */
export const TEST_TOOLS: readonly Tool[] = [
  ...CALL_TOOLS,
  { program: 'age', package: 'age' },
  { program: 'firefox-esr', package: 'firefox-esr' },
  { program: 'ip', package: 'iproute2' },
  { program: 'openssl', package: 'openssl' },
  { program: 'redis-server', package: 'redis-server' },
  { program: 'sox', package: 'sox' },
  { program: 'turnserver', package: 'coturn' },
];

/** Absolute path of a program that PATH finds, or undefined. */
export function findProgram(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(':')) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder: the next one.
    }
  }
  return undefined;
}

/**
 * Sees to it that every tool is there: installs Debian's packages when this user may (root, or sudo without a
 * password). `what` is what needs them, for the sentence that names the command to run when it may not.
 */
export async function ensureTools(
  what: string,
  tools: readonly Tool[],
  log: (sentence: string) => void,
): Promise<void> {
  const missing = [...new Set(tools.filter((one) => !findProgram(one.program)).map((one) => one.package))];
  if (missing.length === 0) return;
  if (!findProgram('apt-get'))
    throw new Error(`${what} needs programs that are not installed: ${missing.join(', ')}.`);
  await installPackages(what, missing, log);
  const absent = tools.filter((one) => !findProgram(one.program)).map((one) => one.program);
  if (absent.length > 0)
    throw new Error(`Installed ${missing.join(', ')}, yet PATH has no ${absent.join(', ')}.`);
}
