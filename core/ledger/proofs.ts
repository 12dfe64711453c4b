import { LedgerError } from './error.ts';
import { emptyRoot, HASH_BYTES, nodeHash, splitOf } from './tree.ts';

/** The root of the complete subtree of 2^level leaves that is the `index`-th of its level. */
export type HashReader = (level: number, index: number) => Promise<Buffer>;

/** No log has more entries: indexes are exact integers. A proof is at most this many hashes long. */
export const MAX_SIZE = Number.MAX_SAFE_INTEGER;
const MAX_PROOF_HASHES = 64;

/** The audit path of entry `index` in the tree of `size` entries, deepest hash first (RFC 6962 section 2.1.1). */
export async function inclusionProof(index: number, size: number, read: HashReader): Promise<Buffer[]> {
  assertSize(size, 'tree size');
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new LedgerError(`expected an index below the tree size ${size}, got ${index}`);
  }
  const proof: Buffer[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      proof.push(await rangeHash(middle, end, read));
      end = middle;
    } else {
      proof.push(await rangeHash(start, middle, read));
      start = middle;
    }
  }
  return proof.reverse();
}

/** That the tree of `to` entries begins with that of `from` (RFC 6962 section 2.1.2). Empty for 0 and for equal sizes. */
export async function consistencyProof(from: number, to: number, read: HashReader): Promise<Buffer[]> {
  assertSize(from, 'older size');
  assertSize(to, 'newer size');
  if (from > to) throw new LedgerError(`expected an older size of at most ${to}, got ${from}`);
  if (from === 0 || from === to) return [];
  const proof: Buffer[] = [];
  let [start, end] = [0, to];
  // True while the old tree is a complete subtree of what is left, whose root the verifier knows already.
  let known = true;
  while (from < end) {
    const middle = start + splitOf(end - start);
    if (from <= middle) {
      proof.push(await rangeHash(middle, end, read));
      end = middle;
    } else {
      proof.push(await rangeHash(start, middle, read));
      start = middle;
      known = false;
    }
  }
  if (!known) proof.push(await rangeHash(start, end, read));
  return proof.reverse();
}

/**
 * RFC 9162 section 2.1.3.2. Throws LedgerError unless `leaf` (a leaf hash) is entry `index` of the tree of `size`
 * entries with this root, and the proof is exactly as long as it has to be.
 */
export function verifyInclusion(claim: {
  index: number;
  size: number;
  leaf: Uint8Array;
  proof: readonly Uint8Array[];
  root: Uint8Array;
}): void {
  const { index, size, leaf, proof, root } = claim;
  assertSize(size, 'tree size');
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new LedgerError(`expected an index below the tree size ${size}, got ${index}`);
  }
  assertHashes([leaf, root, ...proof], proof.length);
  let node = index;
  let last = size - 1;
  let hash: Buffer = Buffer.from(leaf);
  for (const each of proof) {
    if (last === 0) throw new LedgerError('the inclusion proof has more hashes than its tree has levels');
    if (isOdd(node) || node === last) {
      hash = nodeHash(each, hash);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      hash = nodeHash(hash, each);
    }
    node = half(node);
    last = half(last);
  }
  if (last !== 0) throw new LedgerError('the inclusion proof has fewer hashes than its tree needs');
  if (!hash.equals(root))
    throw new LedgerError(`the inclusion proof of entry ${index} leads to another root`);
}

/** RFC 9162 section 2.1.4.2. Throws LedgerError unless the newer tree begins with the older one. */
export function verifyConsistency(claim: {
  from: number;
  to: number;
  fromRoot: Uint8Array;
  toRoot: Uint8Array;
  proof: readonly Uint8Array[];
}): void {
  const { from, to, fromRoot, toRoot, proof } = claim;
  assertSize(from, 'older size');
  assertSize(to, 'newer size');
  assertHashes([fromRoot, toRoot, ...proof], proof.length);
  if (from > to) throw new LedgerError(`the log shrank from ${from} to ${to} entries`);
  if (from === 0 && !emptyRoot().equals(fromRoot))
    throw new LedgerError('a tree of no entries has one root only');
  if (from === to && !Buffer.from(fromRoot).equals(toRoot)) {
    throw new LedgerError(`two different roots for one size, ${from}`);
  }
  if (from === 0 || from === to) {
    if (proof.length > 0) throw new LedgerError('expected an empty consistency proof');
    return;
  }
  // A complete old tree is itself the first hash, and is not repeated in the proof.
  const path = isPowerOfTwo(from) ? [fromRoot, ...proof] : [...proof];
  const first = path.shift();
  if (first === undefined) throw new LedgerError('the consistency proof is empty');
  let node = from - 1;
  let last = to - 1;
  while (isOdd(node)) {
    node = half(node);
    last = half(last);
  }
  let older: Buffer = Buffer.from(first);
  let newer: Buffer = Buffer.from(first);
  for (const each of path) {
    if (last === 0) throw new LedgerError('the consistency proof has more hashes than its tree has levels');
    if (isOdd(node) || node === last) {
      older = nodeHash(each, older);
      newer = nodeHash(each, newer);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      newer = nodeHash(newer, each);
    }
    node = half(node);
    last = half(last);
  }
  if (last !== 0) throw new LedgerError('the consistency proof has fewer hashes than its tree needs');
  if (!older.equals(fromRoot))
    throw new LedgerError(`the consistency proof leads to another root for size ${from}`);
  if (!newer.equals(toRoot))
    throw new LedgerError(`the consistency proof leads to another root for size ${to}`);
}

/** The root over the entries from `start` to `end`, where `start` is a multiple of the range's left subtree. */
async function rangeHash(start: number, end: number, read: HashReader): Promise<Buffer> {
  const subtrees: Buffer[] = [];
  for (let at = start; at < end; ) {
    let [level, width] = [0, 1];
    while (at % (width * 2) === 0 && at + width * 2 <= end) [level, width] = [level + 1, width * 2];
    subtrees.push(await read(level, at / width));
    at += width;
  }
  return subtrees.reduceRight((right, left) => nodeHash(left, right));
}

function assertSize(size: number, what: string): void {
  if (!Number.isSafeInteger(size) || size < 0)
    throw new LedgerError(`expected the ${what} as a whole number, got ${size}`);
}

function assertHashes(hashes: readonly Uint8Array[], proofLength: number): void {
  if (proofLength > MAX_PROOF_HASHES) throw new LedgerError(`a proof has at most ${MAX_PROOF_HASHES} hashes`);
  const wrong = hashes.find((hash) => hash.length !== HASH_BYTES);
  if (wrong !== undefined)
    throw new LedgerError(`expected hashes of ${HASH_BYTES} bytes, got ${wrong.length}`);
}

// Bit operators of JavaScript end at 32 bits; sizes go to 2^53.
const isOdd = (value: number): boolean => value % 2 === 1;
const half = (value: number): number => Math.floor(value / 2);
const isPowerOfTwo = (value: number): boolean =>
  Number.isInteger(Math.log2(value)) && 2 ** Math.log2(value) === value;
