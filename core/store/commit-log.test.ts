import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Test } from 'tap';
import t from 'tap';
import { CommitLog } from './commit-log.ts';
import { verifyJournal } from './journal-reader.ts';
import type { JournalWriter } from './journal-writer.ts';
import { recoverLogs } from './log-recovery.ts';
import { FailingFiles, makeStore, packetOf } from './testing.ts';

t.test(
  'at most four commits in any second, however many calls are urgent; waiting ones share one',
  async (t) => {
    const store = await makeStore(t.testdir({}));
    const files = new FailingFiles();
    const log = await store.openLog({ files, maxCommitsPerSecond: 4 });
    t.teardown(() => log.close());
    const writers = await Promise.all(Array.from({ length: 50 }, () => store.create(log)));
    const syncs: number[] = [];
    files.before = (verb, path) => {
      if (verb === 'datasync' && path.endsWith('.wal')) syncs.push(performance.now());
    };
    let rounds = 0;
    const started = performance.now();
    while (performance.now() - started < 2200) {
      for (const writer of writers) writer.append(0, 0, packetOf(rounds), rounds);
      await Promise.all(writers.map((writer) => writer.flush({ urgent: true })));
      rounds += 1;
    }
    t.ok(rounds <= 12, `${rounds} rounds, each urgent in all 50 calls`);
    t.equal(syncs.length, rounds, 'one sync a round');
    // A sync comes a little after its commit was started, so the distance is measured with some play.
    syncs.forEach((at, n) => {
      const fifth = syncs[n + 4];
      if (fifth !== undefined && fifth - at < 700) t.fail(`five syncs within ${fifth - at} ms`);
    });
    const stats = log.stats();
    t.match(stats, {
      writers: 50,
      commits: rounds,
      blocks: 50 * rounds,
      acknowledged: 50 * rounds,
      errors: 0,
    });
    t.ok(stats.commitMsMedian > 0 && stats.commitMsMax >= stats.commitMsMedian);
    t.equal(stats.bytes % 4096, 0);
  },
);

t.test('F34 the first packet of each leg is committed at once, without being asked', async (t) => {
  const store = await makeStore(t.testdir({}));
  // No second ever passes here: what is acknowledged was committed for its own sake.
  const log = await store.openLog({ tickMs: 3_600_000 });
  t.teardown(() => log.close());
  const writer = await store.create(log);
  writer.append(0, 0, packetOf(1), 1);
  t.equal((await writer.flush()).seq, 1);
  writer.append(1, 0, packetOf(1), 2);
  t.equal((await writer.flush()).seq, 2);
  writer.append(1, 0, packetOf(2), 3);
  const later = writer.flush();
  const other = await store.create(log);
  other.append(0, 0, packetOf(1), 4);
  await other.flush();
  t.equal(writer.acknowledged.seq, 2, 'later packets wait for the second to pass');
  await writer.flush({ urgent: true });
  t.equal((await later).seq, 3);
});

t.test('log segments go as soon as every journal that they feed is synced past them', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog({ segmentBytes: 16 * 1024 });
  t.teardown(() => log.close());
  const [a, b] = [await store.create(log), await store.create(log)];
  const rounds = async (count: number, ...writers: JournalWriter[]) => {
    for (let n = 0; n < count; n += 1) {
      for (const writer of writers) for (let p = 0; p < 50; p += 1) writer.append(0, 0, packetOf(p), p);
      await Promise.all(writers.map((writer) => writer.flush({ urgent: true })));
    }
  };
  await rounds(10, a, b);
  const both = log.stats();
  t.ok(both.segments > 4, `${both.segments} segments`);
  await a.end('hangup');
  t.ok(log.stats().segments >= both.segments, 'the other journal still needs them');
  await b.end('hangup');
  t.equal(log.stats().segments, 1, 'only the present one is left');
  t.equal(readdirSync(store.paths.log('recorder-1')).filter((name) => name.endsWith('.wal')).length, 1);
});

t.test('a log that grows past its limit has the journals synced that hold it back', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog({ segmentBytes: 16 * 1024, maxLogBytes: 64 * 1024, tickMs: 20 });
  t.teardown(() => log.close());
  const writers = await Promise.all(Array.from({ length: 5 }, () => store.create(log)));
  for (let round = 0; round < 12; round += 1) {
    for (const writer of writers) for (let p = 0; p < 30; p += 1) writer.append(0, 0, packetOf(p), p);
    await Promise.all(writers.map((writer) => writer.flush({ urgent: true })));
  }
  t.ok(log.stats().logBytes > 64 * 1024);
  // Syncing is spread over the ticks; each flush here waits for one.
  for (let second = 0; second < 200 && log.stats().logBytes > 64 * 1024; second += 1) {
    for (const writer of writers) writer.append(0, 0, packetOf(1), 1);
    await Promise.all(writers.map((writer) => writer.flush()));
  }
  t.ok(log.stats().logBytes <= 64 * 1024, `${log.stats().logBytes} bytes`);
  for (const writer of writers) await writer.end('hangup');
});

t.test('journals are written lazily, a few seconds late, and not at all until then', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog();
  t.teardown(() => log.close());
  const writer = await store.create(log);
  writer.append(0, 0, packetOf(1), 1);
  await writer.flush({ urgent: true });
  t.match(await verifyJournal(writer.path), { seq: 0 }, 'so far it is in the log only');
  for (let n = 0; n < 300; n += 1) writer.append(0, 0, packetOf(n), n);
  const { seq } = await writer.flush({ urgent: true });
  t.equal(log.stats().journalSyncs, 0);
  writer.append(0, 0, packetOf(1), 1);
  await writer.flush();
  t.match(await verifyJournal(writer.path), { seq }, 'enough of it waited to be written');
  t.equal(log.stats().journalSyncs, 0, 'and still not synced: the log has it');
});

t.test(
  'a log directory has one owner: a running process keeps it, a dead one’s must be replayed',
  async (t) => {
    const store = await makeStore(t.testdir({}));
    const log = await store.openLog();
    await t.rejects(store.openLog(), { code: 'conflict', message: /a process that runs/ });
    const writer = await store.create(log);
    writer.append(0, 0, packetOf(1), 1);
    await writer.end('hangup');
    await log.close();
    t.notOk(existsSync(store.paths.log('recorder-1')), 'nothing is left of a log that was closed');

    const dir = store.paths.log('recorder-1');
    // A child that opens the log and is gone without closing it.
    const child = `
    import { CommitLog } from ${JSON.stringify(join(import.meta.dirname, 'commit-log.ts'))};
    await CommitLog.open({ dir: ${JSON.stringify(dir)}, journalsDir: ${JSON.stringify(store.paths.journals)} });
    process.kill(process.pid, 'SIGKILL');
  `;
    spawnSync(process.execPath, ['--input-type=module', '-e', child]);
    t.match(readdirSync(dir), [/^000000000001\.wal$/, /^owner\.[0-9]+\./]);
    await t.rejects(store.openLog(), { code: 'conflict', message: /must be replayed/ });
    t.ok(readFileSync(join(dir, '000000000001.wal')), 'it was not touched');
  },
);

t.test('a full disk is told as such, and audio that was acknowledged before is all there', async (t) => {
  // Not below the test's own directory, which is removed while the disk is still mounted.
  const disk = mkdtempSync(join(tmpdir(), 'verbatim-disk-'));
  t.teardown(() => rmSync(disk, { recursive: true }));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'none', disk], { stdio: 'ignore' });
  } catch {
    t.pass('mounting a small disk needs root', { skip: 'not allowed here' });
    return;
  }
  try {
    await fillDisk(t, disk);
  } finally {
    execFileSync('umount', [disk]);
  }
});

async function fillDisk(t: Test, disk: string): Promise<void> {
  const store = await makeStore(t.testdir({}));
  const journalsDir = join(disk, 'journals');
  mkdirSync(journalsDir);
  const log = await CommitLog.open({ dir: join(disk, 'wal'), journalsDir, maxCommitsPerSecond: 1000 });
  const failed = Promise.withResolvers<string>();
  const writer = await store.create(log, { onFailed: (error) => failed.resolve(error.code) });
  let acknowledged = writer.acknowledged;
  try {
    for (let n = 0; ; n += 1) {
      for (let p = 0; p < 100; p += 1) writer.append(0, 0, packetOf(n * 100 + p), n);
      acknowledged = await writer.flush({ urgent: true });
    }
  } catch (error) {
    t.match(error, { code: 'no_space' });
  }
  t.equal(await failed.promise, 'no_space');
  t.ok(acknowledged.seq > 5, `${acknowledged.seq} blocks`);
  await t.rejects(store.create(log), { code: 'no_space' });
  await log.close();
  // Journal or log: what does not fit into the journal yet is kept in the log until there is room.
  execFileSync('mount', ['-o', 'remount,size=4m', disk]);
  await recoverLogs({ walRoot: disk, journalsDir });
  t.match(await verifyJournal(writer.path, { acknowledged }), { status: 'torn', seq: acknowledged.seq });
}
