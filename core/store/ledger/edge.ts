import { encodeEntryBundle, entriesPath, nodeHash, rootOf, TILE_WIDTH, tilePath } from '#ledger';

/** A file of the tree, relative to the log's folder, and what it holds. */
export interface TreeFile {
  path: string;
  /** -1 for an entry bundle, else the level of the tile. */
  level: number;
  index: number;
  /** 1 to 256; less than 256 is a partial one. */
  width: number;
  bytes: Buffer;
}

export interface Leaf {
  bytes: Buffer;
  hash: Buffer;
}

/**
 * The right edge of the tree: for each level of tiles the hashes of the tile that is not full yet, and the entries of
 * the bundle that is not full yet. From it and the next entries come exactly the files that the tree then has and had
 * not before. At most 255 entries and 255 hashes for each of the levels.
 */
export class Edge {
  #size = 0;
  #entries: Buffer[] = [];
  /** Per level. How many full tiles lie before follows from the size. */
  #levels: Buffer[][] = [];

  get size(): number {
    return this.#size;
  }

  clone(): Edge {
    const copy = new Edge();
    copy.#size = this.#size;
    copy.#entries = [...this.#entries];
    copy.#levels = this.#levels.map((hashes) => [...hashes]);
    return copy;
  }

  /** Appends the leaves. Returns the files that became full on the way; the partial ones are in `partials`. */
  grow(leaves: readonly Leaf[]): TreeFile[] {
    const full: TreeFile[] = [];
    for (const { bytes, hash } of leaves) {
      const bundle = Math.floor(this.#size / TILE_WIDTH);
      this.#entries.push(bytes);
      this.#size += 1;
      if (this.#entries.length === TILE_WIDTH) {
        full.push(bundleFile(bundle, this.#entries));
        this.#entries = [];
      }
      this.#add(0, hash, full);
    }
    return full;
  }

  /** The partial files of the present size. */
  partials(): TreeFile[] {
    const files: TreeFile[] = [];
    if (this.#entries.length > 0) files.push(bundleFile(this.#fullTiles(0), this.#entries));
    for (const [level, hashes] of this.#levels.entries()) {
      if (hashes.length > 0) files.push(hashFile(level, this.#fullTiles(level), hashes));
    }
    return files;
  }

  /** The root at the present size (RFC 6962 section 2.1), from the complete subtrees that the edge holds. */
  root(): Buffer {
    const subtrees: Buffer[] = [];
    for (const hashes of this.#levels.toReversed()) {
      // A level's hashes are cut into complete subtrees, the largest first.
      let at = 0;
      for (let width = TILE_WIDTH / 2; width >= 1; width /= 2) {
        if (hashes.length - at < width) continue;
        subtrees.push(rootOf(hashes.slice(at, at + width)));
        at += width;
      }
    }
    const last = subtrees.pop();
    if (last === undefined) return rootOf([]);
    return subtrees.reduceRight((right, left) => nodeHash(left, right), last);
  }

  /** A hash of the tile that is not full yet; undefined when it lies in a full tile or beyond. */
  hash(level: number, index: number): Buffer | undefined {
    return this.#levels[level]?.[index - this.#fullTiles(level) * TILE_WIDTH];
  }

  /** An entry of the bundle that is not full yet. */
  entry(index: number): Buffer | undefined {
    return this.#entries[index - this.#fullTiles(0) * TILE_WIDTH];
  }

  #fullTiles(level: number): number {
    return Math.floor(this.#size / TILE_WIDTH ** (level + 1));
  }

  #add(level: number, hash: Buffer, full: TreeFile[]): void {
    const hashes = this.#levels[level] ?? [];
    this.#levels[level] = hashes;
    hashes.push(hash);
    if (hashes.length < TILE_WIDTH) return;
    full.push(hashFile(level, Math.ceil(this.#size / TILE_WIDTH ** (level + 1)) - 1, hashes));
    this.#levels[level] = [];
    this.#add(level + 1, rootOf(hashes), full);
  }
}

function bundleFile(index: number, entries: readonly Buffer[]): TreeFile {
  const width = entries.length;
  const path = width === TILE_WIDTH ? entriesPath(index) : entriesPath(index, width);
  return { path, level: -1, index, width, bytes: encodeEntryBundle(entries) };
}

function hashFile(level: number, index: number, hashes: readonly Buffer[]): TreeFile {
  const width = hashes.length;
  const path = width === TILE_WIDTH ? tilePath(level, index) : tilePath(level, index, width);
  return { path, level, index, width, bytes: Buffer.concat(hashes) };
}
