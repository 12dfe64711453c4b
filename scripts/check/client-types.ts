import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Check } from './problem.ts';
import { projectFiles } from './source-files.ts';

/** What the declarations are made of, and what makes them. */
const SOURCES =
  /^(client\/(sdk|ui|types)\/|client\/tsconfig|tsconfig|core\/protocol\/|scripts\/check\/|package-lock)/;

/** The declaration files in client/types are what the sources say. */
export const clientTypes: Check = {
  name: 'declarations for messengers',
  run: async (root) => {
    // It takes the compiler some seconds, and mostly nothing has changed since the last time.
    const stamp = join(root, 'node_modules/.cache/verbatim-types', `declarations-${nameOf(root)}`);
    const now = await hashOf(root);
    if ((await readFile(stamp, 'utf8').catch(() => '')) === now) return [];
    const problems: { where: string; what: string; mend: string }[] = [];
    for (const [path, text] of await declarations(root)) {
      const present = await readFile(join(root, path), 'utf8').catch(() => undefined);
      if (present === text) continue;
      const what = present === undefined ? 'is missing' : 'is not what the sources say any more';
      problems.push({ where: path, what, mend: 'npm run docs' });
    }
    if (problems.length > 0) return problems;
    await mkdir(dirname(stamp), { recursive: true });
    await writeFile(stamp, now);
    return [];
  },
};

/** Writes the files and answers their paths. */
export async function writeClientTypes(root: string): Promise<string[]> {
  const files = await declarations(root);
  for (const [path, text] of files) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return [...files.keys()];
}

async function declarations(root: string): Promise<Map<string, string>> {
  // The compiler is loaded only when it is needed.
  const { clientDeclarations } = await import('./declarations.ts');
  return clientDeclarations(root);
}

async function hashOf(root: string): Promise<string> {
  const hash = createHash('sha256');
  for (const path of (await projectFiles(root)).filter((each) => SOURCES.test(each)))
    hash
      .update(`${path}\0`)
      .update(await readFile(join(root, path)))
      .update('\0');
  return hash.digest('hex');
}

/** One stamp for each clone that shares the packages. */
function nameOf(root: string): string {
  return createHash('sha256').update(root).digest('hex').slice(0, 16);
}
