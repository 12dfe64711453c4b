import { clientTypes } from './client-types.ts';
import { importCycles } from './cycles.ts';
import { dependencies } from './dependencies.ts';
import { forbidden } from './forbidden.ts';
import { generatedDocs } from './generated-docs.ts';
import { importTable } from './imports-check.ts';
import { lockFile } from './lock-file.ts';
import type { Problem } from './problem.ts';
import { roomHeaders } from './room-headers.ts';
import { lint, typeChecks } from './tools.ts';

/** Runs every check and prints what failed and how to mend it. Answers the checks' names. */
export async function runChecks(root: string): Promise<{ passed: string[]; failed: string[] }> {
  const checks = [
    importTable,
    importCycles,
    roomHeaders,
    generatedDocs,
    clientTypes,
    dependencies,
    lockFile,
    forbidden,
    lint,
    ...typeChecks(root),
  ];
  const passed: string[] = [];
  const failed: string[] = [];
  // All at once: the type checks take longest, and each is a process of its own.
  const running = checks.map(async ({ name, run }) => ({ name, problems: await run(root).catch(broken) }));
  for (const check of running) {
    const { name, problems } = await check;
    console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name}`);
    for (const { where, what, mend } of problems) console.log(`  ${where}: ${what}\n    mend: ${mend}`);
    (problems.length === 0 ? passed : failed).push(name);
  }
  return { passed, failed };
}

/** A check that cannot do its work has not passed. */
function broken(error: unknown): Problem[] {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return [{ where: 'the check itself', what, mend: 'see what it could not read' }];
}
