import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Check, Problem } from './problem.ts';
import { projectFiles } from './source-files.ts';

const MAX_BYTES = 256 * 1024;
/** Pictures for documents, and nothing else, may be binary. */
const BINARY = /\.(png|jpg|ico|webp)$/;
const isTest = (path: string): boolean => path.endsWith('.test.ts');
const CODE = /\.(ts|mts|mjs|js|vue|sh)$/;

interface Rule {
  pattern: RegExp;
  what: string;
  mend: string;
  /** Default: every text file. */
  files?: (path: string) => boolean;
}

/** Each pattern is written so that it does not match its own source. */
const RULES: readonly Rule[] = [
  {
    pattern: /-{5}BEGIN [A-Z ]*PRIVATE KEY-{5}|AGE-SECRET-KEY-1[A-Z0-9]{20}/,
    what: 'holds a private key',
    mend: 'generate keys when they are needed, in tests too',
    // The keys of test vectors are published on purpose.
    files: (path) => !path.includes('/vectors/'),
  },
  { pattern: /^(<{7} |>{7} |={7}$)/m, what: 'holds a merge conflict', mend: 'resolve it' },
  {
    pattern: /(?<![\w.-])\/(home|Users)\/[a-z]\w+\//,
    what: 'names a folder of one machine',
    mend: 'use a path that is relative or configured',
  },
  {
    pattern: /@ts-(ignore|nocheck|expect-error)\b/,
    what: 'silences the type checker',
    mend: 'make the types true',
    files: (path) => CODE.test(path),
  },
  {
    pattern: /\bt\.(only|skip|todo)\(|\bonly: true\b/,
    what: 'leaves tests out for good',
    mend: 'run the test, or give its condition as the `skip` option with a reason',
    files: isTest,
  },
  {
    // A wait inside a `while` on the same line looks again and again until something has happened.
    pattern:
      /^(?!.*\bwhile \().*(await (sleep|delay|setTimeout)\(|await new Promise(<\w+>)?\(\(?\w*\)? => setTimeout\()/m,
    what: 'sleeps',
    mend: 'wait for the event itself, with a deadline',
    files: isTest,
  },
];

/** What no file of the project may hold. */
export const forbidden: Check = {
  name: 'forbidden content',
  run: async (root) => {
    const problems: Problem[] = [];
    for (const path of await projectFiles(root)) {
      const bytes = await readFile(join(root, path));
      problems.push(...faultsOf(path, bytes));
    }
    return problems;
  },
};

export function faultsOf(path: string, bytes: Buffer): Problem[] {
  if (BINARY.test(path)) return [];
  if (bytes.includes(0))
    return [{ where: path, what: 'is binary', mend: 'build or generate it where it is needed' }];
  const problems: Problem[] = [];
  if (bytes.length > MAX_BYTES && path !== 'package-lock.json')
    problems.push({
      where: path,
      what: `has ${bytes.length} bytes, more than ${MAX_BYTES}`,
      mend: 'split or generate it',
    });
  const text = bytes.toString('utf8');
  for (const { pattern, what, mend, files } of RULES) {
    const match = files && !files(path) ? null : pattern.exec(text);
    if (match)
      problems.push({ where: `${path}:${text.slice(0, match.index).split('\n').length}`, what, mend });
  }
  return problems;
}
