import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  Frontier,
  leafHash,
  openNote,
  openVerifier,
  parseCheckpoint,
  parseEntry,
  parseProof,
  verifyConsistency,
  verifyInclusion,
} from '#ledger';
import { Ledger } from './ledger.ts';
import { readLedger } from './reader.ts';
import type { Place } from './testing.ts';
import { entryOf, freeze, placeIn, TestClock } from './testing.ts';

// Thousands of entries and syncs, on a machine that may have other work.
t.setTimeout(180_000);

/** Reads the log as a stranger would and returns its entries. */
async function check(place: Place): Promise<{ bytes: Buffer[]; size: number }> {
  const reader = readLedger(place.paths, { signerDir: place.signerDir });
  const bytes: Buffer[] = [];
  for await (const entry of reader.entries()) bytes.push(entry.bytes ?? Buffer.alloc(0));
  t.same(reader.result.findings, []);
  return { bytes, size: reader.result.size };
}

t.test('F35 a new log begins with sys.init, a key, a checkpoint and the signer’s memory of it', async (t) => {
  const place = placeIn(t.testdir({}));
  const ledger = await place.open();
  t.match(ledger.origin, /^verbatim-[0-9a-f]{16}$/);
  t.same(ledger.state, { mode: 'writable' });
  t.equal(ledger.size, 1);
  const first = parseEntry(await ledger.entry(0));
  t.match(first, {
    t: 'sys.init',
    sub: 'log',
    prev: null,
    d: { origin: ledger.origin, vkey: ledger.vkey, version: '1.2.3' },
  });
  const { text } = openNote(ledger.checkpoint ?? '', [openVerifier(ledger.vkey)]);
  t.same(parseCheckpoint(text), { origin: ledger.origin, size: 1, root: leafHash(await ledger.entry(0)) });
  await ledger.close();
  await ledger.close();
  t.equal(statSync(place.paths.ledgerKey).mode & 0o777, 0o600);
  t.equal(readFileSync(place.paths.ledgerVkeys, 'utf8'), `${ledger.vkey}\n`);
  t.equal(readFileSync(join(place.paths.ledger, 'checkpoint'), 'utf8'), ledger.checkpoint);
  t.equal(readFileSync(join(place.signerDir, 'last-signed'), 'utf8'), ledger.checkpoint);
  t.equal((await check(place)).size, 1);
  t.same(place.alarms, []);
});

t.test('F35 an entry is entered once, chained to the one before it of its subject, and proved', async (t) => {
  const place = placeIn(t.testdir({}));
  let ledger = await place.open({ origin: 'calls.example.org/ledger' });
  t.equal(ledger.origin, 'calls.example.org/ledger');
  const early = ledger.checkpoint ?? '';
  const both = await Promise.all([ledger.append(entryOf(1, 'rec:a')), ledger.append(entryOf(1, 'rec:a'))]);
  t.same(
    both.map(({ index, fresh }) => [index, fresh]),
    [
      [1, true],
      [1, false],
    ],
  );
  const second = await ledger.append(entryOf(2, 'rec:a'));
  await ledger.append(entryOf(1, 'rec:b'));
  t.equal(parseEntry(second.bytes).prev, both[0].hash.toString('hex'));
  const note = await ledger.covered(second.index);
  await ledger.close();
  await t.rejects(ledger.append(entryOf(3)), { code: 'evidence_unavailable' });

  ledger = await place.open();
  const again = await ledger.append({ ...entryOf(2, 'rec:a'), d: { n: 'other' } });
  t.same([again.index, again.fresh, again.bytes], [second.index, false, second.bytes]);
  t.same(
    (await ledger.entriesOf('rec:a')).map(({ index }) => index),
    [1, 2],
  );
  t.same(await ledger.entriesOf('rec:nobody'), []);
  const proof = parseProof(await ledger.proof(second.index, note));
  const { root, size } = parseCheckpoint(openNote(proof.checkpoint, [openVerifier(ledger.vkey)]).text);
  verifyInclusion({ index: 2, size, root, leaf: second.hash, proof: proof.hashes });
  const old = parseCheckpoint(openNote(early, [openVerifier(ledger.vkey)]).text);
  const consistency = await ledger.consistency(old.size, size);
  verifyConsistency({ from: old.size, to: size, fromRoot: old.root, toRoot: root, proof: consistency });
  await t.rejects(ledger.entry(99), { code: 'not_found' });
  t.throws(() => ledger.inclusion(0, 99), { code: 'bad_request' });
  t.throws(() => ledger.sign(`${ledger.origin}\n9\n`), { code: 'bad_request' });
  t.equal(openNote(ledger.sign('a receipt\n'), [openVerifier(ledger.vkey)]).text, 'a receipt\n');
  await t.rejects(ledger.append({ ...entryOf(4), id: 'x'.repeat(129) }), { name: 'LedgerError' });
  await t.rejects(ledger.append({ ...entryOf(4), d: { n: 'x'.repeat(17_000) } }), { name: 'LedgerError' });
  t.equal((await ledger.append(entryOf(5))).index, 4, 'what is no entry takes no place');
  await ledger.close();
  t.equal((await check(place)).size, 5);
  await t.rejects(place.open({ origin: 'other' }), { code: 'conflict' });
  t.same(place.alarms, []);
});

t.test('many appends at once share commits and keep their order', async (t) => {
  const place = placeIn(t.testdir({}));
  const ledger = await place.open();
  const done = await Promise.all(Array.from({ length: 3000 }, (_, n) => ledger.append(entryOf(n))));
  t.same(
    done.map(({ index }) => index),
    Array.from({ length: 3000 }, (_, n) => n + 1),
  );
  await ledger.close();
  const { bytes } = await check(place);
  t.same(
    bytes.slice(1).map((each) => parseEntry(each).d.n),
    Array.from({ length: 3000 }, (_, n) => n),
  );
});

for (const [from, to] of [
  [253, 259],
  [65_533, 65_539],
] as const) {
  t.test(`F35 the log is right at each size from ${from} to ${to}`, async (t) => {
    const place = placeIn(t.testdir({}));
    let ledger = await place.open();
    const frontier = new Frontier();
    frontier.append(leafHash(await ledger.entry(0)));
    const before = Array.from({ length: from - 1 }, (_, n) => n);
    for (let at = 0; at < before.length; at += 8192) {
      const done = await Promise.all(
        before.slice(at, at + 8192).map((n) => ledger.append(entryOf(n, `rec:${n >> 3}`))),
      );
      for (const { hash } of done) frontier.append(hash);
    }
    await ledger.covered(from - 1);
    for (let size = from + 1; size <= to; size += 1) {
      const { hash, index } = await ledger.append(entryOf(size, 'rec:last'));
      frontier.append(hash);
      const note = await ledger.covered(index);
      const head = parseCheckpoint(openNote(note, [openVerifier(ledger.vkey)]).text);
      if (head.size !== size || !head.root.equals(frontier.root())) t.fail(`the head at ${size}`);
      for (const proved of [0, 1, 255, 256, size - 1]) {
        if (proved >= size) continue;
        const { hashes } = parseProof(await ledger.proof(proved, note));
        const leaf = leafHash(await ledger.entry(proved));
        verifyInclusion({ index: proved, size, root: head.root, leaf, proof: hashes });
      }
    }
    await ledger.close();
    const started = performance.now();
    ledger = await place.open();
    t.comment(`${to} entries are read and checked in ${Math.round(performance.now() - started)} ms`);
    t.same([ledger.state, ledger.size], [{ mode: 'writable' }, to]);
    t.equal((await ledger.entriesOf('rec:last')).length, to - from);
    await ledger.close();
    t.same(place.alarms, []);
  });
}

t.test('a second writer of the same log is refused', async (t) => {
  const place = placeIn(t.testdir({}));
  const ledger = await place.open();
  await t.rejects(place.open(), { code: 'conflict' });
  await ledger.close();
  await (await place.open()).close();
});

t.test('a clock that is set is entered before whatever comes next', async (t) => {
  const place = placeIn(t.testdir({}));
  const clock = new TestClock();
  const start = clock.wall;
  let ledger = await place.open({ clock });
  clock.pass(60_000);
  clock.wall += 4_000;
  await ledger.append(entryOf(1));
  clock.wall += 4_000;
  await ledger.append(entryOf(2));
  clock.pass(1_000);
  clock.wall -= 86_400_000;
  await ledger.append(entryOf(3));
  await ledger.close();
  const now = clock.wall;
  clock.wall -= 3_600_000;
  ledger = await place.open({ clock });
  await ledger.close();
  const entries = (await check(place)).bytes.map((bytes) => parseEntry(bytes));
  t.same(
    entries.map(({ t }) => t),
    ['sys.init', 'call.start', 'clock.step', 'call.start', 'clock.step', 'call.start', 'clock.step'],
  );
  t.same(
    entries[2]?.d,
    { fromMs: start + 60_000, toMs: start + 68_000, stepMs: 8_000 },
    'small steps add up',
  );
  t.match(entries[4]?.d, { stepMs: -86_400_000 });
  t.same(entries[6]?.d, { fromMs: now, toMs: now - 3_600_000, stepMs: -3_600_000 });
  t.equal(entries[1]?.mono, 60_000);
  t.not(entries[6]?.boot, entries[0]?.boot);
});

t.test(
  'F35 a data folder that went back in time is noticed, and goes on only by an operator’s word',
  async (t) => {
    const dir = t.testdir({});
    const place = placeIn(join(dir, 'here'));
    let ledger = await place.open();
    await ledger.append(entryOf(1));
    await ledger.close();
    const old = freeze(place, join(t.testdirName, '..', `${t.testdirName}-old`));
    t.teardown(() => rmSync(old.dir, { recursive: true, force: true }));
    ledger = await place.open();
    const lost = await ledger.append(entryOf(2));
    const lostNote = await ledger.covered(lost.index);
    await ledger.close();

    rmSync(place.paths.dataDir, { recursive: true });
    renameSync(old.paths.dataDir, place.paths.dataDir);
    ledger = await place.open();
    const { state } = ledger;
    t.match(state, {
      mode: 'read-only',
      problem: /signer\/last-signed: .* is of 3 entries, but there are 2/,
    });
    t.equal(place.alarms.length, 1);
    await t.rejects(ledger.append(entryOf(3)), { code: 'evidence_unavailable' });
    await t.rejects(ledger.covered(2), { code: 'evidence_unavailable' });
    t.throws(() => ledger.sign('a receipt\n'), { code: 'evidence_unavailable' });
    t.equal((await ledger.entriesOf('rec:1')).length, 1, 'what is there can be read');
    t.ok(parseProof(await ledger.proof(1, ledger.checkpoint ?? '')));
    await ledger.close();

    const accepted = await Ledger.acceptHead({
      ...place.options(),
      reason: 'restored from the copy of Sunday',
    });
    t.match(accepted, { lost: { size: 3 }, now: { size: 2 } });
    await t.rejects(Ledger.acceptHead({ ...place.options(), reason: 'again' }), { code: 'conflict' });
    ledger = await place.open();
    t.same(ledger.state, { mode: 'writable' });
    t.match(parseEntry(await ledger.entry(2)), {
      t: 'config.change',
      actor: { kind: 'operator' },
      d: { what: 'head-accepted', ...accepted, reason: 'restored from the copy of Sunday' },
    });
    t.not(ledger.checkpoint, lostNote);
    await ledger.append(entryOf(4));
    await ledger.close();
    t.equal((await check(place)).size, 4);
  },
);

for (const [title, later] of [
  ['with the old key’s signature on the last head', 0],
  ['and entries after that', 2],
] as const) {
  t.test(`F35 the loss of a copy from before the last key can be accepted, ${title}`, async (t) => {
    const place = placeIn(join(t.testdir({}), 'here'));
    let ledger = await place.open();
    await ledger.append(entryOf(1));
    await ledger.close();
    const old = freeze(place, join(t.testdirName, '..', `${t.testdirName}-old`));
    t.teardown(() => rmSync(old.dir, { recursive: true, force: true }));
    ledger = await place.open();
    const { new: lostKey } = await ledger.rotateKey('yearly');
    for (let entry = 0; entry < later; entry += 1) await ledger.append(entryOf(2 + entry));
    await ledger.close();

    rmSync(place.paths.dataDir, { recursive: true });
    renameSync(old.paths.dataDir, place.paths.dataDir);
    const found = new RegExp(
      `signer/last-signed: .* is of ${3 + later} entries, but there are 2, and it was signed by a key that they do not name`,
    );
    ledger = await place.open();
    t.match(ledger.state, { mode: 'read-only', problem: found });
    await ledger.close();
    const accepted = await Ledger.acceptHead({ ...place.options(), reason: 'the copy of Sunday' });
    t.match(accepted, { lost: { size: 3 + later }, now: { size: 2 } });
    ledger = await place.open();
    t.same(ledger.state, { mode: 'writable' });
    t.notOk(ledger.vkeys.includes(lostKey), 'the key is lost with the entries');
    await ledger.append(entryOf(4));
    await ledger.close();
    t.equal((await check(place)).size, 4);
  });
}

t.test('F35 a memory that a foreign key signed is no loss where no entry lacks', async (t) => {
  const place = placeIn(t.testdir({}));
  const ledger = await place.open();
  await ledger.append(entryOf(1));
  await ledger.close();
  const path = join(place.signerDir, 'last-signed');
  const note = readFileSync(path, 'utf8');
  // Another key hash in the signature line: as if somebody else had signed it.
  const forged = note.replace(/ ([A-Za-z0-9+/=]+)\n$/, (_, body: string) => {
    const bytes = Buffer.from(body, 'base64');
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    return ` ${bytes.toString('base64')}\n`;
  });
  t.not(forged, note);
  writeFileSync(path, forged);
  const again = await place.open();
  t.match(again.state, { mode: 'read-only', problem: /no known key signed the note/ });
  await again.close();
  await t.rejects(Ledger.acceptHead({ ...place.options(), reason: 'no' }), { code: 'conflict' });
});

t.test('F35 a signer without memory goes on from the checkpoint, and says so', async (t) => {
  const place = placeIn(t.testdir({}));
  let ledger = await place.open();
  await ledger.append(entryOf(1));
  await ledger.close();
  rmSync(place.signerDir, { recursive: true });
  ledger = await place.open();
  t.same(ledger.state, { mode: 'writable' });
  t.match(place.alarms, [/remembers nothing/]);
  t.match(parseEntry(await ledger.entry(2)), {
    t: 'config.change',
    d: { what: 'signer.memory-new', size: 2 },
  });
  await ledger.close();
  t.equal(readFileSync(join(place.signerDir, 'last-signed'), 'utf8'), ledger.checkpoint);
  await (await place.open()).close();
  t.equal((await check(place)).size, 3);
  t.equal(place.alarms.length, 1);
});

t.test('F35 two branches of one log are never both signed', async (t) => {
  const dir = t.testdir({});
  const place = placeIn(join(dir, 'here'));
  let ledger = await place.open();
  await ledger.append(entryOf(1));
  await ledger.close();
  const branch = freeze(place, join(dir, 'branch'));
  for (const [each, n] of [
    [place, 2],
    [branch, 3],
  ] as const) {
    ledger = await each.open();
    await ledger.append(entryOf(n));
    await ledger.close();
  }
  rmSync(place.paths.dataDir, { recursive: true });
  renameSync(branch.paths.dataDir, place.paths.dataDir);
  ledger = await place.open();
  t.match(ledger.state, { mode: 'read-only', problem: /last-signed: .* of 3 entries has the root/ });
  await ledger.close();

  // While it runs, too: somebody who signs with the same memory.
  const other = placeIn(join(dir, 'other'));
  ledger = await other.open();
  await ledger.append(entryOf(1));
  await ledger.covered(1);
  renameSync(join(other.signerDir, 'last-signed'), join(other.signerDir, 'away'));
  const { index } = await ledger.append(entryOf(2));
  await t.rejects(ledger.covered(index), { code: 'evidence_unavailable' });
  t.match(ledger.state, { mode: 'read-only', problem: /changed by somebody else/ });
  t.equal(other.alarms.length, 1);
  await ledger.close();
});

t.test(
  'F35 a key is replaced: both keys sign the first head that covers it, then the new one alone',
  async (t) => {
    const place = placeIn(t.testdir({}));
    let ledger = await place.open();
    await ledger.append(entryOf(1));
    const old = ledger.vkey;
    const secret = readFileSync(place.paths.ledgerKey, 'utf8');
    const [rotated] = await Promise.all([ledger.rotateKey('yearly'), ledger.append(entryOf(2))]);
    t.same([rotated.old, rotated.new], [old, ledger.vkey]);
    t.not(ledger.vkey, old);
    const keys = [openVerifier(old), openVerifier(ledger.vkey)];
    t.same(
      openNote(rotated.checkpoint, keys).verified.map(({ vkey }) => vkey),
      [old, ledger.vkey],
    );
    const entry = parseEntry(await ledger.entry(rotated.index));
    t.match(entry, { t: 'key.rotate', sub: 'log', d: { old, new: ledger.vkey, reason: 'yearly' } });
    t.match(openNote(String(entry.d.proof), keys.slice(1)).text, /^verbatim\/key-rotate\/v1\n/);
    const { index } = await ledger.append(entryOf(3));
    const later = await ledger.covered(index);
    t.same(
      openNote(later, keys).verified.map(({ vkey }) => vkey),
      [ledger.vkey],
    );
    t.not(readFileSync(place.paths.ledgerKey, 'utf8'), secret, 'the old private key is gone');
    t.equal(readFileSync(place.paths.ledgerVkeys, 'utf8'), `${old}\n${ledger.vkey}\n`);
    await ledger.close();
    ledger = await place.open();
    t.same([ledger.state, ledger.vkeys], [{ mode: 'writable' }, [old, rotated.new]]);
    t.ok(await ledger.proof(1, rotated.checkpoint), 'old checkpoints still count');
    await ledger.close();
    t.ok((await check(place)).size >= 5);
    t.same(place.alarms, []);
  },
);

t.test('F35 a reader beside the running writer finds no fault where there is none', async (t) => {
  const place = placeIn(t.testdir({}));
  const ledger = await place.open();
  let writing = true;
  const writer = (async () => {
    for (let n = 0; writing; n += 1) {
      await Promise.all(Array.from({ length: 1 + (n % 40) }, (_, k) => ledger.append(entryOf(n * 100 + k))));
      // Every head is published, so that files come and go all the time.
      await ledger.covered(ledger.size - 1);
    }
  })();
  const sizes: number[] = [];
  for (let look = 0; look < 300 && (sizes.at(-1) ?? 0) < 800; look += 1) {
    const reader = readLedger(place.paths, { signerDir: place.signerDir, live: true });
    for await (const { entry, index } of reader.entries()) if (entry === undefined) t.fail(`entry ${index}`);
    if (reader.result.findingCount > 0) t.fail('a finding', { findings: reader.result.findings });
    sizes.push(reader.result.size);
  }
  writing = false;
  await writer;
  await ledger.close();
  t.ok(
    (sizes.at(-1) ?? 0) > (sizes[0] ?? 0) + 256,
    `it grew from ${sizes[0]} to ${sizes.at(-1)} entries meanwhile`,
  );
});
