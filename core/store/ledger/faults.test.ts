import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseEntry } from '#ledger';
import type { Ledger } from './ledger.ts';
import { readLedger } from './reader.ts';
import type { LedgerVerb, Place } from './testing.ts';
import { diskError, entryOf, freeze, placeIn, WatchedFiles } from './testing.ts';

// Hundreds of logs are opened, on a machine that may have other work.
t.setTimeout(180_000);

/** The step of the write path that a verb on a path belongs to. */
function stepOf(verb: LedgerVerb, path: string): string {
  if (verb === 'syncDir') return 'directory sync';
  if (verb === 'mkdir') return 'directory';
  if (verb === 'remove') return 'removal';
  const what = path.endsWith('.wal')
    ? 'write-ahead'
    : path.includes('last-signed')
      ? 'signer memory'
      : path.includes('checkpoint')
        ? 'checkpoint'
        : path.includes('entries')
          ? 'bundle'
          : 'tile';
  return `${what} ${verb}`;
}

const STEPS = [
  ...['write-ahead', 'bundle', 'tile', 'signer memory', 'checkpoint'].flatMap((what) =>
    ['create', 'write', 'datasync'].map((verb) => `${what} ${verb}`),
  ),
  ...['bundle', 'tile', 'signer memory', 'checkpoint'].map((what) => `${what} rename`),
  'directory',
  'directory sync',
  'removal',
];

/** Opens it, as after a crash: everything acknowledged is there once, nothing is wrong, and it goes on. */
async function assertWhole(place: Place, acknowledged: readonly number[], where: string): Promise<string[]> {
  const problems: string[] = [];
  const ledger = await place.open();
  const { state } = ledger;
  if (state.mode !== 'writable') problems.push(`${where}: ${state.problem}`);
  else {
    await ledger.append(entryOf(9_999));
    const last = acknowledged.at(-1);
    if (last !== undefined && (await ledger.append(entryOf(last))).fresh)
      problems.push(`${where}: ${last} was lost`);
  }
  await ledger.close();
  // Before the first entry is durable a new log cannot be told from one that was removed; then it says so.
  const alarms = place.alarms.filter((alarm) => acknowledged.length > 0 || !/begun anew/.test(alarm));
  if (alarms.length > 0) problems.push(`${where}: ${alarms.join()}`);
  const reader = readLedger(place.paths, { signerDir: place.signerDir });
  const seen = new Set<string>();
  for await (const { entry } of reader.entries()) {
    const name = `${entry?.sub} ${entry?.id}`;
    if (seen.has(name)) problems.push(`${where}: ${name} is there twice`);
    seen.add(name);
  }
  for (const { sub, id } of acknowledged.map((n) => entryOf(n))) {
    if (!seen.has(`${sub} ${id}`)) problems.push(`${where}: ${id} was lost`);
  }
  for (const { file, problem } of reader.result.findings) problems.push(`${where}: ${file}: ${problem}`);
  if (reader.result.checkpoint?.size !== reader.result.size)
    problems.push(`${where}: the head is not the newest`);
  return problems;
}

/** Small appends, a bundle that becomes full, a rotation, an end: every step of the write path happens. */
async function live(place: Place, files: WatchedFiles, acknowledged: number[]): Promise<void> {
  const enter = async (ledger: Ledger, n: number): Promise<void> => {
    await ledger.append(entryOf(n));
    acknowledged.push(n);
  };
  let ledger = await place.open({ files });
  await enter(ledger, 0);
  await ledger.covered(1);
  await Promise.all([1, 2, 3].map((n) => enter(ledger, n)));
  await ledger.covered(4);
  await ledger.rotateKey('test');
  await ledger.close();
  ledger = await place.open({ files });
  await Promise.all(Array.from({ length: 252 }, (_, n) => enter(ledger, 10 + n)));
  await ledger.covered(257);
  await ledger.close();
}

t.test('F35 a crash before or after any step loses nothing acknowledged and doubles nothing', async (t) => {
  const dir = t.testdir({});
  const place = placeIn(join(dir, 'live'));
  const files = new WatchedFiles();
  const acknowledged: number[] = [];
  const frozen: { place: Place; acknowledged: number[]; where: string }[] = [];
  const seen = new Map<string, number>();
  const keep = (moment: string, verb: LedgerVerb, path: string): void => {
    const step = stepOf(verb, path);
    const where = `${frozen.length}: ${moment} ${step} of ${path.slice(dir.length)}`;
    seen.set(step, (seen.get(step) ?? 0) + 1);
    const copy = freeze(place, join(dir, String(frozen.length)));
    frozen.push({ place: copy, acknowledged: [...acknowledged], where });
    if (verb !== 'write' || moment !== 'after') return;
    // Without its sync the system may keep as much of a write as it likes: nothing, a part, or zeros.
    const from = files.unsynced.get(path) ?? 0;
    const whole = readFileSync(path);
    const lose: [string, (target: string) => void][] = [
      ['nothing of it', (target) => truncateSync(target, from)],
      ['half of it', (target) => truncateSync(target, from + Math.floor((whole.length - from) / 2))],
      [
        'zeros',
        (target) =>
          writeFileSync(target, Buffer.concat([whole.subarray(0, from), Buffer.alloc(whole.length - from)])),
      ],
    ];
    for (const [what, act] of lose) {
      const torn = freeze(place, join(dir, String(frozen.length)));
      act(join(torn.dir, path.slice(place.dir.length)));
      frozen.push({
        place: torn,
        acknowledged: [...acknowledged],
        where: `${where}, power lost with ${what}`,
      });
    }
  };
  files.before = (verb, path) => keep('before', verb, path);
  files.after = (verb, path) => keep('after', verb, path);
  await live(place, files, acknowledged);
  t.same(
    STEPS.filter((step) => !seen.has(step)),
    [],
    'every step happened',
  );
  const problems: string[] = [];
  for (const { place, acknowledged, where } of frozen) {
    problems.push(...(await assertWhole(place, acknowledged, where)));
    rmSync(place.dir, { recursive: true });
  }
  t.same(problems.slice(0, 20), []);
  t.comment(`${frozen.length} crashes at ${seen.size} steps`);
});

const CODES = ['ENOSPC', 'EIO', 'EROFS', 'EMFILE'] as const;

t.test('F35 an error at any step is got over, or told: nothing acknowledged is lost', async (t) => {
  const dir = t.testdir({});
  const problems: string[] = [];
  let runs = 0;
  for (const [s, step] of STEPS.entries()) {
    if (step === 'removal') continue;
    for (const lasts of [1, 3]) {
      const code = CODES[(s + lasts) % CODES.length] ?? 'EIO';
      const where = `${lasts} times ${code} at ${step}`;
      const place = placeIn(join(dir, String(runs++)));
      const files = new WatchedFiles();
      files.tornBytes = lasts === 1 ? 0 : 700;
      let works = (): void => undefined;
      const log = { info: () => works(), warn: () => undefined, error: () => undefined };
      const ledger = await place.open({ files, log });
      await ledger.append(entryOf(0));
      await ledger.covered(1);
      let left: number = lasts;
      // A new segment is begun only where one is given up.
      let spoiled = step !== 'write-ahead create';
      files.before = (verb, path) => {
        if (!spoiled && stepOf(verb, path) === 'write-ahead write') {
          spoiled = true;
          throw diskError('EIO');
        }
        if (stepOf(verb, path) !== step || left === 0) return;
        left -= 1;
        throw diskError(code);
      };
      const acknowledged = [0];
      for (let n = 1; n <= 12; n += 1) {
        try {
          await ledger.append(entryOf(n));
          acknowledged.push(n);
        } catch (error) {
          if (!(error instanceof Error && 'code' in error && error.code === 'evidence_unavailable'))
            throw error;
          // The log tries again by itself within milliseconds, and says so when it works.
          await new Promise<void>((resolve) => {
            works = resolve;
          });
        }
      }
      await ledger.covered(ledger.size - 1);
      if (left > 0) problems.push(`${where}: it never happened`);
      if (ledger.state.mode !== 'writable') problems.push(`${where}: ${ledger.state.problem}`);
      if (acknowledged.length < 4) problems.push(`${where}: only ${acknowledged.length} entries were taken`);
      await ledger.close();
      place.alarms.length = 0;
      problems.push(...(await assertWhole(place, acknowledged, where)));
    }
  }
  t.same(problems, []);
  t.comment(`${runs} kinds of trouble`);
});

t.test(
  'F35 after an error nobody knows what a segment holds: the same entries go to a new one',
  async (t) => {
    const dir = t.testdir({});
    const place = placeIn(join(dir, 'live'));
    const files = new WatchedFiles();
    const ledger = await place.open({ files, collectMs: 3_600_000 });
    await ledger.append(entryOf(0));
    let syncs = 0;
    files.before = (verb, path) => {
      if (stepOf(verb, path) === 'write-ahead datasync' && syncs++ === 0) throw diskError('EIO');
    };
    const first = await ledger.append(entryOf(1));
    t.equal(syncs, 2, 'a failed fdatasync is never repeated on the same file');
    t.same(place.alarms, [], 'acknowledged all the same');
    // Both segments hold the entry now.
    const copy = freeze(place, join(dir, 'copy'));
    t.same(await assertWhole(copy, [0, 1], 'found twice'), []);
    await ledger.close();
    t.equal(first.index, 2);
  },
);

t.test(
  'F35 while the disk takes nothing appends are refused at once; what was given a place keeps it',
  async (t) => {
    const place = placeIn(t.testdir({}));
    const files = new WatchedFiles();
    const ledger = await place.open({ files, retry: { minMs: 1, maxMs: 2 } });
    await ledger.append(entryOf(0));
    await ledger.covered(1);
    let broken = true;
    const { promise: mended, resolve } = Promise.withResolvers<void>();
    files.before = (verb, path) => {
      if (broken && stepOf(verb, path).startsWith('write-ahead')) throw diskError('EROFS');
    };
    files.after = (verb, path) => {
      if (stepOf(verb, path) === 'write-ahead datasync') resolve();
    };
    await t.rejects(ledger.append(entryOf(1)), { code: 'evidence_unavailable', message: /EROFS/ });
    t.match(ledger.state, { mode: 'read-only', problem: /EROFS/ });
    await t.rejects(ledger.append(entryOf(2)), { code: 'evidence_unavailable' });
    t.equal(place.alarms.length, 1, 'told once');
    t.equal(ledger.size, 2);
    broken = false;
    await mended;
    await ledger.covered(2);
    t.same(ledger.state, { mode: 'writable' });
    const again = await ledger.append(entryOf(1));
    t.same([again.index, again.fresh], [2, false], 'the refused one was entered after all');
    t.equal((await ledger.append(entryOf(2))).index, 3, 'the one that was refused at once was not');
    await ledger.close();
    t.same(
      await assertWhole(place, [0, 1, 2], 'afterwards').then((p) =>
        p.filter((each) => !each.includes('EROFS')),
      ),
      [],
    );
  },
);

t.test(
  'F35 what the tree does not take stays in the write-ahead file, also over an end of the process',
  async (t) => {
    const place = placeIn(t.testdir({}));
    const files = new WatchedFiles();
    let ledger = await place.open({ files });
    await ledger.append(entryOf(0));
    const early = await ledger.covered(1);
    files.before = (verb, path) => {
      if (stepOf(verb, path).startsWith('tile')) throw diskError('ENOSPC');
    };
    for (let n = 1; n <= 5; n += 1) await ledger.append(entryOf(n));
    t.same(ledger.state, { mode: 'writable' }, 'entries are still durable');
    let told = false;
    const waiting = ledger.covered(6).catch(() => {
      told = true;
    });
    await ledger.append(entryOf(6));
    await ledger.close();
    await waiting;
    t.ok(told, 'who waits for a head is told at the end');
    t.match(place.alarms, [/cannot be published: ENOSPC/]);
    t.equal(ledger.checkpoint, early);
    t.ok(existsSync(join(place.paths.ledger, 'wal', 'owner.nobody')));
    place.alarms.length = 0;
    ledger = await place.open();
    t.equal(ledger.size, 8);
    t.equal(parseEntry(await ledger.entry(7)).d.n, 6);
    await ledger.close();
    t.notOk(existsSync(join(place.paths.ledger, 'wal')), 'nothing is left to replay');
    t.same(await assertWhole(place, [0, 1, 2, 3, 4, 5, 6], 'afterwards'), []);
  },
);

t.test(
  'F35 when too much waits for the tree appends are refused, until it takes entries again',
  async (t) => {
    const place = placeIn(t.testdir({}));
    const files = new WatchedFiles();
    const { promise: alarmed, resolve } = Promise.withResolvers<string>();
    const ledger = await place.open({ files, maxWaitingBytes: 1500, onAlarm: resolve });
    await ledger.append(entryOf(0));
    await ledger.covered(1);
    let broken = true;
    files.before = (verb, path) => {
      if (broken && stepOf(verb, path).startsWith('checkpoint')) throw diskError('EMFILE');
    };
    const taken: number[] = [0];
    const refused = async (): Promise<unknown> => {
      for (let n = 1; n < 50; n += 1) {
        const error: unknown = await ledger.append(entryOf(n)).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (error !== undefined) return error;
        taken.push(n);
      }
      return undefined;
    };
    await ledger.append(entryOf(1));
    t.match(await alarmed, /cannot be published: EMFILE/);
    t.match(await refused(), { code: 'evidence_unavailable', message: /cannot be published: EMFILE/ });
    t.match(ledger.state, { mode: 'read-only', problem: /EMFILE/ });
    const count = taken.length;
    broken = false;
    await ledger.covered(count);
    t.same(ledger.state, { mode: 'writable' });
    await ledger.append(entryOf(60));
    await ledger.close();
    t.same(await assertWhole(place, [...taken, 60], 'afterwards'), []);
  },
);

t.test('F35 a rotation that was interrupted is ended by the next start, or was never begun', async (t) => {
  const dir = t.testdir({});
  const place = placeIn(join(dir, 'live'));
  const { ledgerKey, ledgerVkeys } = place.paths;
  let ledger = await place.open();
  await ledger.append(entryOf(0));
  const old = { key: readFileSync(ledgerKey), vkeys: readFileSync(ledgerVkeys) };
  const rotated = await ledger.rotateKey('test');
  await ledger.close();
  const now = { key: readFileSync(ledgerKey), vkeys: readFileSync(ledgerVkeys) };

  for (const vkeys of [old.vkeys, now.vkeys]) {
    const copy = freeze(place, join(dir, `after-${vkeys.length}`));
    writeFileSync(copy.paths.ledgerKey, old.key);
    writeFileSync(`${copy.paths.ledgerKey}.next`, now.key);
    writeFileSync(copy.paths.ledgerVkeys, vkeys);
    ledger = await copy.open();
    t.same([ledger.state, ledger.vkey], [{ mode: 'writable' }, rotated.new]);
    await ledger.close();
    t.same(readFileSync(copy.paths.ledgerKey), now.key);
    t.same(readFileSync(copy.paths.ledgerVkeys), now.vkeys);
    t.notOk(existsSync(`${copy.paths.ledgerKey}.next`));
    t.same(await assertWhole(copy, [0], 'after a rotation'), []);
  }

  // The key was made, the entry never was.
  writeFileSync(`${ledgerKey}.next`, old.key);
  ledger = await place.open();
  t.same([ledger.state, ledger.vkey], [{ mode: 'writable' }, rotated.new]);
  t.notOk(existsSync(`${ledgerKey}.next`));
  await ledger.close();

  rmSync(ledgerKey);
  ledger = await place.open();
  t.match(ledger.state, { mode: 'read-only', problem: /secrets\/ledger\.key: is missing/ });
  t.notOk(existsSync(ledgerKey), 'no other key is made');
  await ledger.close();
});
