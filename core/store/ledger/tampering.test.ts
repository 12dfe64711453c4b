import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { encodeEntry, Frontier, generateLogKey, leafHash, openSigner, parseEntry, signNote } from '#ledger';
import { findingText } from './findings.ts';
import { rotationText } from './keys.ts';
import { loadLedger } from './load.ts';
import { readLedger } from './reader.ts';
import type { Place } from './testing.ts';
import { diskError, entryOf, freeze, placeIn, WatchedFiles } from './testing.ts';
import { encodeCommit, PAGE_BYTES, readSegment } from './wal-format.ts';

// Hundreds of logs are opened, on a machine that may have other work.
t.setTimeout(180_000);

/**
 * A log as a crash leaves it: keys after a rotation, a head signed by both, tiles with entries, and acknowledged
 * entries that only the write-ahead file has.
 */
async function crashed(dir: string, entries = 3): Promise<Place> {
  const place = placeIn(join(dir, 'live'));
  const files = new WatchedFiles();
  const ledger = await place.open({ files, origin: 'o.example' });
  await Promise.all(Array.from({ length: entries }, (_, n) => ledger.append(entryOf(n, 'rec:a'))));
  await ledger.rotateKey('t');
  files.before = (verb, path) => {
    if (path.includes('tile') && verb !== 'remove') throw diskError('EIO');
  };
  await ledger.append(entryOf(900, 'rec:a'));
  await ledger.append(entryOf(901, 'rec:b'));
  const copy = freeze(place, join(dir, 'crashed'));
  await ledger.close();
  return copy;
}

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
    .sort();
}

/** Reads everything as the start does, without taking the log. */
async function faults({ paths, signerDir }: Place): Promise<string[]> {
  const { findings } = await loadLedger({ paths, signerDir, withKey: true });
  return findings.list.map(findingText);
}

t.test('F35 one altered bit anywhere in a live log is found at the start', async (t) => {
  const place = await crashed(t.testdir({}));
  t.same(await faults(place), []);
  const missed: string[] = [];
  const opened: string[] = [];
  let bytes = 0;
  for (const path of filesBelow(place.dir)) {
    const whole = readFileSync(path);
    const name = relative(place.dir, path);
    for (let at = 0; at < whole.length; at += 1) {
      const altered = Buffer.from(whole);
      altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(path, altered);
      bytes += 1;
      // The write-ahead file is mostly padding: the reading of the segment alone must find each of its bytes.
      if (path.endsWith('.wal') && readSegment(altered).problem === undefined)
        missed.push(`${name} at ${at}`);
      if (path.endsWith('.wal') && at % 127 !== 0) continue;
      if ((await faults(place)).length === 0) missed.push(`${name} at ${at}`);
      if (at % 1025 !== 0) continue;
      // The start itself, not only its reading: it says so, refuses, and leaves everything as it is.
      const content = () =>
        filesBelow(place.dir)
          .filter((each) => !each.includes('owner.'))
          .map((each) => `${each}: ${readFileSync(each, 'latin1')}`);
      const before = content();
      place.alarms.length = 0;
      const ledger = await place.open();
      const { state } = ledger;
      if (state.mode !== 'read-only' || place.alarms.length !== 1) opened.push(`${name} at ${at}`);
      await t.rejects(ledger.append(entryOf(7)), { code: 'evidence_unavailable' });
      await ledger.close();
      if (content().join() !== before.join()) opened.push(`${name}: changed`);
    }
    writeFileSync(path, whole);
  }
  t.same([missed, opened], [[], []]);
  rmSync(join(place.paths.ledger, 'wal', 'owner.nobody'), { force: true });
  t.same(await faults(place), [], 'and nothing is found when all is as it was');
  t.comment(`${bytes} bytes in ${filesBelow(place.dir).length} files`);
});

t.test('F35 a shortened file is found; only what a crash cuts off the write-ahead file is not', async (t) => {
  const place = await crashed(t.testdir({}));
  const missed: string[] = [];
  for (const path of filesBelow(place.dir)) {
    const whole = readFileSync(path);
    const wal = path.endsWith('.wal');
    for (let length = 0; length < whole.length; length += wal ? 197 : 3) {
      truncateSync(path, length);
      const { findings, edge } = await loadLedger({
        paths: place.paths,
        signerDir: place.signerDir,
        withKey: true,
      });
      // Entries 5 and 6 are in the last two commits; no head was published that covers them.
      if (wal ? findings.count > 0 || edge.size < 5 : findings.count === 0) {
        missed.push(`${relative(place.dir, path)} at ${length}: ${findings.list.map(findingText).join()}`);
      }
      writeFileSync(path, whole);
    }
  }
  t.same(missed, []);
});

t.test('F35 a missing file is named', async (t) => {
  const place = await crashed(t.testdir({}), 300);
  for (const path of filesBelow(place.dir)) {
    const name = relative(place.dir, path);
    renameSync(path, `${path}.away`);
    const found = await faults(place);
    renameSync(`${path}.away`, path);
    if (name.endsWith('.wal')) continue;
    // The signer's memory may be new: that is entered and told, not refused.
    if (name.startsWith('signer')) t.same(found, [], name);
    // Partial files that are not needed any more are no loss.
    else if (found.length === 0) t.match(name, /\.p\/\d+$/, name);
    else if (!found.some((text) => text.includes(relative('data', name)))) t.fail(`${name}: ${found.join()}`);
  }
});

t.test('F35 an altered entry is named by file and number, whichever size the log has', async (t) => {
  const place = placeIn(t.testdir({}));
  const ledger = await place.open();
  await Promise.all(Array.from({ length: 700 }, (_, n) => ledger.append(entryOf(n))));
  await ledger.close();
  for (const index of [1, 255, 256, 511, 512, 700]) {
    const width = index < 512 ? '' : '.p/189';
    const file = `ledger/tile/entries/00${index >> 8}${width}`;
    const path = join(place.paths.dataDir, file);
    const whole = readFileSync(path);
    const altered = Buffer.from(whole);
    const at = altered.indexOf(`"d":{"n":${index - 1}}`);
    altered.write('9', at + 9);
    writeFileSync(path, altered);
    const reader = readLedger(place.paths);
    let unread: number | undefined;
    for await (const entry of reader.entries()) if (entry.bytes === undefined) unread = entry.index;
    t.same(
      reader.result.findings.map(({ file, entry }) => [file, entry]),
      [[file, index]],
    );
    t.equal(unread, index);
    t.equal(reader.result.size, 701, 'the rest is read');
    writeFileSync(path, whole);
  }
  // The tile instead of the entry.
  const tile = join(place.paths.ledger, 'tile', '0', '001');
  const whole = readFileSync(tile);
  const altered = Buffer.from(whole);
  altered[32 * 7] = (altered[32 * 7] ?? 0) ^ 1;
  writeFileSync(tile, altered);
  t.same(await faults(place), ['ledger/tile/0/001, entry 263: the hash of this entry was altered']);
  writeFileSync(tile, whole);
  t.same(await faults(place), []);
});

t.test('F35 a link, a foreign head and files of entries that nobody has are found', async (t) => {
  const dir = t.testdir({});
  const place = placeIn(join(dir, 'here'));
  const other = placeIn(join(dir, 'other'));
  for (const each of [place, other]) {
    const ledger = await each.open({ origin: 'o.example' });
    await ledger.append(entryOf(1));
    await ledger.close();
  }
  const bundle = join(place.paths.ledger, 'tile', 'entries', '000.p', '2');
  renameSync(bundle, join(dir, 'moved'));
  symlinkSync(join(dir, 'moved'), bundle);
  t.match(await faults(place), [/000\.p\/2: is not a regular file/, /is missing/]);
  rmSync(bundle);
  renameSync(join(dir, 'moved'), bundle);

  const checkpoint = join(place.paths.ledger, 'checkpoint');
  const own = readFileSync(checkpoint);
  writeFileSync(checkpoint, readFileSync(join(other.paths.ledger, 'checkpoint')));
  t.match(await faults(place), [/^ledger\/checkpoint: no known key signed/]);
  writeFileSync(checkpoint, own);

  const planted = join(place.paths.ledger, 'tile', 'entries', '001');
  writeFileSync(planted, 'x');
  t.match(await faults(place), [/^ledger\/tile\/entries\/001: holds entries that the log does not have/]);
  rmSync(planted);
  t.same(await faults(place), []);
});

t.test('F35 entries that contradict each other are found, although every hash is right', async (t) => {
  const place = placeIn(t.testdir({}));
  const ledger = await place.open();
  await ledger.append(entryOf(1, 'rec:a'));
  const files = await ledger.entry(0);
  const last = await ledger.entry(1);
  await ledger.close();
  const frontier = new Frontier();
  frontier.append(leafHash(files));
  frontier.append(leafHash(last));
  const good = parseEntry(last);
  const prev = leafHash(last).toString('hex');
  const initPrev = leafHash(files).toString('hex');
  const other = openSigner(generateLogKey(ledger.origin).skey);
  const taken = { old: ledger.vkey, new: other.vkey };
  const proof = signNote(rotationText({ origin: ledger.origin, ...taken, reason: 'x' }), [other]);
  const wal = join(place.paths.ledger, 'wal');
  for (const [entry, problem] of [
    [{ ...good, prev }, /, entry 2: has the subject and id of entry 1/],
    [
      { ...good, id: 'new', prev: null },
      /, entry 2: names another entry before it of subject rec:a than entry 1/,
    ],
    [
      { ...good, id: 'new', sub: 'rec:b', prev },
      /, entry 2: names another entry before it of subject rec:b than none/,
    ],
    [{ ...good, id: 'new', t: 'sys.init', prev }, /, entry 2: sys.init is the first entry and no other/],
    [
      { ...good, id: 'new', t: 'key.rotate', d: { old: 'x', new: 'y' }, prev },
      /, entry 2: replaces a key that was not/,
    ],
    [
      {
        ...good,
        id: 'new',
        sub: 'log',
        t: 'key.rotate',
        d: { ...taken, reason: 'x', proof: '' },
        prev: initPrev,
      },
      /, entry 2: is not signed by the key that it brings in/,
    ],
    [
      {
        ...good,
        id: 'new',
        sub: 'log',
        t: 'key.rotate',
        d: { ...taken, reason: 'y', proof },
        prev: initPrev,
      },
      /, entry 2: is not signed by the key that it brings in/,
    ],
    [{ ...good, id: 'new', prev }, undefined],
  ] as const) {
    const bytes = encodeEntry({ ...entry });
    const after = frontier.clone();
    after.append(leafHash(bytes));
    const roots = { rootBefore: frontier.root(), rootAfter: after.root() };
    rmSync(wal, { recursive: true, force: true });
    const segment = encodeCommit(1, { firstIndex: 2, ...roots, entries: [bytes] });
    t.equal(segment.length % PAGE_BYTES, 0);
    mkdirSync(wal);
    writeFileSync(join(wal, '000000000001.wal'), segment);
    const found = await faults(place);
    if (problem === undefined) t.same(found, []);
    else t.match(found[0], problem);
  }
  t.ok(existsSync(wal));
});
