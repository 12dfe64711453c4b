import fc from 'fast-check';
import t from 'tap';
import { LedgerError } from './error.ts';
import { at, completeLevels, hashTiles, merkleTreeHash } from './testing.ts';
import { decodeEntryBundle, encodeEntryBundle, entriesPath, TILE_WIDTH, tilePath, tilesOf } from './tiles.ts';

const pathsOf = (size: number): string[] =>
  Array.from(tilesOf(size), ({ level, index, width }) => tilePath(level, index, width));

t.test('F33: tiles have the paths of C2SP tlog-tiles', async (t) => {
  // The specification's example, and those of Go's sumdb/tlog without their height.
  t.equal(entriesPath(1_234_067), 'tile/entries/x001/x234/067');
  t.equal(tilePath(0, 1), 'tile/0/001');
  t.equal(tilePath(0, 1, 5), 'tile/0/001.p/5');
  t.equal(tilePath(5, 123_456_078), 'tile/5/x123/x456/078');
  t.equal(tilePath(5, 123_456_078, 2), 'tile/5/x123/x456/078.p/2');
  t.equal(tilePath(0, 3_057_500), 'tile/0/x003/x057/500');
  t.equal(entriesPath(0, 1), 'tile/entries/000.p/1');
  t.equal(entriesPath(999, 255), 'tile/entries/999.p/255');
  t.equal(entriesPath(1000), 'tile/entries/x001/000');
  t.equal(tilePath(6, 0, 256), 'tile/6/000');
});

t.test('F33: a tree has the tiles that C2SP tlog-tiles says', async (t) => {
  const of70000 = pathsOf(70_000);
  const full = of70000.filter((path) => !path.includes('.p/'));
  // The specification's example: a tree of 70,000.
  t.equal(full.filter((path) => path.startsWith('tile/0/')).length, 273);
  t.equal(full.filter((path) => path.startsWith('tile/1/')).length, 1);
  t.strictSame(
    of70000.filter((path) => path.includes('.p/')),
    ['tile/0/273.p/112', 'tile/1/001.p/17', 'tile/2/000.p/1'],
  );
  t.equal(of70000.length, 277);
  const table: [size: number, paths: string[]][] = [
    [0, []],
    [1, ['tile/0/000.p/1']],
    [255, ['tile/0/000.p/255']],
    [256, ['tile/0/000', 'tile/1/000.p/1']],
    [257, ['tile/0/000', 'tile/0/001.p/1', 'tile/1/000.p/1']],
  ];
  for (const [size, paths] of table) t.strictSame(pathsOf(size), paths, `${size}`);
  t.strictSame(pathsOf(65_535).slice(-2), ['tile/0/255.p/255', 'tile/1/000.p/255']);
  t.strictSame(pathsOf(65_536).slice(-3), ['tile/0/255', 'tile/1/000', 'tile/2/000.p/1']);
  t.strictSame(pathsOf(65_537).slice(-3), ['tile/0/256.p/1', 'tile/1/000', 'tile/2/000.p/1']);
  for (const size of [-1, 0.5, Number.NaN, 2 ** 53]) t.throws(() => pathsOf(size), LedgerError);
});

t.test('every hash of a tile is the root of what stands below it', async (t) => {
  const size = 65_536 + 300;
  const levels = completeLevels(size);
  const leaves = at(levels, 0);
  const files = hashTiles(levels, tilesOf(size));
  t.equal(files.size, 258 + 2 + 1);
  const level1 = files.get('tile/1/001.p/1') ?? Buffer.alloc(0);
  t.ok(level1.equals(merkleTreeHash(leaves.slice(65_536, 65_536 + 256))));
  const level2 = files.get('tile/2/000.p/1') ?? Buffer.alloc(0);
  t.ok(level2.equals(merkleTreeHash(leaves.slice(0, 65_536))));
  t.ok(
    files
      .get('tile/0/257.p/44')
      ?.subarray(32 * 43)
      .equals(at(leaves, -1)),
  );
});

t.test('places that no tile has are refused', async (t) => {
  for (const [level, index, width] of [
    [-1, 0, 1],
    [8, 0, 1],
    [0.5, 0, 1],
    [Number.NaN, 0, 1],
    [0, -1, 1],
    [0, 0.5, 1],
    [0, Number.NaN, 1],
    [0, 2 ** 53, 1],
    [0, 0, 0],
    [0, 0, -1],
    [0, 0, 257],
    [0, 0, 1.5],
    [0, 0, Number.NaN],
  ] as const)
    t.throws(() => tilePath(level, index, width), LedgerError, `${level} ${index} ${width}`);
  for (const width of [0, 257, 1.5]) t.throws(() => entriesPath(0, width), LedgerError);
});

t.test('a bundle holds its entries with their lengths before them, and nothing else', async (t) => {
  const entries = [Buffer.from('ab'), Buffer.alloc(0), Buffer.alloc(0x0102, 7)];
  const bundle = encodeEntryBundle(entries);
  t.equal(bundle.subarray(0, 8).toString('hex'), '0002616200000102');
  t.strictSame(decodeEntryBundle(bundle, 3), entries);
  // Part of a larger buffer, as files are read.
  const within = Buffer.concat([Buffer.from('xx'), bundle]).subarray(2);
  t.strictSame(decodeEntryBundle(new Uint8Array(within), 3), entries);
  t.strictSame(decodeEntryBundle(within, 3), entries);

  const wrong: [what: string, bytes: Buffer, count: number][] = [
    ['an entry less than said', bundle, 4],
    ['an entry more than said', bundle, 2],
    ['none said', bundle, 0],
    ['nothing', Buffer.alloc(0), 1],
    ['half a length', Buffer.concat([bundle, Buffer.of(0)]), 4],
    ['half a length, not counted', Buffer.concat([bundle, Buffer.of(0)]), 3],
    ['an entry cut by one byte', bundle.subarray(0, -1), 3],
    ['a length and no entry', Buffer.concat([bundle, Buffer.of(0, 1)]), 4],
    ['an entry after the last', Buffer.concat([bundle, Buffer.of(0, 0)]), 3],
    ['a length too large', Buffer.from('ffff61', 'hex'), 1],
  ];
  for (const [what, bytes, count] of wrong)
    t.throws(() => decodeEntryBundle(bytes, count), LedgerError, what);
  for (let end = 0; end < bundle.length; end += 1)
    t.throws(() => decodeEntryBundle(bundle.subarray(0, end), 3), LedgerError, `cut at ${end}`);

  t.throws(() => encodeEntryBundle([]), LedgerError);
  t.throws(() => encodeEntryBundle([Buffer.alloc(0x10000)]), LedgerError);
  t.doesNotThrow(() => encodeEntryBundle([Buffer.alloc(0xffff)]));
  t.throws(() => encodeEntryBundle(Array.from({ length: 257 }, () => Buffer.of(1))), LedgerError);
  t.doesNotThrow(() => encodeEntryBundle(Array.from({ length: TILE_WIDTH }, () => Buffer.of(1))));
});

t.test('any entries come back from their bundle', async (t) => {
  const lists = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(lists, (list) => {
      const entries = list.map((bytes) => Buffer.from(bytes));
      t.strictSame(decodeEntryBundle(encodeEntryBundle(entries), entries.length), entries);
    }),
    { numRuns: 100 },
  );
});
