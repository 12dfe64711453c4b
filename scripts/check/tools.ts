import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../media-worker/command.ts';
import type { Check } from './problem.ts';

function toolCheck(name: string, tool: string, args: readonly string[], mend: string): Check {
  return {
    name,
    run: async (root) => {
      const { code, output } = await runCommand(join(root, 'node_modules/.bin', tool), args, {
        cwd: root,
        env: { ...process.env, NO_COLOR: '1' },
      });
      return code === 0 ? [] : [{ where: [tool, ...args].join(' '), what: `\n${output}`, mend }];
    },
  };
}

/** One check per tsconfig.json that stands in the project. */
export function typeChecks(root: string): Check[] {
  return ['.', 'client', 'client/test', 'admin']
    .filter((folder) => existsSync(join(root, folder, 'tsconfig.json')))
    .map((folder) =>
      toolCheck(
        `types of ${folder === '.' ? 'the root' : folder}`,
        // Components are in client/ and admin/ only; the root has none, and plain tsc is faster.
        folder === '.' ? 'tsc' : 'vue-tsc',
        ['-p', folder, '--incremental', '--tsBuildInfoFile', buildInfo(root, folder)],
        'make the types true',
      ),
    );
}

/** What a check of the types has seen already: the second one takes a fraction of the time. One for each clone. */
function buildInfo(root: string, folder: string): string {
  const name = createHash('sha256').update(`${root}\n${folder}`).digest('hex').slice(0, 16);
  return join(root, 'node_modules/.cache/verbatim-types', `${name}.tsbuildinfo`);
}

export const lint = toolCheck(
  'lint and format',
  'biome',
  ['check', '--max-diagnostics=40', '.'],
  'npm run format mends the layout; the rest wants a look',
);
