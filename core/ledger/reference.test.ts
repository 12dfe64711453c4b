import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { entryOf, placeIn } from '../store/ledger/testing.ts';
import { formatCheckpoint, parseCheckpoint } from './checkpoint.ts';
import { generateLogKey, openNote, openSigner, openVerifier, signNote } from './note.ts';
import { consistencyProof, inclusionProof, verifyConsistency, verifyInclusion } from './proofs.ts';
import { at, completeLevels, flipped, hashTiles, memoryReader } from './testing.ts';
import { encodeEntryBundle, entriesPath, tilesOf } from './tiles.ts';
import { leafHash, rootOf } from './tree.ts';

// Go's own implementation of these logs: golang.org/x/mod/sumdb. Debian: golang-go, golang-golang-x-mod-dev.
const GO_PATH = '/usr/share/gocode';
const SIZES = [0, 1, 255, 256, 257, 65_535, 65_536, 65_537];

const run = promisify(execFile);
const cache = t.testdir({});
const env = {
  PATH: process.env.PATH,
  HOME: cache,
  GOPATH: GO_PATH,
  GOCACHE: join(cache, 'go'),
  GO111MODULE: 'off',
  GOFLAGS: '',
};
const skip = await run('go', ['list', 'golang.org/x/mod/sumdb/tlog', 'golang.org/x/mod/sumdb/note'], {
  env,
}).then(
  () => false as const,
  () => 'Go and golang.org/x/mod are not installed here (Debian: golang-go, golang-golang-x-mod-dev)',
);

interface Order {
  dir: string;
  vkey: string;
  origin: string;
  inclusion: { index: number; hashes: string[] }[];
  consistency: { from: number; fromRoot: string; hashes: string[] }[];
}

interface Answer {
  size: number;
  root: string;
  entries: number;
  inclusion: { index: number; hashes: string[] }[] | null;
  consistency: { from: number; fromRoot: string; hashes: string[] | null }[] | null;
  vkey: string;
  note: string;
}

const program = join(cache, 'reference');

async function reference(orders: readonly Order[]): Promise<Answer[]> {
  const child = spawn(program, [], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = once(child, 'close');
  // It may end before it has read everything; then its exit code says why.
  child.stdin.on('error', () => undefined);
  child.stdin.end(JSON.stringify(orders));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await ended;
  if (code !== 0) throw new Error(`the reference implementation refuses: ${errors}`);
  return JSON.parse(output) as Answer[];
}

const base64 = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('base64'));
const bytes = (hash: string): Buffer => Buffer.from(hash, 'base64');
const entryAt = (n: number): Buffer => Buffer.from(`entry ${n}`);
const levels = skip ? [] : completeLevels(65_537, (n) => leafHash(entryAt(n)));
const leaves = levels[0] ?? [];
const roots = new Map<number, Buffer>();
const rootAt = (size: number): Buffer => {
  const root = roots.get(size) ?? rootOf(leaves.slice(0, size));
  roots.set(size, root);
  return root;
};

/** A log directory of `size` entries, by the functions of this room. */
function writeLog(dir: string, size: number): { vkey: string; origin: string } {
  const origin = `log.example/${size}`;
  const { skey, vkey } = generateLogKey(origin);
  const write = (path: string, content: Buffer | string): void => {
    const file = join(dir, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  };
  for (const [path, tile] of hashTiles(levels, tilesOf(size))) write(path, tile);
  for (let start = 0; start < size; start += 256) {
    const width = Math.min(256, size - start);
    const entries = Array.from({ length: width }, (_, n) => entryAt(start + n));
    write(entriesPath(start / 256, width), encodeEntryBundle(entries));
  }
  write('checkpoint', signNote(formatCheckpoint({ origin, size, root: rootAt(size) }), [openSigner(skey)]));
  return { vkey, origin };
}

/** Indexes and older sizes where proofs have different shapes. */
function samples(size: number): number[] {
  const all = [
    0,
    1,
    2,
    127,
    128,
    254,
    255,
    256,
    257,
    511,
    512,
    30_000,
    65_534,
    65_535,
    65_536,
    size - 1,
    size >> 1,
  ];
  return [...new Set(all)].filter((n) => n >= 0 && n < size);
}

t.test('the reference implementation in Go', { skip }, async (t) => {
  await run(
    'go',
    ['build', '-o', program, fileURLToPath(new URL('./vectors/reference.go', import.meta.url))],
    { env },
  );

  await t.test('F33: it accepts our logs and proofs, and we accept its notes and proofs', async (t) => {
    const dir = t.testdir({});
    const orders: Order[] = [];
    for (const size of SIZES) {
      const read = memoryReader(levels, size);
      const inclusion = [];
      for (const index of samples(size))
        inclusion.push({ index, hashes: base64(await inclusionProof(index, size, read)) });
      const consistency = [];
      for (const from of [...samples(size), size].filter((from) => from > 0)) {
        const hashes = base64(await consistencyProof(from, size, read));
        consistency.push({ from, fromRoot: rootAt(from).toString('base64'), hashes });
      }
      const log = join(dir, String(size));
      orders.push({ dir: log, ...writeLog(log, size), inclusion, consistency });
    }
    const answers = await reference(orders);
    t.equal(answers.length, SIZES.length);
    for (const [n, answer] of answers.entries()) {
      const { origin, inclusion, consistency } = at(orders, n);
      const { size } = answer;
      const root = rootAt(size);
      t.equal(size, SIZES[n]);
      t.equal(answer.root, root.toString('base64'));
      t.equal(answer.entries, size);
      const { text } = openNote(answer.note, [openVerifier(answer.vkey)]);
      t.strictSame(parseCheckpoint(text), { origin, size, root });
      t.equal(answer.inclusion?.length ?? 0, inclusion.length);
      for (const { index, hashes } of answer.inclusion ?? [])
        verifyInclusion({ index, size, leaf: at(leaves, index), proof: hashes.map(bytes), root });
      t.equal(answer.consistency?.length ?? 0, consistency.length);
      for (const { from, fromRoot, hashes } of answer.consistency ?? []) {
        t.equal(fromRoot, rootAt(from).toString('base64'), `root of ${from} in ${size}`);
        const proof = (hashes ?? []).map(bytes);
        verifyConsistency({ from, to: size, fromRoot: bytes(fromRoot), toRoot: root, proof });
      }
      t.strictSame(answer.inclusion ?? [], inclusion, `the same inclusion proofs of ${size}`);
    }
  });

  await t.test(
    'F33: it accepts the log that the server writes, before and after a change of keys',
    async (t) => {
      const place = placeIn(t.testdir({}));
      const ledger = await place.open();
      t.teardown(() => ledger.close());
      const order = async (): Promise<Order> => {
        await ledger.covered(ledger.size - 1);
        const { vkey, origin } = ledger;
        const note = readFileSync(join(place.paths.ledger, 'checkpoint'), 'utf8');
        const { size } = parseCheckpoint(openNote(note, [openVerifier(vkey)]).text);
        t.equal(size, ledger.size);
        const inclusion = [];
        for (const index of samples(size))
          inclusion.push({ index, hashes: base64(await ledger.inclusion(index, size)) });
        return { dir: place.paths.ledger, vkey, origin, inclusion, consistency: [] };
      };
      await Promise.all(Array.from({ length: 700 }, (_, n) => ledger.append(entryOf(n))));
      t.equal(at(await reference([await order()]), 0).entries, 701);
      const { old } = await ledger.rotateKey('a test');
      const rotated = await order();
      t.not(rotated.vkey, old);
      t.equal(
        at(await reference([rotated, { ...rotated, vkey: old }]), 1).entries,
        702,
        'both keys signed it',
      );
    },
  );

  await t.test('it refuses what was changed, so that its word counts', async (t) => {
    const dir = t.testdir({});
    const size = 257;
    const made = writeLog(dir, size);
    const good = await inclusionProof(5, size, memoryReader(levels, size));
    const inclusion = [{ index: 5, hashes: base64(good) }];
    const order = { dir, ...made, inclusion, consistency: [] };
    await t.resolves(reference([order]));
    const wrong = [{ index: 5, hashes: base64(good.with(2, flipped(at(good, 2)))) }];
    await t.rejects(reference([{ ...order, inclusion: wrong }]), /inclusion of 5/);
    await t.rejects(reference([{ ...order, vkey: generateLogKey(made.origin).vkey }]), /refuses/);
    for (const path of ['tile/0/000', 'tile/0/001.p/1', 'tile/1/000.p/1', 'tile/entries/000', 'checkpoint']) {
      const file = join(dir, path);
      const before = readFileSync(file);
      writeFileSync(file, flipped(before, 8 * (before.length - 5)));
      await t.rejects(reference([order]), /refuses/, path);
      writeFileSync(file, before);
    }
    await t.resolves(reference([order]));
  });
});
