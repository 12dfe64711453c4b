import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOMS } from './import-table.ts';
import type { Check } from './problem.ts';
import { projectFiles } from './source-files.ts';

/** Each room's index.ts opens with three comment lines: what it is, what it is not, who may import it. */
export const roomHeaders: Check = {
  name: 'room headers',
  run: async (root) => {
    const doors = new Set(ROOMS.map((room) => `${room.path}/index.ts`));
    const present = (await projectFiles(root)).filter((path) => doors.has(path));
    const texts = await Promise.all(present.map((path) => readFile(join(root, path), 'utf8')));
    return present.flatMap((path, index) => {
      const what = headerFault(texts[index] ?? '');
      return what === undefined
        ? []
        : [
            {
              where: `${path}:1`,
              what,
              mend: 'open it with `// name: what it is.`, `// Not here: what it is not.`, `// Imported by: who may.`',
            },
          ];
    });
  },
};

/** What is wrong with the first lines of a room's index.ts, or undefined. */
export function headerFault(text: string): string | undefined {
  const [is = '', isNot = '', imported = ''] = text.split('\n');
  if (!/^\/\/ \S.{15,}/.test(is)) return 'the first line does not say what the room is';
  if (!/^\/\/ .*\bnot?\b.{10,}/i.test(isNot)) return 'the second line does not say what the room is not';
  if (!/^\/\/ .*\bimport(ed|s)?\b.{3,}/i.test(imported))
    return 'the third line does not say who may import the room';
  return undefined;
}
