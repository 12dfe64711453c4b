import { join } from 'node:path';
import type { HashReader } from '#ledger';
import { decodeEntryBundle, rootOf, TILE_WIDTH } from '#ledger';
import { VerbatimError } from '#protocol';
import type { Edge } from './edge.ts';
import { readWhole } from './listing.ts';
import { BUNDLES, treePath } from './tree-path.ts';

const HASH_BYTES = 32;
/** Tiles of 8 KiB and bundles of some 150 KiB. */
const MAX_CACHED_TILES = 256;
const MAX_CACHED_BUNDLES = 16;
const LEVEL_BITS = 8;

/** Reads single hashes and entries of a tree whose right edge is in memory; the rest is in full tiles and bundles. */
export class TreeReader {
  readonly #dir: string;
  readonly #tiles = new Map<string, Buffer>();
  readonly #bundles = new Map<number, Buffer[]>();

  constructor(ledgerDir: string) {
    this.#dir = ledgerDir;
  }

  /** For the proofs of #ledger: hashes of complete subtrees of 2^level leaves. */
  hashes(edge: Edge): HashReader {
    return async (level, index) => {
      // A tile holds one level in eight; those between are made of it.
      const tileLevel = Math.floor(level / LEVEL_BITS);
      const width = 2 ** (level % LEVEL_BITS);
      const hashes: Buffer[] = [];
      for (let n = index * width; n < (index + 1) * width; n += 1) {
        hashes.push(edge.hash(tileLevel, n) ?? (await this.#hash(tileLevel, n)));
      }
      return rootOf(hashes);
    };
  }

  /** The exact bytes of an entry of the tree. `evidence_unavailable` when the files do not have it. */
  async entry(edge: Edge, index: number): Promise<Buffer> {
    const bytes =
      edge.entry(index) ?? (await this.#bundle(Math.floor(index / TILE_WIDTH)))[index % TILE_WIDTH];
    // An edge that was built over an unreadable entry has nothing in its place.
    if (bytes === undefined || bytes.length === 0) throw missing(`entry ${index}`);
    return bytes;
  }

  async #hash(level: number, index: number): Promise<Buffer> {
    const number = Math.floor(index / TILE_WIDTH);
    const key = `${level}/${number}`;
    let bytes = this.#tiles.get(key);
    if (bytes === undefined) {
      bytes = await readWhole(join(this.#dir, treePath(level, number, TILE_WIDTH)));
      if (bytes?.length !== TILE_WIDTH * HASH_BYTES) throw missing(`tile ${key}`);
      remember(this.#tiles, key, bytes, MAX_CACHED_TILES);
    }
    const at = (index % TILE_WIDTH) * HASH_BYTES;
    return bytes.subarray(at, at + HASH_BYTES);
  }

  async #bundle(number: number): Promise<Buffer[]> {
    const known = this.#bundles.get(number);
    if (known !== undefined) return known;
    const bytes = await readWhole(join(this.#dir, treePath(BUNDLES, number, TILE_WIDTH)));
    if (bytes === undefined) throw missing(`entry bundle ${number}`);
    const entries = decodeEntryBundle(bytes, TILE_WIDTH);
    remember(this.#bundles, number, entries, MAX_CACHED_BUNDLES);
    return entries;
  }
}

function missing(what: string): VerbatimError {
  return new VerbatimError('evidence_unavailable', `the ledger's files do not have ${what}`);
}

function remember<K, V>(map: Map<K, V>, key: K, value: V, max: number): void {
  map.set(key, value);
  if (map.size <= max) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
