import { LedgerError } from './error.ts';
import { MAX_SIZE } from './proofs.ts';

/** C2SP tlog-tiles: a full tile holds this many hashes, a full bundle this many entries. */
export const TILE_WIDTH = 256;
const TILE_LEVELS = 8;
/** Of an entry's length prefix. */
const MAX_BUNDLED_BYTES = 0xffff;

/** Where the hashes of one tile lie: `tile/<level>/<index>`, with `.p/<width>` while it is not full. */
export function tilePath(level: number, index: number, width: number = TILE_WIDTH): string {
  if (!Number.isSafeInteger(level) || level < 0 || level >= TILE_LEVELS) {
    throw new LedgerError(`expected a tile level from 0 to ${TILE_LEVELS - 1}, got ${level}`);
  }
  return `tile/${level}/${numberPath(index)}${widthPath(width)}`;
}

/** Where the entries `index * 256` and following lie. */
export function entriesPath(index: number, width: number = TILE_WIDTH): string {
  return `tile/entries/${numberPath(index)}${widthPath(width)}`;
}

export interface TilePlace {
  level: number;
  index: number;
  /** 1 to 256. */
  width: number;
}

/** Every hash tile of a tree of `size` entries, level 0 first; the last of a level may be partial. */
export function* tilesOf(size: number): Generator<TilePlace, void, void> {
  if (!Number.isSafeInteger(size) || size < 0) throw new LedgerError(`expected a tree size, got ${size}`);
  for (let level = 0, count = size; count > 0; level += 1, count = Math.floor(count / TILE_WIDTH)) {
    for (let index = 0; index * TILE_WIDTH < count; index += 1) {
      yield { level, index, width: Math.min(TILE_WIDTH, count - index * TILE_WIDTH) };
    }
  }
}

/** Entries one after the other, each with its length as u16 big-endian before it. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Buffer {
  if (entries.length === 0 || entries.length > TILE_WIDTH) {
    throw new LedgerError(`expected 1 to ${TILE_WIDTH} entries in a bundle, got ${entries.length}`);
  }
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    if (entry.length > MAX_BUNDLED_BYTES) {
      throw new LedgerError(
        `an entry of a bundle has at most ${MAX_BUNDLED_BYTES} bytes, got ${entry.length}`,
      );
    }
    const length = Buffer.alloc(2);
    length.writeUInt16BE(entry.length);
    parts.push(length, entry);
  }
  return Buffer.concat(parts);
}

/** The `count` entries of a bundle, as parts of `bytes`. Throws LedgerError when there are more, fewer, or half ones. */
export function decodeEntryBundle(bytes: Uint8Array, count: number): Buffer[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Buffer[] = [];
  let at = 0;
  while (at < buffer.length) {
    if (at + 2 > buffer.length)
      throw new LedgerError(`the bundle ends in the length of entry ${entries.length}`);
    const end = at + 2 + buffer.readUInt16BE(at);
    if (end > buffer.length) throw new LedgerError(`the bundle ends in entry ${entries.length}`);
    entries.push(buffer.subarray(at + 2, end));
    at = end;
  }
  if (entries.length !== count)
    throw new LedgerError(`expected ${count} entries in the bundle, got ${entries.length}`);
  return entries;
}

/** `1234067` is `x001/x234/067`. */
function numberPath(index: number): string {
  if (!Number.isSafeInteger(index) || index < 0 || index > MAX_SIZE) {
    throw new LedgerError(`expected the number of a tile, got ${index}`);
  }
  let rest = index;
  let path = String(rest % 1000).padStart(3, '0');
  while (rest >= 1000) {
    rest = Math.floor(rest / 1000);
    path = `x${String(rest % 1000).padStart(3, '0')}/${path}`;
  }
  return path;
}

function widthPath(width: number): string {
  if (!Number.isInteger(width) || width < 1 || width > TILE_WIDTH) {
    throw new LedgerError(`expected the width of a tile from 1 to ${TILE_WIDTH}, got ${width}`);
  }
  return width === TILE_WIDTH ? '' : `.p/${width}`;
}
