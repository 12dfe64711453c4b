import { readFile, stat } from 'node:fs/promises';
import { styleText } from 'node:util';
import type { BundleReport } from '../client/verify/index.ts';
import { MAX_BUNDLE_BYTES, verifyBundle } from '../client/verify/index.ts';

const USAGE = `Usage: node verify.mjs BUNDLE.zip [--json]

Checks an evidence bundle of Verbatim, without network and without an account.
Exit code 0: everything fits; 1: something does not; 2: it could not be read.
`;

/**
 * The program in every evidence bundle, `verify.mjs`: one file, for Node 20 or newer. Answers the exit code.
 * `print` gets what belongs on standard output.
 */
export async function verifyBundleFile(
  args: readonly string[],
  print: (text: string) => void,
  complain: (text: string) => void,
): Promise<number> {
  const paths = args.filter((arg) => !arg.startsWith('-'));
  const options = args.filter((arg) => arg.startsWith('-'));
  const [path] = paths;
  if (options.includes('--help')) {
    print(USAGE);
    return 0;
  }
  if (path === undefined || paths.length > 1 || options.some((option) => option !== '--json')) {
    complain(USAGE);
    return 2;
  }
  let bytes: Buffer<ArrayBuffer>;
  try {
    const { size } = await stat(path);
    if (size > MAX_BUNDLE_BYTES) throw new Error(`it has ${size} bytes, more than any bundle`);
    bytes = await readFile(path);
  } catch (error) {
    complain(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
  const report = await verifyBundle(bytes);
  print(options.includes('--json') ? `${JSON.stringify(report)}\n` : tableOf(report));
  return report.ok ? 0 : 1;
}

function tableOf({ ok, checks, facts }: BundleReport): string {
  const width = Math.max(...checks.map(({ check }) => check.length));
  const rows = checks.map((row) => {
    const mark = row.ok ? styleText('green', 'ok   ') : styleText('red', 'WRONG');
    return `${mark} ${row.check.padEnd(width)}  ${row.detail}`;
  });
  const verdict = ok
    ? `Everything fits: ${facts?.startedAt} to ${facts?.endedAt}, ${facts?.caller} called ${facts?.callee}.`
    : 'This bundle does not prove its recording.';
  return `${rows.join('\n')}\n\n${verdict}\n`;
}
