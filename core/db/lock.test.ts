import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { holdLock } from './lock.ts';

const options = { purpose: 'the test', what: 'The folder', waitMs: 0 };

t.test('a lock is held by one, names its holder to others, and is free again after release', async (t) => {
  const path = join(t.testdir({}), 'lock');
  const held = await holdLock(path, options);
  await t.rejects(holdLock(path, options), {
    code: 'unavailable',
    message: `The folder is in use by the test (process ${process.pid}): stop that one first.`,
  });
  await Promise.all([held.release(), held.release()]);
  const again = await holdLock(path, options);
  await held.release();
  t.ok(existsSync(path), 'a second release of the first does not free the second');
  await again.release();
  t.strictSame(readdirSync(join(path, '..')), [], 'and nothing is left');
});

t.test('a lock that is released while another waits goes to the other', async (t) => {
  const path = join(t.testdir({}), 'lock');
  const held = await holdLock(path, options);
  const waiting = holdLock(path, { ...options, waitMs: 10_000 });
  await held.release();
  await (await waiting).release();
});

t.test(
  'the lock of a process that is gone, and one that is not readable as one, count as free',
  async (t) => {
    const path = join(t.testdir({}), 'lock');
    const code = `const { holdLock } = await import(${JSON.stringify(join(import.meta.dirname, 'lock.ts'))});
    await holdLock(${JSON.stringify(path)}, { purpose: 'x', what: 'y', waitMs: 0 });
    process.kill(process.pid, 'SIGKILL');`;
    await once(spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'ignore' }), 'exit');
    const left: unknown = JSON.parse(readFileSync(path, 'utf8'));
    await (await holdLock(path, options)).release();

    // The pid lives (it is ours), but it is another process than the one that took the lock.
    writeFileSync(path, JSON.stringify({ ...Object(left), pid: process.pid }));
    await (await holdLock(path, options)).release();

    for (const text of ['', 'null', '{}', '{"pid": 1', '{"pid": "x"}']) {
      writeFileSync(path, text);
      await (await holdLock(path, options)).release();
    }
  },
);

t.test('of many that want a dead holder’s lock at once, exactly one gets it', async (t) => {
  const path = join(t.testdir({}), 'lock');
  for (let round = 0; round < 20; round++) {
    writeFileSync(
      path,
      JSON.stringify({ pid: 1, startTicks: '-', bootId: '-', purpose: 'x', nonce: 'dead' }),
    );
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => holdLock(path, options)));
    const held = results.filter((result) => result.status === 'fulfilled');
    t.equal(held.length, 1, `round ${round}`);
    for (const { value } of held) await value.release();
  }
  t.strictSame(readdirSync(join(path, '..')), [], 'and nothing is left');
});
