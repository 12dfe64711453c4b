import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** What git ignores too: packages, caches, build results, local data. */
const SKIPPED = new Set(['node_modules', '.git', '.tap', 'dist', 'data', '.screens']);

/** Every file of the project as a sorted path from `root`, with forward slashes. */
export async function projectFiles(root: string): Promise<string[]> {
  const found: string[] = [];
  const folders = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      if (SKIPPED.has(entry.name) || entry.name.endsWith('.log')) continue;
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) folders.push(path);
      else if (entry.isFile()) found.push(path);
    }
  }
  return found.sort();
}

/** Files whose imports count: TypeScript, and the script part of Vue components. */
export const isSource = (path: string): boolean => /\.(ts|mts|vue)$/.test(path) && !path.endsWith('.d.ts');
