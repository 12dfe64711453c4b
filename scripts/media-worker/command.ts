// What: runs one program to its end, and turns what can go wrong into one sentence.
// What not: no shell, no output on our own streams.
// Who may import: scripts.

import type { SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';

/** A failure that the person at the terminal can act on; its message is one clear sentence. */
export class MediaWorkerError extends Error {
  override name = 'MediaWorkerError';
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** Everything the program says is appended here. */
  readonly logFile?: string;
  readonly onLine?: (line: string) => void;
  readonly timeoutMs?: number;
}

export interface CommandResult {
  readonly code: number;
  /** The last 64 KiB of both streams. */
  readonly output: string;
}

const keptOutputChars = 65_536;

/** Runs the program and answers its exit code; throws only when it cannot be started, is aborted or takes too long. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const signals = [
    ...(options.signal ? [options.signal] : []),
    ...(options.timeoutMs ? [AbortSignal.timeout(options.timeoutMs)] : []),
  ];
  const spawnOptions: SpawnOptions = {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', ...options.env },
    ...(options.cwd ? { cwd: options.cwd } : {}),
    ...(signals.length > 0 ? { signal: AbortSignal.any(signals) } : {}),
  };

  return new Promise((resolve, reject) => {
    const child = spawn(program, args, spawnOptions);
    let output = '';
    let line = '';

    const onData = (chunk: Buffer): void => {
      const text = chunk.toString('utf8');

      output = (output + text).slice(-keptOutputChars);
      if (options.logFile) {
        appendFileSync(options.logFile, text);
      }

      const lines = (line + text).split(/[\r\n]+/);

      line = (lines.pop() ?? '').slice(-keptOutputChars);
      for (const complete of lines) {
        options.onLine?.(complete);
      }
    };

    child.stdout?.on('data', onData);
    child.stderr?.on('data', onData);
    child.on('error', (error: NodeJS.ErrnoException) => {
      // EACCES also comes when a folder of PATH may not be read and the program is in none of the others.
      const missing = error.code === 'ENOENT' || error.code === 'EACCES';
      reject(missing ? new MediaWorkerError(`The program ${program} is not installed.`) : error);
    });
    child.on('close', (code) => resolve({ code: code ?? -1, output }));
  });
}

/** Like runCommand, and a non-zero exit code is a MediaWorkerError that starts with `what`. */
export async function mustRun(
  what: string,
  program: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { code, output } = await runCommand(program, args, options);

  if (code === 0) {
    return output;
  }

  if (/No space left on device|ENOSPC|You don't have enough free space/.test(output)) {
    throw new MediaWorkerError(`${what} failed because the disk is full: free about 1 GB and start again.`);
  }

  const where = options.logFile ? `; the whole output is in ${options.logFile}` : '';

  throw new MediaWorkerError(`${what} failed (${program} ended with ${code}: ${lastLines(output)})${where}.`);
}

function lastLines(output: string): string {
  const lines = output.trim().split('\n');
  const errors = lines.filter((line) => /error|fatal|cannot|failed|^E: /i.test(line));

  return (errors.length > 0 ? errors.slice(0, 2) : lines.slice(-2))
    .join(' / ')
    .slice(0, 400)
    .replace(/\.$/, '');
}
