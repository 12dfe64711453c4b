import type { Dirent } from 'node:fs';
import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TILE_WIDTH } from '#ledger';
import { isErrno } from '../durable.ts';
import { TEMPORARY } from './files.ts';
import { BUNDLES, treePath } from './tree-path.ts';

const MAX_LEVEL = 63;
/** A bundle of the largest entries; no file of the tree is larger. */
const MAX_FILE_BYTES = TILE_WIDTH * (16_384 + 2);

/**
 * The names in `tile/`: which tiles and bundles there are, full and partial. Names only, about 200 bytes for 256
 * entries. Names that no file of the tree has are passed over.
 */
export class Listing {
  /** Level, then index, then the widths that are there. */
  readonly levels = new Map<number, Map<number, number[]>>();
  /** What a crash left of files on their way. */
  readonly temporaries: string[] = [];
  /** Something with a right name that is no regular file. */
  readonly strange: string[] = [];

  widths(level: number, index: number): readonly number[] {
    return this.levels.get(level)?.get(index) ?? [];
  }

  add(level: number, index: number, width: number): void {
    const indexes = this.levels.get(level) ?? new Map<number, number[]>();
    this.levels.set(level, indexes);
    const widths = indexes.get(index);
    if (widths === undefined) indexes.set(index, [width]);
    else widths.push(width);
  }
}

/** Lists the tree of a log. A folder that is not there has no files. */
export async function listTree(ledgerDir: string): Promise<Listing> {
  const listing = new Listing();
  const root = join(ledgerDir, 'tile');
  for (const entry of await entriesOf(root)) {
    const level =
      entry.name === 'entries' ? BUNDLES : /^(0|[1-9][0-9]?)$/.test(entry.name) ? Number(entry.name) : NaN;
    if (entry.isDirectory() && level <= MAX_LEVEL) await walk(join(root, entry.name), level, 0, listing);
    else if (!Number.isNaN(level)) listing.strange.push(join(root, entry.name));
  }
  return listing;
}

/** The widths of one tile or bundle that are there at this moment. */
export async function widthsOnDisk(ledgerDir: string, level: number, index: number): Promise<number[]> {
  const full = join(ledgerDir, treePath(level, index, TILE_WIDTH));
  const listing = new Listing();
  await walkPartial(`${full}.p`, level, index, listing);
  // Looked at last: a partial file goes only after the full one has come.
  if ((await entriesOf(dirname(full))).some((entry) => entry.isFile() && entry.name === basename(full))) {
    listing.add(level, index, TILE_WIDTH);
  }
  return [...listing.widths(level, index)];
}

/** C2SP tlog-tiles: thousands of the index as directories x001/x234, then 067, or 067.p/<width> for a partial one. */
async function walk(dir: string, level: number, thousands: number, listing: Listing): Promise<void> {
  for (const entry of await entriesOf(dir)) {
    const path = join(dir, entry.name);
    const [, more] = /^x([0-9]{3})$/.exec(entry.name) ?? [];
    const [, name, partial] = /^([0-9]{3})(\.p)?$/.exec(entry.name) ?? [];
    if (more !== undefined) {
      if (!entry.isDirectory()) listing.strange.push(path);
      else await walk(path, level, (thousands + Number(more)) * 1000, listing);
    } else if (name === undefined) {
      if (TEMPORARY.test(entry.name)) listing.temporaries.push(path);
    } else if (partial === undefined) {
      if (!entry.isFile()) listing.strange.push(path);
      else listing.add(level, thousands + Number(name), TILE_WIDTH);
    } else if (!entry.isDirectory()) listing.strange.push(path);
    else await walkPartial(path, level, thousands + Number(name), listing);
  }
}

async function walkPartial(dir: string, level: number, index: number, listing: Listing): Promise<void> {
  for (const entry of await entriesOf(dir)) {
    const path = join(dir, entry.name);
    if (TEMPORARY.test(entry.name)) listing.temporaries.push(path);
    if (!/^[1-9][0-9]{0,2}$/.test(entry.name) || Number(entry.name) >= TILE_WIDTH) continue;
    if (!entry.isFile()) listing.strange.push(path);
    else listing.add(level, index, Number(entry.name));
  }
}

async function entriesOf(dir: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return [];
    throw error;
  }
}

/**
 * A whole file of the log; undefined when it is not there, is a link or is larger than any. What the disk says
 * otherwise (EIO, no permission) is thrown.
 */
export async function readWhole(path: string, maxBytes = MAX_FILE_BYTES): Promise<Buffer | undefined> {
  try {
    // A link could lead anywhere, and what it leads to can be exchanged without a trace here.
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { size } = await handle.stat();
      return size > maxBytes ? undefined : await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EISDIR'].some((code) => isErrno(error, code))) return undefined;
    throw error;
  }
}
