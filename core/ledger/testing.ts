// For tests only: the tree as RFC 6962 defines it, without any of the shortcuts of tree.ts and proofs.ts.
import { createHash } from 'node:crypto';
import type { Entry } from './entry.ts';
import type { HashReader } from './proofs.ts';
import { tilePath } from './tiles.ts';
import { nodeHash } from './tree.ts';

/** RFC 6962 section 2.1 word by word: MTH(D[n]) over leaf hashes. */
export function merkleTreeHash(leaves: readonly Buffer[]): Buffer {
  const [first] = leaves;
  if (first === undefined) return createHash('sha256').digest();
  if (leaves.length === 1) return first;
  const k = splitAt(leaves.length);
  return createHash('sha256')
    .update(Buffer.of(1))
    .update(merkleTreeHash(leaves.slice(0, k)))
    .update(merkleTreeHash(leaves.slice(k)))
    .digest();
}

/** RFC 6962 section 2.1.1: PATH(m, D[n]). */
export function path(m: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length === 1) return [];
  const k = splitAt(leaves.length);
  return m < k
    ? [...path(m, leaves.slice(0, k)), merkleTreeHash(leaves.slice(k))]
    : [...path(m - k, leaves.slice(k)), merkleTreeHash(leaves.slice(0, k))];
}

/** RFC 6962 section 2.1.2: SUBPROOF(m, D[n], b). */
export function subproof(m: number, leaves: readonly Buffer[], b: boolean): Buffer[] {
  const n = leaves.length;
  if (m === n) return b ? [] : [merkleTreeHash(leaves)];
  const k = splitAt(n);
  return m <= k
    ? [...subproof(m, leaves.slice(0, k), b), merkleTreeHash(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), merkleTreeHash(leaves.slice(0, k))];
}

function splitAt(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** Leaf hash of the entry that is the decimal number `n`. */
export function numberedLeaf(n: number): Buffer {
  return createHash('sha256').update(`\0${n}`).digest();
}

/** Every complete subtree of `size` leaves in memory: `levels[level][index]`. */
export function completeLevels(size: number, leafOf = numberedLeaf): Buffer[][] {
  const levels = [Array.from({ length: size }, (_, n) => leafOf(n))];
  for (let below = levels[0] ?? []; below.length > 1; ) {
    const above: Buffer[] = [];
    for (let n = 0; n * 2 + 1 < below.length; n += 1)
      above.push(nodeHash(at(below, n * 2), at(below, n * 2 + 1)));
    levels.push(above);
    below = above;
  }
  return levels;
}

/** Reads complete subtrees from memory, and nothing beyond the first `size` leaves. */
export function memoryReader(levels: readonly Buffer[][], size: number): HashReader {
  return async (level, index) => {
    if ((index + 1) * 2 ** level > size) throw new Error(`subtree ${level}/${index} is not complete`);
    return at(levels[level] ?? [], index);
  };
}

/** The files of the hash tiles of a tree, by path. */
export function hashTiles(
  levels: readonly Buffer[][],
  tiles: Iterable<{ level: number; index: number; width: number }>,
): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const { level, index, width } of tiles) {
    const hashes = (levels[level * 8] ?? []).slice(index * 256, index * 256 + width);
    files.set(tilePath(level, index, width), Buffer.concat(hashes));
  }
  return files;
}

/** @throws Error when there is no such element: a test asks only for what is there */
export function at<T>(list: readonly T[], index: number): T {
  const element = list.at(index);
  if (element === undefined) throw new Error(`there is no element ${index} of ${list.length}`);
  return element;
}

/** A copy with one bit turned. */
export function flipped(bytes: Buffer, bit = 0): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
  return copy;
}

/** An entry that passes; `change` makes another one of it. */
export function sampleEntry(change: Partial<Entry> = {}): Entry {
  return {
    v: 1,
    t: 'call.start',
    id: 'call.start',
    ts: '2030-01-02T03:04:05.678Z',
    boot: '99999999-8888-4777-8666-555544443333',
    mono: 12,
    sub: 'rec:0d3c4f5e-1111-4222-8333-444455556666',
    prev: null,
    actor: { kind: 'server' },
    d: { call: '7a7a7a7a-aaaa-4bbb-8ccc-ddddeeeeffff', n: 1 },
    ...change,
  };
}
