import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import { formatCheckpoint, generateLogKey, openSigner, parseEntry, signNote } from '#ledger';
import { accessPaths, accessSignerDir } from '../paths.ts';
import { beginAnew } from './begin-anew.ts';
import { Ledger } from './ledger.ts';
import { readLedger } from './reader.ts';
import type { Place } from './testing.ts';
import { entryOf, freeze, placeIn } from './testing.ts';

const RECORDING = '11111111-2222-4333-8444-555555555555';
const LATER = '99999999-2222-4333-8444-555555555555';

/** A recording as far as the log is concerned: its entry, and then the opening with the head that covers it. */
async function record(ledger: Ledger, place: Place, id = RECORDING): Promise<void> {
  const { index } = await ledger.append(entryOf(1, `rec:${id}`));
  writeOpening(place, id, await ledger.covered(index));
}

function writeOpening({ paths }: Place, id: string, checkpoint: string): void {
  mkdirSync(paths.recordings, { recursive: true });
  writeFileSync(paths.evidence(id), `${JSON.stringify({ v: 1, recording: id, checkpoint })}\n`);
}

/** A log with one recording. */
async function recorded(t: Test): Promise<Place> {
  const place = placeIn(t.testdir({}));
  const ledger = await place.open();
  await record(ledger, place);
  await ledger.close();
  return place;
}

function removeLog({ paths, signerDir }: Place): void {
  rmSync(paths.ledger, { recursive: true });
  rmSync(signerDir, { recursive: true });
}

async function findingsOf({ paths, signerDir }: Place): Promise<string[]> {
  const reader = readLedger(paths, { signerDir });
  for await (const _ of reader.entries());
  return reader.result.findings.map(({ file, problem }) => `${file}: ${problem}`);
}

async function firstEntry(ledger: Ledger): Promise<unknown> {
  return parseEntry(await ledger.entry(0));
}

for (const [what, alsoGone] of [
  ['the log and the signer’s memory', []],
  ['the log, the memory and every key', ['ledgerKey', 'ledgerVkeys']],
] as const) {
  t.test(`F35 an opening proves that ${what} were removed: no new log is begun`, async (t) => {
    const place = await recorded(t);
    removeLog(place);
    for (const name of alsoGone) rmSync(place.paths[name]);
    const list = existsSync(place.paths.ledgerVkeys)
      ? readFileSync(place.paths.ledgerVkeys, 'utf8')
      : undefined;
    const ledger = await place.open();
    const problem = `ledger: is gone: recordings/${RECORDING}.evd was made after its entry had been committed, and that entry is not there`;
    t.same(ledger.state, { mode: 'read-only', problem });
    t.same(place.alarms, [`the ledger is read-only: ${problem}`]);
    await t.rejects(ledger.append(entryOf(2)), { code: 'evidence_unavailable' });
    t.throws(() => ledger.sign('a receipt\n'), { code: 'evidence_unavailable' });
    t.equal(ledger.checkpoint, undefined);
    await ledger.close();
    t.notOk(existsSync(place.signerDir), 'nothing was signed');
    t.equal(existsSync(place.paths.ledgerKey), alsoGone.length === 0, 'and no key was made');
    if (list !== undefined) t.equal(readFileSync(place.paths.ledgerVkeys, 'utf8'), list);
    t.same(await findingsOf(place), [problem]);
  });
}

t.test('F35 a log and a memory that both went back are noticed by an opening of later', async (t) => {
  const dir = t.testdir({});
  const place = placeIn(join(dir, 'here'));
  let ledger = await place.open();
  await record(ledger, place);
  await ledger.close();
  const old = freeze(place, join(dir, 'old'));
  ledger = await place.open();
  await record(ledger, place, LATER);
  await ledger.close();
  for (const [from, to] of [
    [old.paths.ledger, place.paths.ledger],
    [old.signerDir, place.signerDir],
  ] as const) {
    rmSync(to, { recursive: true });
    cpSync(from, to, { recursive: true });
  }
  ledger = await place.open();
  t.match(ledger.state, {
    mode: 'read-only',
    problem: new RegExp(
      `^ledger: lacks entries: recordings/${LATER}.evd was made .* under a signed head of 3 entries, and that entry`,
    ),
  });
  await ledger.close();
});

t.test('F35 nobody can stop a log with an opening that its key did not sign', async (t) => {
  const place = await recorded(t);
  const { skey } = generateLogKey('elsewhere.example');
  const head = { origin: 'elsewhere.example', size: 99, root: Buffer.alloc(32, 7) };
  writeOpening(place, LATER, signNote(formatCheckpoint(head), [openSigner(skey)]));
  writeFileSync(place.paths.evidence('00000000-2222-4333-8444-555555555555'), 'no opening');
  const ledger = await place.open();
  t.same(ledger.state, { mode: 'writable' });
  await ledger.close();
  t.same(place.alarms, []);
});

t.test('F35 openings of entries whose loss was accepted do not stop the log again', async (t) => {
  const dir = t.testdir({});
  const place = placeIn(join(dir, 'here'));
  let ledger = await place.open();
  await record(ledger, place);
  await ledger.close();
  const old = freeze(place, join(dir, 'old'));
  ledger = await place.open();
  await record(ledger, place, LATER);
  await ledger.close();
  rmSync(place.paths.ledger, { recursive: true });
  cpSync(old.paths.ledger, place.paths.ledger, { recursive: true });
  await Ledger.acceptHead({ ...place.options(), reason: 'the copy of Sunday' });
  ledger = await place.open();
  t.same(ledger.state, { mode: 'writable' });
  await ledger.close();
});

t.test('F31 the access log goes on beside a ledger that is gone, and keeps its name', async (t) => {
  const place = await recorded(t);
  const access = (newOrigin: string): Promise<Ledger> =>
    Ledger.open({
      ...place.options(),
      paths: accessPaths(place.paths),
      signerDir: accessSignerDir(place.signerDir),
      newOrigin,
    });
  await (await access('first.example/access')).close();
  rmSync(place.paths.ledger, { recursive: true });
  rmSync(join(place.signerDir, 'last-signed'));
  const log = await access('second.example/access');
  t.same(log.state, { mode: 'writable' }, 'no opening is about it');
  t.equal(log.origin, 'first.example/access');
  await log.close();
  t.same(place.alarms, []);
});

t.test(
  'F35 a log is begun anew by an operator’s word, with a new key, and the earlier keys stay',
  async (t) => {
    const place = await recorded(t);
    const earlier = readFileSync(place.paths.ledgerVkeys, 'utf8').trim();
    t.match(await beginAnew({ ...place.options(), reason: 'x' }).catch((error: unknown) => error), {
      code: 'conflict',
      message: /nothing is wrong/,
    });
    removeLog(place);
    const begun = await beginAnew({ ...place.options(), reason: 'the disk of 3 May' });
    t.not(begun.vkey, earlier);
    t.match(begun.moved, [/secrets\/ledger\.key\.lost-\d{8}T\d{6}Z$/]);
    for (const path of begun.moved) t.ok(existsSync(path), 'nothing is deleted');
    t.equal(readFileSync(place.paths.ledgerVkeys, 'utf8'), `${earlier}\n${begun.vkey}\n`);

    let ledger = await place.open();
    t.same(ledger.state, { mode: 'writable' });
    t.match(await firstEntry(ledger), {
      t: 'sys.init',
      d: {
        origin: begun.origin,
        vkey: begun.vkey,
        earlier: [earlier],
        anew: { reason: 'the disk of 3 May' },
      },
    });
    t.same([ledger.earlierVkeys, ledger.vkeys], [[earlier], [begun.vkey]]);
    await record(ledger, place, LATER);
    const rotated = await ledger.rotateKey('yearly');
    await ledger.close();
    t.equal(readFileSync(place.paths.ledgerVkeys, 'utf8'), `${earlier}\n${begun.vkey}\n${rotated.new}\n`);
    t.same(await findingsOf(place), []);

    removeLog(place);
    ledger = await place.open();
    t.equal(ledger.state.mode, 'read-only', 'the second log is missed as the first one was');
    await ledger.close();
    const again = await beginAnew({ ...place.options(), reason: 'once more' });
    t.equal(
      readFileSync(place.paths.ledgerVkeys, 'utf8'),
      `${earlier}\n${begun.vkey}\n${rotated.new}\n${again.vkey}\n`,
    );
    t.same(await findingsOf(place), []);
  },
);

t.test('F35 a damaged log is moved aside whole, and its list of keys is completed first', async (t) => {
  const place = await recorded(t);
  const earlier = readFileSync(place.paths.ledgerVkeys, 'utf8').trim();
  rmSync(place.paths.ledgerVkeys);
  const tile = join(place.paths.ledger, 'tile', 'entries', '000.p', '2');
  writeFileSync(tile, readFileSync(tile).subarray(0, 50));
  const begun = await beginAnew({ ...place.options(), reason: 'a bad disk' });
  t.equal(begun.moved.length, 3, 'key, memory and log');
  t.equal(readFileSync(place.paths.ledgerVkeys, 'utf8'), `${earlier}\n${begun.vkey}\n`);
  t.same(await findingsOf(place), []);
});

t.test(
  'F35 after a crash at any step of beginning anew the log stays read-only, and it is done again',
  async (t) => {
    const dir = t.testdir({});
    const whole = placeIn(join(dir, 'whole'));
    const ledger = await whole.open();
    await record(ledger, whole);
    await ledger.close();
    const earlier = readFileSync(whole.paths.ledgerVkeys, 'utf8').trim();
    const tile = join(whole.paths.ledger, 'tile', 'entries', '000.p', '2');
    writeFileSync(tile, readFileSync(tile).subarray(0, 50));
    for (const done of [1, 2, 3]) {
      const place = freeze(whole, join(dir, `crash-${done}`));
      const { paths, signerDir } = place;
      const steps = [paths.ledgerKey, join(signerDir, 'last-signed'), paths.ledger].slice(0, done);
      for (const path of steps) renameSync(path, `${path}.lost-before`);
      const stopped = await place.open();
      t.equal(stopped.state.mode, 'read-only', `after step ${done}`);
      await stopped.close();
      const begun = await beginAnew({ ...place.options(), reason: 'again' });
      t.equal(readFileSync(paths.ledgerVkeys, 'utf8'), `${earlier}\n${begun.vkey}\n`);
      t.same(await findingsOf(place), []);
      t.equal(readdirSync(paths.secrets).filter((name) => name.includes('.lost-')).length, 1);
    }
  },
);

t.test('F35 of a cut bundle only the cut is told: the list of keys is not blamed for it', async (t) => {
  const place = await recorded(t);
  const tile = join(place.paths.ledger, 'tile', 'entries', '000.p', '2');
  writeFileSync(tile, readFileSync(tile).subarray(0, 50));
  const findings = await findingsOf(place);
  t.ok(findings.length > 0);
  for (const finding of findings) t.match(finding, /^ledger\/tile\/entries\/000\.p\/2: /);
  const ledger = await place.open();
  t.match(ledger.state, { mode: 'read-only', problem: /^ledger\/tile\/entries\/000\.p\/2, entry 0: / });
  t.equal(ledger.vkeys.length, 1, 'the keys are still known');
  await ledger.close();
});
