import { createHash } from 'node:crypto';

/** Bytes of a hash: SHA-256 everywhere. */
export const HASH_BYTES = 32;

/** RFC 6962 section 2.1: SHA-256(0x00 || data). */
export function leafHash(data: Uint8Array): Buffer {
  return createHash('sha256').update(LEAF).update(data).digest();
}

/** RFC 6962 section 2.1: SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return createHash('sha256').update(NODE).update(left).update(right).digest();
}

/** The root of a tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Buffer {
  return createHash('sha256').digest();
}

/** The root over leaf hashes, or over the roots of complete subtrees of one size. */
export function rootOf(leaves: readonly Uint8Array[]): Buffer {
  const frontier = new Frontier();
  for (const leaf of leaves) frontier.append(leaf);
  return frontier.root();
}

/** The largest power of two below `size`, which is 2 or more: where RFC 6962 splits a tree. */
export function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/**
 * A growing tree that keeps nothing but the roots of its complete subtrees: one for each set bit of its size, the
 * largest first. Enough to append and to tell the root.
 */
export class Frontier {
  #size = 0;
  readonly #roots: { width: number; hash: Buffer }[] = [];

  get size(): number {
    return this.#size;
  }

  append(leaf: Uint8Array): void {
    let width = 1;
    let hash: Buffer = Buffer.from(leaf);
    for (let last = this.#roots.at(-1); last?.width === width; last = this.#roots.at(-1)) {
      this.#roots.pop();
      hash = nodeHash(last.hash, hash);
      width *= 2;
    }
    this.#roots.push({ width, hash });
    this.#size += 1;
  }

  root(): Buffer {
    const hashes = this.#roots.map(({ hash }) => hash);
    const last = hashes.pop();
    if (last === undefined) return emptyRoot();
    // A copy: what is kept must not change with what the caller does to it.
    return hashes.reduceRight<Buffer>((right, left) => nodeHash(left, right), Buffer.from(last));
  }

  clone(): Frontier {
    const copy = new Frontier();
    copy.#size = this.#size;
    copy.#roots.push(...this.#roots);
    return copy;
  }
}

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);
