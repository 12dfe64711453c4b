import { importCycles } from './cycles.ts';
import { dependencies } from './dependencies.ts';
import { forbidden } from './forbidden.ts';
import { generatedDocs } from './generated-docs.ts';
import { importTable } from './imports-check.ts';
import { lockFile } from './lock-file.ts';
import { roomHeaders } from './room-headers.ts';
import { lint, typeChecks } from './tools.ts';

/** Runs every check, one after the other, and prints what failed and how to mend it. Answers the checks' names. */
export async function runChecks(root: string): Promise<{ passed: string[]; failed: string[] }> {
  const checks = [
    importTable,
    importCycles,
    roomHeaders,
    generatedDocs,
    dependencies,
    lockFile,
    forbidden,
    lint,
    ...typeChecks(root),
  ];
  const passed: string[] = [];
  const failed: string[] = [];
  for (const { name, run } of checks) {
    const startedAt = performance.now();
    const problems = await run(root);
    const took = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
    console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name} (${took})`);
    for (const { where, what, mend } of problems) console.log(`  ${where}: ${what}\n    mend: ${mend}`);
    (problems.length === 0 ? passed : failed).push(name);
  }
  return { passed, failed };
}
