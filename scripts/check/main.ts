import { resolve } from 'node:path';
import { importCycles } from './cycles.ts';
import { dependencies } from './dependencies.ts';
import { forbidden } from './forbidden.ts';
import { generatedDocs, writeDocs } from './generated-docs.ts';
import { importTable } from './imports-check.ts';
import { lockFile } from './lock-file.ts';
import type { Check } from './problem.ts';
import { roomHeaders } from './room-headers.ts';
import { lint, typeChecks } from './tools.ts';

const root = resolve(import.meta.dirname, '../..');

if (process.argv.includes('--write-docs')) {
  for (const path of await writeDocs(root)) console.log(`wrote ${path}`);
} else {
  process.exitCode = (await runAll([
    importTable,
    importCycles,
    roomHeaders,
    generatedDocs,
    dependencies,
    lockFile,
    forbidden,
    lint,
    ...typeChecks(root),
  ]))
    ? 0
    : 1;
}

/** Runs every check, one after the other, and prints what failed and how to mend it. */
async function runAll(checks: readonly Check[]): Promise<boolean> {
  let failed = 0;
  for (const { name, run } of checks) {
    const startedAt = performance.now();
    const problems = await run(root);
    const took = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
    console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name} (${took})`);
    for (const { where, what, mend } of problems) console.log(`  ${where}: ${what}\n    mend: ${mend}`);
    if (problems.length > 0) failed += 1;
  }
  console.log(failed === 0 ? 'Every check passed.' : `${failed} of ${checks.length} checks failed.`);
  return failed === 0;
}
