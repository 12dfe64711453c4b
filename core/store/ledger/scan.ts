import { join, relative } from 'node:path';
import { decodeEntryBundle, encodeEntryBundle, leafHash, rootOf, TILE_WIDTH } from '#ledger';
import type { Leaf, TreeFile } from './edge.ts';
import { Edge } from './edge.ts';
import type { Findings } from './findings.ts';
import type { Listing } from './listing.ts';
import { readWhole, widthsOnDisk } from './listing.ts';
import type { Replayed } from './replay.ts';
import { BUNDLES, treePath } from './tree-path.ts';

const HASH_BYTES = 32;
/** A writer that is faster than this many looks at a folder is none. */
const MAX_LOOKS = 10;

/** A head that somebody vouched for: the tree must have this root at this size. */
export interface Anchor {
  size: number;
  root: Buffer;
  /** Who vouches. */
  what: string;
  wrong: (problem: string) => void;
}

export interface ScanOptions {
  dataDir: string;
  ledgerDir: string;
  listing: Listing;
  /** Entries that the tree must hold; what lies beyond must be in the write-ahead segments too. */
  base: number;
  replayed: Replayed;
  anchors: readonly Anchor[];
  findings: Findings;
  /** A writer may be at work meanwhile: files come, and partial ones go when a wider one is there. */
  live: boolean;
}

export interface ScannedEntry {
  index: number;
  /** Undefined where the entry cannot be read; its hash is then the tile's. */
  bytes: Buffer | undefined;
  hash: Buffer;
  /** Relative to the data folder. */
  file: string;
  /** Where the entry's bytes start in that file. */
  offsetBytes: number;
}

/**
 * Reads the whole log in groups of 256: every entry, every tile, every partial one, and what the write-ahead segments
 * hold beyond. Each file is compared with what the entries make of it. Memory for one group and the tree's edge.
 * What is wrong goes to `findings`, and the reading goes on with the hashes that the rest of the tree supports.
 * Returns the edge at `base` and with all entries.
 */
export class Scan {
  readonly #options: ScanOptions;
  readonly #edge = new Edge();
  #baseEdge = new Edge();
  readonly #anchors: Anchor[];
  /** The first anchor that the edge has not reached yet. */
  #nextAnchor = 0;
  /** False once hashes had to be guessed: roots say nothing any more. */
  #whole = true;

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#anchors = options.anchors.toSorted((a, b) => a.size - b.size);
  }

  /** Entries that can be listed: those of the tree and the ones behind it. */
  get total(): number {
    const { base, replayed } = this.#options;
    return Math.max(base, replayed.entries.length === 0 ? 0 : replayed.from + replayed.entries.length);
  }

  get edge(): Edge {
    return this.#edge;
  }

  get baseEdge(): Edge {
    return this.#baseEdge;
  }

  /** False when the tree ends before `base` because neither entries nor hashes are there. */
  get whole(): boolean {
    return this.#whole;
  }

  async *run(): AsyncGenerator<ScannedEntry[], void, void> {
    const { replayed, findings, base } = this.#options;
    if (replayed.entries.length > 0 && replayed.from > base) {
      const file = this.#name(replayed.entries[0]?.path ?? '');
      findings.add(file, `begins with entry ${replayed.from}, but the tree ends before it`, base);
      this.#whole = false;
    }
    this.#checkAnchors(0);
    for (let first = 0; first < this.total && this.#whole; first += TILE_WIDTH) {
      const group = await this.#group(first);
      if (group === undefined) break;
      yield group;
    }
    if (this.#whole) await this.#checkEnd();
    if (!this.#whole) return;
    for (const { size, what, wrong } of this.#anchors.slice(this.#nextAnchor)) {
      wrong(`${what} is of ${size} entries, but there are ${this.#edge.size}`);
    }
  }

  /** Undefined when there is nothing to go on with. */
  async #group(first: number): Promise<ScannedEntry[] | undefined> {
    const { base, replayed } = this.#options;
    const number = first / TILE_WIDTH;
    const need = Math.max(0, Math.min(TILE_WIDTH, base - first));
    const bundle =
      need > 0 ? await this.#bundle(number, need) : { entries: [], file: '', offsets: [], sound: true };
    const tile = need > 0 ? await this.#tile(number, need) : [];
    const scanned: ScannedEntry[] = [];
    const hashes = bundle.entries.map(leafHash);
    const chosen = await this.#choose(first, need, hashes, tile, bundle.file, bundle.sound);
    if (chosen === undefined) {
      this.#whole = false;
      return undefined;
    }
    for (const [n, hash] of chosen.entries()) {
      const bytes = hashes[n]?.equals(hash) ? bundle.entries[n] : undefined;
      const index = first + n;
      scanned.push({ index, bytes, hash, file: bundle.file, offsetBytes: bundle.offsets[n] ?? 0 });
      this.#compareWaiting(index, bytes);
    }
    for (let index = first + need; index < first + TILE_WIDTH; index += 1) {
      const waiting = replayed.entries[index - replayed.from];
      if (waiting === undefined) break;
      const { bytes, path, commitOffsetBytes } = waiting;
      const file = this.#name(path);
      scanned.push({ index, bytes, hash: leafHash(bytes), file, offsetBytes: commitOffsetBytes });
    }
    const full = this.#grow(scanned);
    await this.#checkBundles(number, scanned);
    await this.#checkTiles(0, number, Buffer.concat(scanned.map(({ hash }) => hash)));
    for (const file of full) if (file.level > 0) await this.#checkTiles(file.level, file.index, file.bytes);
    return scanned;
  }

  /** The entries of a bundle as far as they can be told apart. */
  async #bundle(
    number: number,
    need: number,
  ): Promise<{ entries: Buffer[]; offsets: number[]; file: string; sound: boolean }> {
    const { findings } = this.#options;
    const { path, width, bytes } = await this.#read(BUNDLES, number, need);
    const file = this.#name(path);
    if (bytes === undefined) {
      findings.add(file, 'is missing', number * TILE_WIDTH);
      return { entries: [], offsets: [], file, sound: false };
    }
    const { entries, offsets, end } = splitBundle(bytes, width);
    let sound = entries.length >= need && end === bytes.length;
    if (entries.length < need) {
      findings.add(file, 'ends before this entry does', number * TILE_WIDTH + entries.length);
    } else if (!sound) findings.add(file, `has ${bytes.length - end} bytes behind its last entry`);
    else {
      // The splitting above is ours and forgiving; the format's own reader has the last word.
      try {
        decodeEntryBundle(bytes, width);
      } catch (error) {
        sound = false;
        findings.add(file, error instanceof Error ? error.message : String(error));
      }
    }
    return { entries: entries.slice(0, need), offsets, file, sound };
  }

  /** The hashes of a level 0 tile; fewer than needed when the file is missing or short. */
  async #tile(number: number, need: number): Promise<Buffer[]> {
    const { findings } = this.#options;
    const { path, width, bytes } = await this.#read(0, number, need);
    if (bytes === undefined) {
      findings.add(this.#name(path), 'is missing', number * TILE_WIDTH);
      return [];
    }
    if (bytes.length !== width * HASH_BYTES) {
      findings.add(this.#name(path), `has ${bytes.length} bytes, expected ${width * HASH_BYTES}`);
    }
    return hashesOf(bytes).slice(0, need);
  }

  /** A file with the first `need` of a tile or bundle. One that a writer just replaced is looked for again. */
  async #read(
    level: number,
    number: number,
    need: number,
  ): Promise<{ path: string; width: number; bytes: Buffer | undefined }> {
    const { ledgerDir, listing, live } = this.#options;
    let widths = listing.widths(level, number);
    for (let attempt = 1; ; attempt += 1) {
      const width = bestWidth(widths, need);
      const path = join(ledgerDir, treePath(level, number, width ?? need));
      const bytes = width === undefined ? undefined : await readWhole(path);
      if (bytes !== undefined || !live || attempt === MAX_LOOKS) return { path, width: width ?? need, bytes };
      widths = await widthsOnDisk(ledgerDir, level, number);
    }
  }

  /** Entries and tile disagree, or one of them is incomplete: which of them does the rest of the tree support? */
  async #choose(
    first: number,
    need: number,
    entries: Buffer[],
    tile: Buffer[],
    bundleFile: string,
    sound: boolean,
  ): Promise<Buffer[] | undefined> {
    const { findings, ledgerDir } = this.#options;
    const wrong: number[] = [];
    for (let n = 0; n < Math.min(entries.length, tile.length); n += 1) {
      const [a, b] = [entries[n], tile[n]];
      if (a !== undefined && b !== undefined && !a.equals(b)) wrong.push(n);
    }
    const bundleWhole = entries.length === need;
    const tileWhole = tile.length === need;
    if (wrong.length === 0) return bundleWhole ? entries : tileWhole ? tile : undefined;
    const entriesFit = bundleWhole && (await this.#supported(first, entries));
    const tileFits = tileWhole && (await this.#supported(first, tile));
    const tileName = this.#name(join(ledgerDir, treePath(0, first / TILE_WIDTH, need)));
    if (entriesFit && !tileFits) {
      for (const n of wrong) findings.add(tileName, 'the hash of this entry was altered', first + n);
      return entries;
    }
    // One altered length shifts all that follows: then the first one says enough.
    for (const n of sound ? wrong : wrong.slice(0, 1)) {
      findings.add(bundleFile, 'the entry does not have the hash that the tree has', first + n);
    }
    if (!tileWhole) return undefined;
    return tile;
  }

  /** True when a group's hashes lead to the hash above them, or to a root that was vouched for. */
  async #supported(first: number, hashes: readonly Buffer[]): Promise<boolean> {
    const { ledgerDir, listing } = this.#options;
    if (hashes.length === TILE_WIDTH) {
      const number = first / TILE_WIDTH;
      const above = Math.floor(number / TILE_WIDTH);
      const at = number % TILE_WIDTH;
      const width = bestWidth(listing.widths(1, above), at + 1);
      if (width !== undefined) {
        const bytes = await readWhole(join(ledgerDir, treePath(1, above, width)));
        const hash = bytes?.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES);
        if (hash !== undefined && rootOf(hashes).equals(hash)) return true;
      }
    }
    return this.#anchors.some(({ size, root }) => {
      if (size <= first || size > first + hashes.length) return false;
      const edge = this.#edge.clone();
      edge.grow(hashes.slice(0, size - first).map((hash) => ({ bytes: Buffer.alloc(0), hash })));
      return edge.root().equals(root);
    });
  }

  #compareWaiting(index: number, bytes: Buffer | undefined): void {
    const { replayed, findings } = this.#options;
    const waiting = index < replayed.from ? undefined : replayed.entries[index - replayed.from];
    if (waiting === undefined || bytes === undefined || waiting.bytes.equals(bytes)) return;
    findings.add(this.#name(waiting.path), 'differs from the same entry in the tree', index);
  }

  /** Grows the edge, stopping wherever a root is vouched for. Returns the files that became full. */
  #grow(scanned: readonly ScannedEntry[]): TreeFile[] {
    const full: TreeFile[] = [];
    let leaves: Leaf[] = [];
    const flush = (): void => {
      full.push(...this.#edge.grow(leaves));
      leaves = [];
    };
    for (const { index, bytes, hash } of scanned) {
      leaves.push({ bytes: bytes ?? Buffer.alloc(0), hash });
      const size = index + 1;
      if (size === this.#options.base) {
        flush();
        this.#baseEdge = this.#edge.clone();
      }
      if (this.#anchors[this.#nextAnchor]?.size !== size) continue;
      flush();
      this.#checkAnchors(size);
    }
    flush();
    return full;
  }

  #checkAnchors(size: number): void {
    let root: Buffer | undefined;
    for (; this.#anchors[this.#nextAnchor]?.size === size; this.#nextAnchor += 1) {
      const anchor = this.#anchors[this.#nextAnchor];
      root ??= this.#edge.root();
      if (anchor === undefined || anchor.root.equals(root)) continue;
      const [expected, found] = [anchor.root.toString('hex'), root.toString('hex')];
      const problem = `${anchor.what} of ${size} entries has the root ${expected}, these entries have ${found}`;
      anchor.wrong(problem);
    }
  }

  /** Every bundle of this number, full or partial, holds the first of these entries and nothing else. */
  async #checkBundles(number: number, scanned: readonly ScannedEntry[]): Promise<void> {
    // Where an entry cannot be read this was said already.
    if (scanned.some(({ bytes }) => bytes === undefined)) return;
    const entries = scanned.flatMap(({ bytes }) => (bytes === undefined ? [] : [bytes]));
    await this.#checkFiles(BUNDLES, number, entries.length, (width) =>
      encodeEntryBundle(entries.slice(0, width)),
    );
  }

  /** The same for the tiles of a level. `expected` holds all hashes that the tile has by now. */
  async #checkTiles(level: number, number: number, expected: Buffer): Promise<void> {
    const width = expected.length / HASH_BYTES;
    await this.#checkFiles(level, number, width, (w) => expected.subarray(0, w * HASH_BYTES));
  }

  async #checkFiles(
    level: number,
    number: number,
    known: number,
    expectedOf: (width: number) => Buffer,
  ): Promise<void> {
    const { base, ledgerDir, listing, findings, live } = this.#options;
    const span = TILE_WIDTH ** (Math.max(level, 0) + 1);
    // How many of its hashes the tree at `base` needs.
    const needed = Math.max(
      0,
      Math.min(TILE_WIDTH, Math.floor((base - number * span) / (span / TILE_WIDTH))),
    );
    const widths = listing.widths(level, number);
    // Of bundles and level 0 this was said when they were read.
    if (needed > 0 && level > 0) {
      const { path, bytes } = await this.#read(level, number, needed);
      if (bytes === undefined) findings.add(this.#name(path), 'is missing');
    }
    for (const width of widths) {
      const path = join(ledgerDir, treePath(level, number, width));
      const file = this.#name(path);
      if (width > known) {
        if (!live) findings.add(file, 'holds entries that the log does not have');
        continue;
      }
      const bytes = await readWhole(path);
      if (bytes === undefined && live) continue;
      if (bytes === undefined) findings.add(file, 'cannot be read as a file of the tree');
      else if (!bytes.equals(expectedOf(width)) && !findings.list.some((found) => found.file === file)) {
        findings.add(
          file,
          level === BUNDLES ? 'differs from the entries' : 'does not follow from what lies below',
        );
      }
    }
  }

  /** The upper tiles that are not full, and files of entries that nobody has. */
  async #checkEnd(): Promise<void> {
    const { listing, ledgerDir, findings, live } = this.#options;
    for (const file of this.#edge.partials()) {
      if (file.level > 0) await this.#checkTiles(file.level, file.index, file.bytes);
    }
    if (live) return;
    for (const [level, indexes] of listing.levels) {
      const span = TILE_WIDTH ** Math.max(level, 0);
      const known = Math.ceil(Math.floor(this.#edge.size / span) / TILE_WIDTH);
      for (const [index, widths] of indexes) {
        const width = widths[0];
        if (index < known || width === undefined) continue;
        const path = join(ledgerDir, treePath(level, index, width));
        findings.add(this.#name(path), 'holds entries that the log does not have');
      }
    }
  }

  #name(path: string): string {
    return relative(this.#options.dataDir, path);
  }
}

/** The full file, else the narrowest that is wide enough. */
function bestWidth(widths: readonly number[], need: number): number | undefined {
  if (widths.includes(TILE_WIDTH)) return TILE_WIDTH;
  const wide = widths.filter((width) => width >= need);
  return wide.length === 0 ? undefined : Math.min(...wide);
}

function hashesOf(bytes: Buffer): Buffer[] {
  const hashes: Buffer[] = [];
  for (let at = 0; at + HASH_BYTES <= bytes.length; at += HASH_BYTES) {
    hashes.push(bytes.subarray(at, at + HASH_BYTES));
  }
  return hashes;
}

/** C2SP tlog-tiles entry bundle: u16be length and bytes, for each entry. Stops where it no longer fits. */
function splitBundle(bytes: Buffer, width: number): { entries: Buffer[]; offsets: number[]; end: number } {
  const entries: Buffer[] = [];
  const offsets: number[] = [];
  let end = 0;
  while (entries.length < width && end + 2 <= bytes.length) {
    const next = end + 2 + bytes.readUInt16BE(end);
    if (next > bytes.length) break;
    entries.push(bytes.subarray(end + 2, next));
    offsets.push(end + 2);
    end = next;
  }
  return { entries, offsets, end };
}
