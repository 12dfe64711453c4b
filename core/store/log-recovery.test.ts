import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { verifyJournal } from './journal-reader.ts';
import { scanSegment } from './log-format.ts';
import { recoverLog, recoverLogs } from './log-recovery.ts';
import type { Store } from './testing.ts';
import { makeStore, packetOf } from './testing.ts';

/** A log and its journals as a recorder leaves them that is killed: copied while it still runs. */
interface Crashed {
  walDir: string;
  journalsDir: string;
  segment: string;
  /** After each commit: bytes of the log, and the head that was acknowledged, for each of the two recordings. */
  commits: { logBytes: number; heads: { path: string; seq: number; head: string }[] }[];
  paths: string[];
}

async function crashed(dir: string, store: Store, rounds = 4): Promise<Crashed> {
  const log = await store.openLog();
  const writers = [await store.create(log), await store.create(log)];
  const live = store.paths.log('recorder-1');
  const journalsDir = join(dir, 'journals');
  const walDir = join(dir, 'wal', 'recorder-1');
  const segment = join(walDir, '000000000001.wal');
  const paths = writers.map((writer) => join(journalsDir, `${writer.recording}-1.scj`));
  const commits: Crashed['commits'] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const writer of writers) {
      for (let n = 0; n < 7 + round; n += 1) writer.append(0, 0, packetOf(round * 100 + n, 50 + n), n);
    }
    const acknowledged = await Promise.all(writers.map((writer) => writer.flush({ urgent: true })));
    commits.push({
      logBytes: readFileSync(join(live, '000000000001.wal')).length,
      heads: acknowledged.map(({ seq, head }, n) => ({ path: paths[n] ?? '', seq, head })),
    });
  }
  mkdirSync(dirname(walDir), { recursive: true });
  cpSync(live, walDir, { recursive: true });
  cpSync(store.paths.journals, journalsDir, { recursive: true });
  for (const name of readdirSync(walDir)) if (name.startsWith('owner.')) rmSync(join(walDir, name));
  await log.close();
  return { walDir, journalsDir, segment, commits, paths };
}

t.test('replay puts every acknowledged block into its journal and removes the log', async (t) => {
  const dir = t.testdir({});
  const store = await makeStore(join(dir, 'live'));
  const { walDir, journalsDir, commits, paths } = await crashed(join(dir, 'crashed'), store);
  t.match(await verifyJournal(paths[0] ?? ''), { seq: 0 }, 'before, the journal has only its header');
  const recovery = await recoverLog({ walDir, journalsDir });
  t.match(recovery, {
    segments: 1,
    blocks: 8,
    badPages: 0,
    removed: true,
    journals: [
      { status: 'whole', appendedBlocks: 4, seq: 4, path: paths[0] },
      { status: 'whole', appendedBlocks: 4, seq: 4, path: paths[1] },
    ],
  });
  for (const acknowledged of commits.at(-1)?.heads ?? []) {
    t.match(await verifyJournal(acknowledged.path, { acknowledged }), { status: 'torn', seq: 4 });
  }
  t.notOk(existsSync(walDir));
});

t.test('wherever the log is cut, what was committed before the cut is recovered', async (t) => {
  const dir = t.testdir({});
  const store = await makeStore(join(dir, 'live'));
  const { walDir, journalsDir, segment, commits } = await crashed(join(dir, 'crashed'), store);
  const whole = readFileSync(segment);
  const journals = readdirSync(journalsDir).map(
    (name) => [name, readFileSync(join(journalsDir, name))] as const,
  );
  const cuts = new Set<number>();
  for (const { logBytes } of commits) for (let d = -3; d <= 3; d += 1) cuts.add(logBytes + d);
  for (let at = 0; at < whole.length; at += 1013) cuts.add(at);
  for (const at of cuts) {
    mkdirSync(walDir, { recursive: true });
    writeFileSync(segment, whole.subarray(0, at));
    for (const [name, bytes] of journals) writeFileSync(join(journalsDir, name), bytes);
    const { removed } = await recoverLog({ walDir, journalsDir });
    if (!removed) t.fail(`cut at ${at}: not replayed`);
    const last = commits.findLast(({ logBytes }) => logBytes <= at);
    for (const acknowledged of last?.heads ?? []) {
      const { status } = await verifyJournal(acknowledged.path, { acknowledged });
      if (status !== 'torn') t.fail(`cut at ${at}: ${status}`);
    }
  }
  t.ok(cuts.size > 40);
});

t.test(
  'wherever a journal is cut or overwritten behind its last sync, replay makes it whole again',
  async (t) => {
    const dir = t.testdir({});
    const store = await makeStore(join(dir, 'live'));
    const { walDir, journalsDir, segment, commits, paths } = await crashed(join(dir, 'crashed'), store);
    const log = readFileSync(segment);
    const [path = ''] = paths;
    const headerBytes = readFileSync(path).length;
    await recoverLog({ walDir, journalsDir });
    const whole = readFileSync(path);
    const [acknowledged] = commits.at(-1)?.heads ?? [];
    for (let at = headerBytes; at <= whole.length; at += 173) {
      for (const damage of ['cut', 'zeros', 'longer'] as const) {
        const rest = damage === 'cut' ? 0 : damage === 'zeros' ? whole.length - at : whole.length - at + 5000;
        mkdirSync(walDir, { recursive: true });
        writeFileSync(segment, log);
        writeFileSync(path, Buffer.concat([whole.subarray(0, at), Buffer.alloc(rest)]));
        const { removed } = await recoverLog({ walDir, journalsDir });
        const result = await verifyJournal(path, acknowledged ? { acknowledged } : {});
        if (!removed || result.status !== 'torn' || result.goodBytes !== whole.length) {
          t.fail(`${damage} at ${at}`, { removed, result });
        }
      }
    }
    const tails = readdirSync(journalsDir).filter((name) => name.includes('.tail'));
    t.ok(tails.length > 1, 'what stood behind the verified part is kept beside the journal');
  },
);

t.test('replaying again changes nothing, also when it was stopped half way', async (t) => {
  const dir = t.testdir({});
  const store = await makeStore(join(dir, 'live'));
  const { walDir, journalsDir, segment, paths } = await crashed(join(dir, 'crashed'), store);
  const log = readFileSync(segment);
  await recoverLog({ walDir, journalsDir });
  const after = paths.map((path) => readFileSync(path));
  // Stopped between the two journals, and before the log was removed.
  truncateSync(paths[1] ?? '', 800);
  mkdirSync(walDir, { recursive: true });
  writeFileSync(segment, log);
  await recoverLogs({ walRoot: dirname(walDir), journalsDir });
  t.same(
    paths.map((path) => readFileSync(path)),
    after,
  );
});

t.test('a log or journal that contradicts the other is kept and reported, never written over', async (t) => {
  const dir = t.testdir({});
  const store = await makeStore(join(dir, 'live'));
  const { walDir, journalsDir, segment, paths } = await crashed(join(dir, 'crashed'), store);
  const whole = readFileSync(segment);
  const { records } = scanSegment(whole);
  const second = records[2];
  const [path = ''] = paths;
  const journal = readFileSync(path);
  t.ok(second);
  if (second === undefined) return;
  const flipped = Buffer.from(whole);
  flipped[second.blockOffset + 40] = 0xff ^ (flipped[second.blockOffset + 40] ?? 0);
  const header = Buffer.from(journal);
  header[20] = 0xff ^ (header[20] ?? 0);
  const cases: { what: string; log: Buffer; journal: Buffer; problem: RegExp }[] = [
    { what: 'a flipped bit in the log', log: flipped, journal, problem: /does not follow the chain/ },
    {
      what: 'a page of the log lost',
      log: Buffer.concat([Buffer.alloc(4096), whole.subarray(4096)]),
      journal,
      problem: /neither in the journal nor in the log/,
    },
    { what: 'a flipped bit in the file header', log: whole, journal: header, problem: /file header/ },
  ];
  for (const { what, log, journal: bytes, problem } of cases) {
    writeFileSync(segment, log);
    writeFileSync(path, bytes);
    const recovery = await recoverLog({ walDir, journalsDir });
    t.equal(recovery.removed, false, what);
    t.match(
      recovery.journals.find((replayed) => replayed.path === path),
      { status: 'broken', problem, contradicts: true },
      what,
    );
    t.ok(readFileSync(segment).equals(log), 'the log is kept');
  }
  // Two different blocks with one number: somebody wrote the journal anew.
  writeFileSync(segment, whole);
  writeFileSync(path, journal);
  await recoverLog({ walDir, journalsDir });
  const other = await crashed(join(dirname(journalsDir), 'other'), store);
  const foreign = readFileSync(other.segment);
  const id = Buffer.from(
    whole.subarray((records[0]?.blockOffset ?? 0) - 20, (records[0]?.blockOffset ?? 0) - 4),
  );
  id.copy(foreign, (scanSegment(foreign).records[0]?.blockOffset ?? 0) - 20);
  mkdirSync(walDir, { recursive: true });
  writeFileSync(segment, foreign);
  const before = readFileSync(path);
  const recovery = await recoverLog({ walDir, journalsDir });
  t.match(
    recovery.journals.find((replayed) => replayed.path === path),
    { status: 'broken', problem: /different blocks 1/ },
  );
  t.ok(readFileSync(path).equals(before));
});

t.test('blocks of a journal that is gone are passed over, and the log still goes', async (t) => {
  const dir = t.testdir({});
  const store = await makeStore(join(dir, 'live'));
  const { walDir, journalsDir, paths } = await crashed(join(dir, 'crashed'), store);
  rmSync(paths[0] ?? '');
  const recovery = await recoverLog({ walDir, journalsDir });
  t.equal(recovery.removed, true);
  t.same(
    recovery.journals.map(({ status }) => status),
    ['missing', 'whole'],
  );
  t.notOk(existsSync(paths[0] ?? ''));
});

t.test('the log of a recorder that runs is left alone', async (t) => {
  const store = await makeStore(t.testdir({}));
  const log = await store.openLog();
  t.teardown(() => log.close());
  const { wal, journals } = store.paths;
  await t.rejects(recoverLog({ walDir: store.paths.log('recorder-1'), journalsDir: journals }), {
    code: 'conflict',
  });
  t.same(await recoverLogs({ walRoot: wal, journalsDir: journals }), []);
  t.same(await recoverLogs({ walRoot: join(wal, 'nowhere'), journalsDir: journals }), []);
});
