import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

/** Runs the worker's program to its end. */
function run(args: string[], env: NodeJS.ProcessEnv): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [MAIN, ...args],
      { env: { PATH: process.env.PATH, ...env } },
      (error, out, err) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, output: out + err }),
    );
  });
}

for (const args of [[], ['sing'], ['capture ']])
  t.test(`a worker started with ${JSON.stringify(args)} says how it is used`, async (t) => {
    t.same(await run(args, {}), {
      code: 2,
      output: 'Usage: node recorder-worker/main.ts capture|finalise\n',
    });
  });

for (const role of ['capture', 'finalise'])
  t.test(`a worker for ${role} without a database says what it needs`, async (t) => {
    const { code, output } = await run([role], { VERBATIM_DATA_DIR: t.testdir() });
    t.equal(code, 1);
    t.match(output, 'A worker needs database.url (VERBATIM_DATABASE_URL), the one that the daemon uses.');
  });
