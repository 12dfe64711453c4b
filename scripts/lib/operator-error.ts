import { ConfigError, SecretError } from '#config';
import { VerbatimError } from '#protocol';

/** What the person at the terminal did or can put right; the message is for them and needs no stack. */
export class OperatorError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'OperatorError';
  }
}

/**
 * One clear sentence for the terminal. A stack is for a fault of ours: it is shown only then, so that there is
 * something to report.
 */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const known =
    error instanceof OperatorError ||
    error instanceof ConfigError ||
    error instanceof SecretError ||
    error instanceof VerbatimError ||
    error.name === 'MediaWorkerError';
  if (known) return error.message;
  const system = 'code' in error ? systemSentence(String(error.code), error) : undefined;
  return system ?? `Something went wrong that should not: ${error.stack ?? error.message}`;
}

/** An operator's command: what it throws becomes a sentence on standard error and the exit code `failed`, usually 1. */
export async function runCommand(
  main: (argv: string[]) => Promise<void>,
  { failed = 1 }: { failed?: number } = {},
): Promise<void> {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${sentenceOf(error)}\n`);
    process.exitCode = failed;
  }
}

function systemSentence(code: string, error: Error): string | undefined {
  const path = 'path' in error && typeof error.path === 'string' ? error.path : 'a file';
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return `The disk is full (${path}): free some space and start again.`;
    case 'EACCES':
    case 'EPERM':
      return `This user may not use ${path}: run as the user who owns it, or change its owner.`;
    case 'EROFS':
      return `${path} is on a read-only file system: choose another folder.`;
    case 'ENOENT':
      return `There is no ${path}.`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `${path} is not a folder: move it away, or choose another folder.`;
    case 'EISDIR':
      return `${path === 'a file' ? 'What was named' : path} is a folder, and a file was expected.`;
    case 'EMFILE':
    case 'ENFILE':
      return 'Too many files are open: raise the limit (ulimit -n) and start again.';
    default:
      return code.startsWith('ERR_PARSE_ARGS') ? `${error.message.split('. ')[0]}: see --help.` : undefined;
  }
}
