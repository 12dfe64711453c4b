import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { verifyJournal } from './journal-reader.ts';
import type { LogOwner } from './log-owner.ts';
import { claimLog, logIsOwned, ownersOf, takeLog } from './log-owner.ts';
import { recoverLog, recoverLogs } from './log-recovery.ts';
import { makeStore, packetOf } from './testing.ts';

const ROUNDS = 150;

/** The name that a process leaves which had the log and is gone. */
function deadOwner(dir: string): string {
  const code = `const { claimLog } = await import(${JSON.stringify(join(import.meta.dirname, 'log-owner.ts'))});
    await claimLog(${JSON.stringify(dir)});
    process.kill(process.pid, 'SIGKILL');`;
  spawnSync(process.execPath, ['--input-type=module', '-e', code]);
  return readdirSync(dir)[0] ?? '';
}

async function winners(attempts: Promise<LogOwner>[]): Promise<LogOwner[]> {
  const settled = await Promise.allSettled(attempts);
  const lost = settled.filter((result) => result.status === 'rejected');
  for (const { reason } of lost) if (reason.code !== 'conflict') throw reason;
  return settled.filter((result) => result.status === 'fulfilled').map(({ value }) => value);
}

t.test('of all that claim a log at the same moment exactly one gets it', async (t) => {
  const root = t.testdir({});
  const dead = deadOwner(join(root, 'dead'));
  t.match(dead, /^owner\.[0-9]+\./);
  for (let round = 0; round < ROUNDS; round += 1) {
    const fresh = join(root, `fresh-${round}`);
    const left = join(root, `left-${round}`);
    mkdirSync(left);
    writeFileSync(join(left, dead), '');
    for (const dir of [fresh, left]) {
      const owners = await winners([claimLog(dir), claimLog(dir), claimLog(dir), claimLog(dir)]);
      if (owners.length !== 1) t.fail(`${owners.length} have ${dir}`);
      if (!(await logIsOwned(dir))) t.fail(`${dir} counts as ownerless`);
      for (const owner of owners) await Promise.all([owner.release(), owner.release()]);
    }
  }
  t.same(
    readdirSync(root),
    ['dead'],
    'what is let go of with nothing in it is gone, and no temporary is left',
  );
});

t.test('a log that was let go of can be taken by one, a log in use by nobody', async (t) => {
  const dir = join(t.testdir({}), 'log');
  const first = await claimLog(dir);
  await t.rejects(claimLog(dir), { code: 'conflict' });
  await t.rejects(takeLog(dir), { code: 'conflict' });
  writeFileSync(join(dir, '000000000001.wal'), '');
  await first.release();
  t.same(readdirSync(dir), ['000000000001.wal', 'owner.nobody'], 'segments keep the directory');
  t.equal(await logIsOwned(dir), false);
  const [second, ...more] = await winners(Array.from({ length: 8 }, () => takeLog(dir)));
  t.same([second === undefined, more], [false, []]);
  t.equal(await logIsOwned(dir), true);
  await second?.release();
  for (const name of await ownersOf(dir)) renameSync(join(dir, name), join(dir, 'set-aside'));
  const restored = await takeLog(dir);
  t.equal(await logIsOwned(dir), true, 'one without an owner is taken as well');
  await restored.release();
  await t.rejects(takeLog(join(dir, 'nowhere')), { code: 'ENOENT' });
});

t.test('F23 a daemon that looks for logs to replay never gets between a recorder and its own', async (t) => {
  const store = await makeStore(t.testdir({}));
  const { journals, wal } = store.paths;
  for (let round = 0; round < ROUNDS; round += 1) {
    const dir = store.paths.log(`recorder-${round}`);
    const opening = store.openLog({ dir });
    const looking = (async () => {
      for (let look = 0; look < 6; look += 1) {
        t.same(await recoverLogs({ walRoot: wal, journalsDir: journals }), []);
        await turn();
      }
    })();
    const [log] = await Promise.all([opening, looking]);
    if (!(await logIsOwned(dir))) t.fail(`the open log ${round} counts as ownerless`);
    if (!existsSync(join(dir, '000000000001.wal'))) t.fail(`the live segment of log ${round} is gone`);
    await log.close();
  }
});

t.test('F23 acknowledged blocks survive a recovery that runs beside their recorder', async (t) => {
  const store = await makeStore(t.testdir({}));
  const { journals, wal } = store.paths;
  const walDir = store.paths.log('recorder-1');
  const log = await store.openLog();
  const writer = await store.create(log);
  for (let n = 1; n <= 5; n += 1) {
    writer.append(0, 0, packetOf(n), n);
    const [acknowledged] = await Promise.all([
      writer.flush({ urgent: true }),
      recoverLogs({ walRoot: wal, journalsDir: journals }),
      t.rejects(recoverLog({ walDir, journalsDir: journals }), { code: 'conflict' }),
    ]);
    t.equal(acknowledged.seq, n);
  }
  const acknowledged = await writer.end('hangup');
  await log.close();
  t.match(await verifyJournal(writer.path, { acknowledged }), { status: 'complete', seq: 6 });
  t.notOk(existsSync(walDir));
});

t.test('a log that goes away while logs are looked for is passed over; each is replayed once', async (t) => {
  const store = await makeStore(t.testdir({}));
  const { journals, wal } = store.paths;
  for (let n = 0; n < 20; n += 1) {
    mkdirSync(store.paths.log(`recorder-${n}`), { recursive: true });
    writeFileSync(join(store.paths.log(`recorder-${n}`), '000000000001.wal'), Buffer.alloc(4096));
  }
  mkdirSync(join(wal, 'empty'));
  writeFileSync(join(wal, 'a file'), '');
  const both = await Promise.all([1, 2].map(() => recoverLogs({ walRoot: wal, journalsDir: journals })));
  t.equal(both.flat().filter(({ segments }) => segments === 1).length, 20);
  t.same(readdirSync(wal).sort(), ['a file', 'empty']);
});
