import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';

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
  { program: 'openssl', package: 'openssl' },
  { program: 'redis-server', package: 'redis-server' },
  { program: 'sox', package: 'sox' },
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
 * password). @throws Error with one sentence that names the command to run, when it may not or apt fails.
 */
export async function ensureTools(tools: readonly Tool[], log: (sentence: string) => void): Promise<void> {
  const missing = [...new Set(tools.filter((one) => !findProgram(one.program)).map((one) => one.package))];
  if (missing.length === 0) return;

  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing];
  const prefix = findProgram('apt-get') ? await rootPrefix() : undefined;
  if (!prefix)
    throw new Error(`Programs are missing; install them and start again: sudo ${install.join(' ')}`);

  log(`Installing Debian's packages ${missing.join(', ')}.`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (args: readonly string[]): ReturnType<typeof run> => {
    const [program = '', ...rest] = [...prefix, ...args];
    return run(program, rest, { env });
  };
  if ((await apt(install)).code !== 0) {
    // The lists may be missing or older than the archive: fetch them, then once more.
    await apt(['apt-get', 'update']);
    const { code, output } = await apt(install);
    if (code !== 0)
      throw new Error(`\`${install.join(' ')}\` failed: ${output.trim().split('\n').slice(-3).join(' / ')}`);
  }
  const absent = tools.filter((one) => !findProgram(one.program)).map((one) => one.program);
  if (absent.length > 0)
    throw new Error(`Installed ${missing.join(', ')}, yet PATH has no ${absent.join(', ')}.`);
}

/** What to put before a command so that root runs it without being asked for a password; undefined: cannot be. */
async function rootPrefix(): Promise<readonly string[] | undefined> {
  if (process.getuid?.() === 0) return [];
  if (!findProgram('sudo')) return undefined;
  const { code } = await run('sudo', ['-n', 'true']);
  return code === 0 ? ['sudo', '-n', '--preserve-env=DEBIAN_FRONTEND'] : undefined;
}
