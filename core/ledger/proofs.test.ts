import fc from 'fast-check';
import t from 'tap';
import { LedgerError } from './error.ts';
import { consistencyProof, inclusionProof, verifyConsistency, verifyInclusion } from './proofs.ts';
import { at, completeLevels, flipped, memoryReader, numberedLeaf } from './testing.ts';
import { emptyRoot, rootOf } from './tree.ts';

const MOST = 300;
const levels = completeLevels(MOST);
const leaves = at(levels, 0);
const roots = Array.from({ length: MOST + 1 }, (_, size) => rootOf(leaves.slice(0, size)));
const rootAt = (size: number): Buffer => at(roots, size);
const other = numberedLeaf(1e6);

type Inclusion = Parameters<typeof verifyInclusion>[0];
type Consistency = Parameters<typeof verifyConsistency>[0];

async function inclusionOf(index: number, size: number): Promise<Inclusion> {
  const proof = await inclusionProof(index, size, memoryReader(levels, size));
  return { index, size, leaf: at(leaves, index), proof, root: rootAt(size) };
}

async function consistencyOf(from: number, to: number): Promise<Consistency> {
  const proof = await consistencyProof(from, to, memoryReader(levels, to));
  return { from, to, fromRoot: rootAt(from), toRoot: rootAt(to), proof };
}

/** Every way in which a list of hashes can be wrong by one step. */
function wrongLists(hashes: readonly Uint8Array[]): [what: string, list: Uint8Array[]][] {
  const list = hashes.map((hash): Buffer => Buffer.from(hash));
  const short = Buffer.alloc(31);
  const more: [string, Uint8Array[]][] = [
    ['a hash too many at the end', [...list, other]],
    ['a hash too many at the beginning', [other, ...list]],
    ['a short hash at the end', [...list, short]],
    ['65 hashes', Array.from({ length: 65 }, () => other)],
  ];
  for (const [n, hash] of list.entries()) {
    more.push([`hash ${n} missing`, list.toSpliced(n, 1)]);
    more.push([`hash ${n} twice`, list.toSpliced(n, 0, hash)]);
    more.push([`a bit of hash ${n} turned`, list.with(n, flipped(hash, 8 * n + 3))]);
    more.push([`hash ${n} cut`, list.with(n, hash.subarray(0, 31))]);
    if (n > 0)
      more.push([`hashes ${n - 1} and ${n} swapped`, list.with(n, at(list, n - 1)).with(n - 1, hash)]);
  }
  return more;
}

t.test('F33: an inclusion proof that is wrong in anything is refused', async (t) => {
  for (const [index, size] of [
    [0, 1],
    [0, 2],
    [1, 2],
    [2, 3],
    [5, 8],
    [6, 7],
    [100, 255],
    [255, 256],
    [256, 257],
    [0, 257],
  ] as const) {
    const good = await inclusionOf(index, size);
    verifyInclusion(good);
    const wrong: [string, Partial<Inclusion>][] = [
      ['an index before', { index: index - 1 }],
      ['an index after', { index: index + 1 }],
      ['an index past the end', { index: size }],
      ['half an index', { index: index + 0.5 }],
      ['no index', { index: Number.NaN }],
      ['another leaf', { leaf: other }],
      ['a leaf with a bit turned', { leaf: flipped(at(leaves, index)) }],
      ['the root for a leaf', size > 1 ? { leaf: rootAt(size) } : { leaf: other }],
      ['a short leaf', { leaf: Buffer.alloc(31) }],
      ['another root', { root: other }],
      ['the root of no entries', { root: emptyRoot() }],
      ['the root of one entry less', { root: rootAt(size - 1) }],
      ['a long root', { root: Buffer.concat([rootAt(size), Buffer.of(0)]) }],
      ['size 0', { size: 0 }],
      ['a negative size', { size: -size }],
      ['a size that is no number', { size: Number.POSITIVE_INFINITY }],
      ['twice the size', { size: size * 2 }],
    ];
    for (const [what, proof] of wrongLists(good.proof)) wrong.push([what, { proof }]);
    for (const [what, change] of wrong)
      t.throws(() => verifyInclusion({ ...good, ...change }), LedgerError, `${index} of ${size}: ${what}`);
  }
});

t.test('F33: a consistency proof that is wrong in anything is refused', async (t) => {
  for (const [from, to] of [
    [1, 2],
    [1, 8],
    [2, 5],
    [6, 7],
    [6, 8],
    [8, 9],
    [128, 256],
    [255, 256],
    [256, 257],
    [255, 257],
  ] as const) {
    const good = await consistencyOf(from, to);
    verifyConsistency(good);
    const wrong: [string, Partial<Consistency>][] = [
      ['another older root', { fromRoot: other }],
      ['another newer root', { toRoot: other }],
      ['the roots swapped', { fromRoot: good.toRoot, toRoot: good.fromRoot }],
      ['one root for both', { toRoot: good.fromRoot }],
      ['an older size less', { from: from - 1 }],
      ['an older size more', { from: from + 1 }],
      ['half an older size', { from: from + 0.5 }],
      ['the sizes swapped', { from: to, to: from }],
      ['twice the newer size', { to: to * 2 }],
      ['an empty proof', { proof: [] }],
      ['a short root', { fromRoot: good.fromRoot.subarray(1) }],
      ['no size', { to: Number.NaN }],
    ];
    for (const [what, proof] of wrongLists(good.proof)) wrong.push([what, { proof }]);
    for (const [what, change] of wrong)
      t.throws(() => verifyConsistency({ ...good, ...change }), LedgerError, `${from} to ${to}: ${what}`);
  }
});

t.test('F33: two roots for one size are refused, as is a proof where none is needed', async (t) => {
  for (const size of [0, 1, 255, 256, 257]) {
    const same = { from: size, to: size, fromRoot: rootAt(size), toRoot: rootAt(size), proof: [] };
    t.doesNotThrow(() => verifyConsistency(same), `${size} to itself`);
    t.throws(() => verifyConsistency({ ...same, toRoot: other }), LedgerError, `two roots for ${size}`);
    t.throws(() => verifyConsistency({ ...same, fromRoot: other }), LedgerError);
    t.throws(() => verifyConsistency({ ...same, proof: [other] }), LedgerError, 'a proof too many');
  }
  const fromNothing = { from: 0, to: 5, fromRoot: emptyRoot(), toRoot: rootAt(5), proof: [] };
  t.doesNotThrow(() => verifyConsistency(fromNothing));
  t.throws(() => verifyConsistency({ ...fromNothing, fromRoot: other }), LedgerError);
  t.throws(() => verifyConsistency({ ...fromNothing, proof: [other] }), LedgerError);
});

t.test('a wrong index, size or older size never passes, whatever tree it is', async (t) => {
  const sizes = fc.integer({ min: 1, max: MOST });
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), fc.nat(), sizes, async (size, a, b, otherSize) => {
      const [index, wrong] = [a % size, b % size];
      const good = await inclusionOf(index, size);
      if (wrong !== index) t.throws(() => verifyInclusion({ ...good, index: wrong }), LedgerError);
      if (otherSize === size) return;
      // The path may have the same shape in both trees; then the root is what differs.
      t.throws(() => verifyInclusion({ ...good, size: otherSize, root: rootAt(otherSize) }), LedgerError);
    }),
    { numRuns: 300 },
  );
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), fc.nat(), async (to, a, b) => {
      const [from, wrong] = [1 + (a % to), 1 + (b % to)];
      if (wrong === from || from === to) return;
      const good = await consistencyOf(from, to);
      t.throws(() => verifyConsistency({ ...good, fromRoot: rootAt(wrong) }), LedgerError);
      t.throws(() => verifyConsistency({ ...good, from: wrong, fromRoot: rootAt(wrong) }), LedgerError);
    }),
    { numRuns: 300 },
  );
});

t.test('no proof is made of what is not in the tree', async (t) => {
  const read = memoryReader(levels, 10);
  for (const [index, size] of [
    [0, 0],
    [10, 10],
    [-1, 10],
    [0.5, 10],
    [Number.NaN, 10],
    [0, -1],
    [0, 2 ** 53],
  ] as const)
    await t.rejects(inclusionProof(index, size, read), LedgerError, `entry ${index} of ${size}`);
  for (const [from, to] of [
    [11, 10],
    [-1, 10],
    [0.5, 10],
    [1, 1.5],
    [1, Number.NaN],
  ] as const)
    await t.rejects(consistencyProof(from, to, read), LedgerError, `${from} to ${to}`);
});

t.test('sizes past 32 bits keep their bits', async (t) => {
  // A tree in which all entries are alike: its complete subtrees are one hash a level.
  const [size, index] = [2 ** 40 + 5, 2 ** 33 + 1];
  const leaf = numberedLeaf(0);
  const alike = [leaf];
  for (let level = 0; level < 40; level += 1)
    alike.push(
      at(
        completeLevels(2, () => at(alike, level)),
        1,
      )[0] ?? leaf,
    );
  const read = async (level: number): Promise<Buffer> => at(alike, level);
  const proof = await inclusionProof(index, size, read);
  const last = await inclusionProof(size - 1, size, read);
  // The last entry's path ends with the one complete subtree of 2^40; before it come 2^2 entries.
  t.equal(proof.length, 41);
  t.equal(last.length, 2);
  const older = await consistencyProof(2 ** 40, size, read);
  const right = rootOf(Array.from({ length: 5 }, () => leaf));
  const root = rootOf([at(alike, 40), right]);
  t.doesNotThrow(() => verifyInclusion({ index, size, leaf, proof, root }));
  t.doesNotThrow(() => verifyInclusion({ index: size - 1, size, leaf, proof: last, root }));
  t.doesNotThrow(() =>
    verifyConsistency({ from: 2 ** 40, to: size, fromRoot: at(alike, 40), toRoot: root, proof: older }),
  );
  t.throws(() => verifyInclusion({ index: index % 2 ** 32, size: 5, leaf, proof, root }), LedgerError);
});
