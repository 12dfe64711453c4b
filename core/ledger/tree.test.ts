import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { consistencyProof, inclusionProof, verifyConsistency, verifyInclusion } from './proofs.ts';
import { at, completeLevels, memoryReader, merkleTreeHash, numberedLeaf, path, subproof } from './testing.ts';
import { emptyRoot, Frontier, leafHash, nodeHash, rootOf } from './tree.ts';

const vectors = JSON.parse(readFileSync(new URL('./vectors/rfc6962.json', import.meta.url), 'utf8')) as {
  emptyRoot: string;
  leaves: string[];
  roots: string[];
  levels: string[][];
  inclusion: { index: number; size: number; proof: string[] }[];
  consistency: { from: number; to: number; proof: string[] }[];
};
const argon = JSON.parse(readFileSync(new URL('./vectors/argon2020.json', import.meta.url), 'utf8')) as {
  size: number;
  root: string;
  index: number;
  leaf: string;
  inclusion: string[];
  from: number;
  fromRoot: string;
  consistency: string[];
};
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
const hexes = (hashes: readonly Buffer[]): string[] => hashes.map((hash) => hash.toString('hex'));

t.test('F33: hashes and roots are those of Certificate Transparency (RFC 6962)', async (t) => {
  const leaves = vectors.leaves.map((leaf) => leafHash(bytes(leaf)));
  t.strictSame(hexes(leaves), vectors.levels[0]);
  t.equal(emptyRoot().toString('hex'), vectors.emptyRoot);
  t.equal(rootOf([]).toString('hex'), vectors.emptyRoot);
  vectors.roots.forEach((root, n) => {
    t.equal(rootOf(leaves.slice(0, n + 1)).toString('hex'), root, `root of ${n + 1}`);
  });
  for (const [level, nodes] of vectors.levels.slice(1).entries()) {
    const below = at(vectors.levels, level).map(bytes);
    t.strictSame(
      nodes,
      nodes.map((_, n) => nodeHash(at(below, 2 * n), at(below, 2 * n + 1)).toString('hex')),
      `nodes of level ${level + 1}`,
    );
  }
});

t.test('F33: proofs of Certificate Transparency are made alike and are accepted', async (t) => {
  const levels = vectors.levels.map((level) => level.map(bytes));
  for (const { index, size, proof } of vectors.inclusion) {
    const made = await inclusionProof(index, size, memoryReader(levels, size));
    t.strictSame(hexes(made), proof, `entry ${index} of ${size}`);
    const leaf = at(at(levels, 0), index);
    t.doesNotThrow(() =>
      verifyInclusion({
        index,
        size,
        leaf,
        proof: proof.map(bytes),
        root: bytes(at(vectors.roots, size - 1)),
      }),
    );
  }
  for (const { from, to, proof } of vectors.consistency) {
    const made = await consistencyProof(from, to, memoryReader(levels, to));
    t.strictSame(hexes(made), proof, `${from} to ${to}`);
    const fromRoot = bytes(at(vectors.roots, from - 1));
    const toRoot = bytes(at(vectors.roots, to - 1));
    t.doesNotThrow(() => verifyConsistency({ from, to, fromRoot, toRoot, proof: proof.map(bytes) }));
  }
});

t.test('F33: proofs by a log of 961,984,013 entries are accepted', async (t) => {
  const { size, index, from } = argon;
  const root = bytes(argon.root);
  t.doesNotThrow(() =>
    verifyInclusion({ index, size, leaf: bytes(argon.leaf), proof: argon.inclusion.map(bytes), root }),
  );
  const fromRoot = bytes(argon.fromRoot);
  const proof = argon.consistency.map(bytes);
  t.doesNotThrow(() => verifyConsistency({ from, to: size, fromRoot, toRoot: root, proof }));
});

t.test('every tree of up to 70 entries has the root and the proofs that RFC 6962 defines', async (t) => {
  const most = 70;
  const leaves = Array.from({ length: most }, (_, n) => numberedLeaf(n));
  const roots = Array.from({ length: most + 1 }, (_, size) => merkleTreeHash(leaves.slice(0, size)));
  const levels = completeLevels(most);
  let checked = 0;
  for (let size = 0; size <= most; size += 1) {
    const tree = leaves.slice(0, size);
    const root = at(roots, size);
    if (!rootOf(tree).equals(root)) t.fail(`root of ${size}`);
    const read = memoryReader(levels, size);
    for (let index = 0; index < size; index += 1) {
      const proof = await inclusionProof(index, size, read);
      if (hexes(proof).join() !== hexes(path(index, tree)).join()) t.fail(`path of ${index} in ${size}`);
      verifyInclusion({ index, size, leaf: at(leaves, index), proof, root });
      checked += 1;
    }
    for (let from = 0; from <= size; from += 1) {
      const proof = await consistencyProof(from, size, read);
      const defined = from === 0 ? [] : subproof(from, tree, true);
      if (hexes(proof).join() !== hexes(defined).join()) t.fail(`proof from ${from} to ${size}`);
      verifyConsistency({ from, to: size, fromRoot: at(roots, from), toRoot: root, proof });
      checked += 1;
    }
  }
  // Every index below every size, and every older size up to every size.
  t.equal(checked, (most * (most + 1)) / 2 + ((most + 1) * (most + 2)) / 2);
});

t.test('trees at the borders of tiles, and any of up to 100,000 entries, prove what they hold', async (t) => {
  const most = 100_000;
  const levels = completeLevels(most);
  const leaves = at(levels, 0);
  const borders = [0, 1, 255, 256, 257, 65_535, 65_536, 65_537];
  const frontier = new Frontier();
  const roots = [frontier.root()];
  for (const leaf of leaves) {
    frontier.append(leaf);
    roots.push(frontier.root());
  }
  t.equal(frontier.size, most);
  const rootAt = (size: number): Buffer => at(roots, size);

  const both = async (from: number, size: number): Promise<void> => {
    const read = memoryReader(levels, size);
    const root = rootAt(size);
    const proof = await consistencyProof(from, size, read);
    verifyConsistency({ from, to: size, fromRoot: rootAt(from), toRoot: root, proof });
    for (const index of new Set([0, from, size - 1])) {
      if (index < 0 || index >= size) continue;
      const path = await inclusionProof(index, size, read);
      if (path.length > 17) t.fail(`${path.length} hashes for entry ${index} of ${size}`);
      verifyInclusion({ index, size, leaf: at(leaves, index), proof: path, root });
    }
  };
  for (const size of borders) {
    t.ok(rootAt(size).equals(merkleTreeHash(leaves.slice(0, size))), `root of ${size}`);
    for (const from of borders) if (from <= size) await both(from, size);
  }
  const pair = fc
    .integer({ min: 1, max: most })
    .chain((size) => fc.tuple(fc.integer({ min: 0, max: size }), fc.constant(size)));
  await fc.assert(
    fc.asyncProperty(pair, ([from, size]) => both(from, size)),
    { numRuns: 500 },
  );
});

t.test('a frontier that was copied goes on by itself, and what it gives out is nobody else’s', async (t) => {
  const first = new Frontier();
  for (let n = 0; n < 11; n += 1) first.append(numberedLeaf(n));
  const copy = first.clone();
  const before = first.root();
  copy.append(numberedLeaf(11));
  t.ok(first.root().equals(before));
  t.equal(first.size, 11);
  t.equal(copy.size, 12);
  const one = new Frontier();
  const leaf = numberedLeaf(0);
  one.append(leaf);
  one.root().fill(0);
  leaf.fill(0);
  t.ok(one.root().equals(numberedLeaf(0)));
});
