import { resolve } from 'node:path';
import { writeClientTypes } from './client-types.ts';
import { writeDocs } from './generated-docs.ts';
import { runChecks } from './run-checks.ts';

const root = resolve(import.meta.dirname, '../..');

if (process.argv.includes('--write-docs')) {
  for (const path of [...(await writeDocs(root)), ...(await writeClientTypes(root))])
    console.log(`wrote ${path}`);
} else {
  const { failed } = await runChecks(root);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
