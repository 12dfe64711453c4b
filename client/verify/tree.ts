import type { Bytes } from './bytes.ts';
import { concat, EvidenceError, equal, fromBase64, numberOf, sha256 } from './bytes.ts';

/** RFC 6962 section 2.1. */
export function leafHash(entry: Bytes): Promise<Bytes> {
  return sha256(concat(Uint8Array.of(0), entry));
}

function nodeHash(left: Uint8Array, right: Uint8Array): Promise<Bytes> {
  return sha256(concat(Uint8Array.of(1), left, right));
}

/**
 * That `leaf` is entry `index` of the tree of `size` entries with this root. Walks down from the root as RFC 6962
 * section 2.1.1 builds the path, and uses the proof from its end.
 */
export async function checkInclusion(claim: {
  index: number;
  size: number;
  leaf: Bytes;
  proof: readonly Bytes[];
  root: Bytes;
}): Promise<void> {
  const { index, size, leaf, proof, root } = claim;
  if (!(index >= 0 && index < size)) throw new EvidenceError(`there is no entry ${index} among ${size}`);
  const rest = [...proof];
  const computed = await below(0, size);
  if (rest.length > 0) throw new EvidenceError('the inclusion proof has too many hashes');
  if (!equal(computed, root)) throw new EvidenceError(`entry ${index} is not what the signed head says`);

  async function below(start: number, width: number): Promise<Bytes> {
    if (width === 1) return leaf;
    const left = splitOf(width);
    const sibling = rest.pop();
    if (sibling === undefined) throw new EvidenceError('the inclusion proof has too few hashes');
    return index < start + left
      ? nodeHash(await below(start, left), sibling)
      : nodeHash(sibling, await below(start + left, width - left));
  }
}

/** That the tree of `to` entries begins with the tree of `from` entries (RFC 6962 section 2.1.2). */
export async function checkConsistency(claim: {
  from: number;
  to: number;
  fromRoot: Bytes;
  toRoot: Bytes;
  proof: readonly Bytes[];
}): Promise<void> {
  const { from, to, fromRoot, toRoot, proof } = claim;
  if (from > to) throw new EvidenceError(`the log shrank from ${from} to ${to} entries`);
  if (from === to) {
    if (!equal(fromRoot, toRoot))
      throw new EvidenceError(`the log has two different heads of ${from} entries`);
    return;
  }
  if (from === 0) return;
  const rest = [...proof];
  const [older, newer] = await both(from, to, true);
  if (rest.length > 0) throw new EvidenceError('the consistency proof has too many hashes');
  if (!equal(older, fromRoot) || !equal(newer, toRoot)) {
    throw new EvidenceError(`the log of ${to} entries does not continue the one of ${from} entries`);
  }

  /** The roots of the first `old` entries of a subtree and of all its `width`; `whole`: nothing was cut off so far. */
  async function both(old: number, width: number, whole: boolean): Promise<[Bytes, Bytes]> {
    if (old === width) {
      const hash = whole ? fromRoot : rest.shift();
      if (hash === undefined) throw new EvidenceError('the consistency proof has too few hashes');
      return [hash, hash];
    }
    const left = splitOf(width);
    if (old <= left) {
      const [older, newer] = await both(old, left, whole);
      return [older, await nodeHash(newer, taken())];
    }
    const right = await both(old - left, width - left, false);
    const sibling = taken();
    return [await nodeHash(sibling, right[0]), await nodeHash(sibling, right[1])];
  }

  function taken(): Bytes {
    const hash = rest.shift();
    if (hash === undefined) throw new EvidenceError('the consistency proof has too few hashes');
    return hash;
  }
}

export interface TlogProof {
  index: number;
  hashes: Bytes[];
  /** The signed note that follows the proof. */
  checkpoint: string;
}

/** C2SP tlog-proof without extra data. */
export function parseProof(text: string): TlogProof {
  const split = text.indexOf('\n\n');
  const [first, index, ...hashes] = text.slice(0, Math.max(split, 0)).split('\n');
  if (first !== 'c2sp.org/tlog-proof@v1' || !index?.startsWith('index ')) {
    throw new EvidenceError('expected a proof (c2sp.org/tlog-proof@v1)');
  }
  return {
    index: numberOf(index.slice(6), 'index'),
    hashes: hashes.map((line) => fromBase64(line, 'hash of a proof', 32)),
    checkpoint: text.slice(split + 2),
  };
}

/** The largest power of two below `width`. */
function splitOf(width: number): number {
  let split = 1;
  while (split * 2 < width) split *= 2;
  return split;
}
