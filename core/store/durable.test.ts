import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mkdirDurable, renameDurable, unlinkDurable, writeFileDurable } from './durable.ts';

t.test('writes whole files with the mode that was asked for and leaves nothing beside them', async (t) => {
  const dir = t.testdir({});
  const path = join(dir, 'a');
  await writeFileDurable(path, 'one');
  t.equal(statSync(path).mode & 0o777, 0o600);
  await writeFileDurable(path, Buffer.from('two'), { mode: 0o644 });
  t.equal(readFileSync(path, 'utf8'), 'two');
  t.equal(statSync(path).mode & 0o777, 0o644);
  t.same(readdirSync(dir), ['a']);
});

t.test('an exclusive write leaves what is there alone', async (t) => {
  const dir = t.testdir({ a: 'first' });
  const path = join(dir, 'a');
  await t.rejects(writeFileDurable(path, 'second', { exclusive: true }), { code: 'EEXIST' });
  t.equal(readFileSync(path, 'utf8'), 'first');
  t.same(readdirSync(dir), ['a']);
  const racing = Array.from({ length: 8 }, (_, n) =>
    writeFileDurable(join(dir, 'b'), String(n), { exclusive: true }),
  );
  const done = (await Promise.allSettled(racing)).filter(({ status }) => status === 'fulfilled');
  t.equal(done.length, 1, 'of many at once one wins');
});

t.test('makes, renames and removes', async (t) => {
  const dir = t.testdir({});
  const deep = join(dir, 'x', 'y', 'z');
  await mkdirDurable(deep);
  await mkdirDurable(deep);
  t.equal(statSync(deep).mode & 0o777, 0o700);
  await writeFileDurable(join(deep, 'a'), 'a');
  await renameDurable(join(deep, 'a'), join(dir, 'b'));
  t.same([readdirSync(deep), readFileSync(join(dir, 'b'), 'utf8')], [[], 'a']);
  await unlinkDurable(join(dir, 'b'));
  await unlinkDurable(join(dir, 'b'));
  t.same(readdirSync(dir), ['x']);
});
