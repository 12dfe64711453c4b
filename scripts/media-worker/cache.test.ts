import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cacheEntry, makeBuildDir, publish, withLock } from './cache.ts';

const key = { version: '1.2.3', platform: 'linux', arch: 'x64', recipeHash: 'abc' };
/** Above the largest pid that Linux gives. */
const noProcess = 4_194_305;

/** Must not be called. */
async function nobody(): Promise<never> {
  throw new Error('nobody was to be waited for, and nothing to be done');
}

function entryIn(dir: string) {
  return cacheEntry(key, { XDG_CACHE_HOME: dir });
}

t.test('the cache follows XDG_CACHE_HOME when it is an absolute path, and HOME otherwise', (t) => {
  const tail = 'verbatim/media-worker/1.2.3-linux-x64-abc/mediasoup-worker';
  t.equal(cacheEntry(key, { XDG_CACHE_HOME: '/var/c', HOME: '/home/a' }).binary, `/var/c/${tail}`);
  t.equal(cacheEntry(key, { XDG_CACHE_HOME: 'relative', HOME: '/home/a' }).binary, `/home/a/.cache/${tail}`);
  t.equal(cacheEntry(key, { HOME: '/home/a' }).binary, `/home/a/.cache/${tail}`);
  t.end();
});

t.test('two that want the same entry take turns, and the second is told whom it waits for', async (t) => {
  const entry = entryIn(t.testdir());
  const order: string[] = [];
  const first = Promise.withResolvers<void>();
  const inside = withLock(entry, nobody, async () => {
    order.push('first in');
    await first.promise;
    order.push('first out');
  });
  await withLock(
    entry,
    (pid) => {
      t.equal(pid, process.pid);
      first.resolve();
    },
    async () => order.push('second'),
  );
  await inside;
  t.same(order, ['first in', 'first out', 'second']);
  t.equal(existsSync(`${entry.dir}.lock`), false);
});

t.test('the lock is released when the work fails', async (t) => {
  const entry = entryIn(t.testdir());
  await t.rejects(
    withLock(entry, nobody, async () => {
      throw new Error('no compiler');
    }),
    { message: 'no compiler' },
  );
  t.equal(await withLock(entry, nobody, async () => 'again'), 'again');
});

t.test(
  'a lock whose process is gone, whose owner fell silent, or that is no lock is taken over',
  async (t) => {
    const entry = entryIn(t.testdir());
    const lock = `${entry.dir}.lock`;
    mkdirSync(entry.dir, { recursive: true });

    writeFileSync(lock, `${noProcess}\n`);
    t.equal(await withLock(entry, nobody, async () => 'dead'), 'dead');

    writeFileSync(lock, `${process.ppid}\n`);
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(lock, longAgo, longAgo);
    t.equal(await withLock(entry, nobody, async () => 'silent'), 'silent');

    writeFileSync(lock, 'rubbish');
    t.equal(await withLock(entry, nobody, async () => 'rubbish'), 'rubbish');
  },
);

t.test('waiting can be interrupted', async (t) => {
  const entry = entryIn(t.testdir());
  const interrupted = new AbortController();
  const first = Promise.withResolvers<void>();
  const inside = withLock(entry, nobody, () => first.promise);
  const waiting = withLock(entry, () => interrupted.abort(), nobody, interrupted.signal);
  await t.rejects(waiting, { name: 'AbortError' });
  first.resolve();
  await inside;
});

t.test('a build folder starts empty, and those of dead builders are cleared away', (t) => {
  const entry = entryIn(t.testdir());
  const dead = join(entry.dir, `building-${noProcess}`);
  const alive = join(entry.dir, `building-${process.ppid}`);
  for (const dir of [dead, alive]) mkdirSync(dir, { recursive: true });
  const own = makeBuildDir(entry);
  writeFileSync(join(own, 'left over'), '');
  t.equal(makeBuildDir(entry), own);
  t.equal(existsSync(join(own, 'left over')), false);
  t.equal(existsSync(dead), false);
  t.equal(existsSync(alive), true);
  t.end();
});

t.test('publishing puts the binary in place as a whole, also over an older one', (t) => {
  const entry = entryIn(t.testdir());
  for (const content of ['one', 'two']) {
    const made = join(makeBuildDir(entry), 'mediasoup-worker');
    writeFileSync(made, content);
    publish(entry, made);
    t.equal(readFileSync(entry.binary, 'utf8'), content);
    t.equal(existsSync(made), false);
  }
  t.end();
});
