import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Check } from './problem.ts';

/** Runs a program of node_modules/.bin to its end; both streams together. */
async function runTool(
  root: string,
  tool: string,
  args: readonly string[],
): Promise<{ ok: boolean; output: string }> {
  const child = spawn(join(root, 'node_modules/.bin', tool), args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { ok: code === 0, output: output.trim() };
}

function toolCheck(name: string, tool: string, args: readonly string[], mend: string): Check {
  return {
    name,
    run: async (root) => {
      const { ok, output } = await runTool(root, tool, args);
      return ok ? [] : [{ where: [tool, ...args].join(' '), what: `\n${output}`, mend }];
    },
  };
}

/** One check per tsconfig.json that stands in the project. */
export function typeChecks(root: string): Check[] {
  return ['.', 'client', 'admin']
    .filter((folder) => existsSync(join(root, folder, 'tsconfig.json')))
    .map((folder) =>
      toolCheck(
        `types of ${folder === '.' ? 'the root' : folder}`,
        'tsc',
        ['-p', folder],
        'make the types true',
      ),
    );
}

export const lint = toolCheck(
  'lint and format',
  'biome',
  ['check', '--max-diagnostics=40', '.'],
  'npm run format mends the layout; the rest wants a look',
);
