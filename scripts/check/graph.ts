import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Import, Target } from './imports.ts';
import { importsOf, targetOf } from './imports.ts';
import { isSource, projectFiles } from './source-files.ts';

/** One import with what it points at. */
export interface Edge extends Import {
  from: string;
  target: Target;
}

/** Every import of the project. */
export async function readGraph(root: string): Promise<Edge[]> {
  const manifest: { imports?: Record<string, string> } = JSON.parse(
    await readFile(join(root, 'package.json'), 'utf8'),
  );
  const edges: Edge[] = [];
  for (const from of (await projectFiles(root)).filter(isSource)) {
    for (const one of importsOf(from, await readFile(join(root, from), 'utf8'))) {
      edges.push({ ...one, from, target: targetOf(from, one.specifier, manifest.imports ?? {}) });
    }
  }
  return edges;
}
