import { crc32 } from 'node:zlib';

/**
 * Write-ahead segment (FORMAT.md 5.2): commits one after the other, each in sectors of 512 bytes, zero-padded to 4096.
 *
 * sector
 *  0   4   u32be CRC-32 of bytes 4 to 511
 *  4   4   u32be number of the commit in its segment, from 1
 *  8   2   u16be number of the sector in its commit, from 0
 * 10   2   u16be sectors of the commit
 * 12 500   payload, zero-padded in the last sector
 *
 * payload of a commit
 *  0   8   u64be index of the first entry
 *  8   4   u32be number of entries n (1 to MAX_COMMIT_ENTRIES)
 * 12  32   root of the tree before the first entry
 * 44  32   root of the tree with the last
 * 76  ..   n times: u16be length, the entry's exact bytes
 *
 * A disk writes a sector whole or not at all, and a file that grows reads as zeros where nothing was written. So a
 * commit that a crash tore has whole sectors, zero sectors and an end; anything else was altered afterwards.
 */
export const SECTOR_BYTES = 512;
export const PAGE_BYTES = 4096;
export const MAX_COMMIT_ENTRIES = 1024;
const PAYLOAD_BYTES = SECTOR_BYTES - 12;
const COMMIT_HEADER_BYTES = 76;

export interface Commit {
  firstIndex: number;
  rootBefore: Buffer;
  rootAfter: Buffer;
  entries: Buffer[];
}

/** A commit as it lies in the segment, padding included. `number` counts the commits of a segment from 1. */
export function encodeCommit(number: number, { firstIndex, rootBefore, rootAfter, entries }: Commit): Buffer {
  const header = Buffer.alloc(COMMIT_HEADER_BYTES);
  header.writeBigUInt64BE(BigInt(firstIndex), 0);
  header.writeUInt32BE(entries.length, 8);
  rootBefore.copy(header, 12);
  rootAfter.copy(header, 44);
  const parts: Buffer[] = [header];
  for (const entry of entries) {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(entry.length);
    parts.push(length, entry);
  }
  const payload = Buffer.concat(parts);
  const sectors = Math.ceil(payload.length / PAYLOAD_BYTES);
  const target = Buffer.alloc(Math.ceil((sectors * SECTOR_BYTES) / PAGE_BYTES) * PAGE_BYTES);
  for (let sector = 0; sector < sectors; sector += 1) {
    const at = sector * SECTOR_BYTES;
    target.writeUInt32BE(number, at + 4);
    target.writeUInt16BE(sector, at + 8);
    target.writeUInt16BE(sectors, at + 10);
    payload.copy(target, at + 12, sector * PAYLOAD_BYTES, (sector + 1) * PAYLOAD_BYTES);
    target.writeUInt32BE(crc32(target.subarray(at + 4, at + SECTOR_BYTES)), at);
  }
  return target;
}

export interface ReadCommit extends Commit {
  /** Where the commit starts in the segment. */
  offsetBytes: number;
}

export interface SegmentContent {
  commits: ReadCommit[];
  /** Set where a commit was torn by a crash: nothing of it was acknowledged. The segment counts up to here. */
  tornAtBytes?: number;
  /** Set where the content cannot be what a crash left. The commits before it are listed. */
  problem?: string;
}

/** Reads a whole segment. Nothing is said about roots: whoever replays it holds the tree. */
export function readSegment(bytes: Buffer): SegmentContent {
  const commits: ReadCommit[] = [];
  let at = 0;
  while (at < bytes.length) {
    const found = readCommit(bytes, at, commits.length + 1);
    if (typeof found === 'string') return { commits, problem: found };
    if (found === undefined) {
      const after = behindTorn(bytes, at, commits.length + 1);
      return after === undefined ? { commits, tornAtBytes: at } : { commits, problem: after };
    }
    commits.push(found.commit);
    at = found.endBytes;
  }
  return { commits };
}

type Sector =
  | { commit: number; sector: number; sectors: number; payload: Buffer }
  | 'zero'
  | 'cut'
  | 'altered';

function readSector(bytes: Buffer, at: number): Sector {
  const sector = bytes.subarray(at, at + SECTOR_BYTES);
  if (sector.every((byte) => byte === 0)) return sector.length < SECTOR_BYTES ? 'cut' : 'zero';
  if (sector.length < SECTOR_BYTES) return 'cut';
  if (sector.readUInt32BE(0) !== crc32(sector.subarray(4))) return 'altered';
  return {
    commit: sector.readUInt32BE(4),
    sector: sector.readUInt16BE(8),
    sectors: sector.readUInt16BE(10),
    payload: sector.subarray(12),
  };
}

/** Undefined when it is torn; a sentence when it was altered. */
function readCommit(
  bytes: Buffer,
  at: number,
  number: number,
): { commit: ReadCommit; endBytes: number } | string | undefined {
  const first = readSector(bytes, at);
  if (first === 'zero' || first === 'cut') return undefined;
  if (first === 'altered') return `the sector at byte ${at} was altered`;
  if (first.commit !== number || first.sector !== 0 || first.sectors === 0) {
    return `the sector at byte ${at} does not begin commit ${number}`;
  }
  const payload: Buffer[] = [first.payload];
  for (let sector = 1; sector < first.sectors; sector += 1) {
    const offset = at + sector * SECTOR_BYTES;
    const next = readSector(bytes, offset);
    if (next === 'zero' || next === 'cut') return undefined;
    if (next === 'altered') return `the sector at byte ${offset} was altered`;
    if (next.commit !== number || next.sector !== sector || next.sectors !== first.sectors) {
      return `the sector at byte ${offset} does not belong to commit ${number}`;
    }
    payload.push(next.payload);
  }
  const used = at + first.sectors * SECTOR_BYTES;
  const endBytes = at + Math.ceil((first.sectors * SECTOR_BYTES) / PAGE_BYTES) * PAGE_BYTES;
  if (bytes.subarray(used, endBytes).some((byte) => byte !== 0)) {
    return `the padding behind commit ${number} was altered (bytes ${used} to ${endBytes})`;
  }
  // The padding is written together with the rest: where it ends early the commit was torn.
  if (endBytes > bytes.length) return undefined;
  const commit = decodePayload(Buffer.concat(payload), at);
  return commit === undefined
    ? `commit ${number} at byte ${at} does not decode`
    : { commit: { ...commit, offsetBytes: at }, endBytes };
}

function decodePayload(payload: Buffer, offsetBytes: number): ReadCommit | undefined {
  if (payload.length < COMMIT_HEADER_BYTES) return undefined;
  const firstIndex = Number(payload.readBigUInt64BE(0));
  const count = payload.readUInt32BE(8);
  if (!Number.isSafeInteger(firstIndex) || count < 1 || count > MAX_COMMIT_ENTRIES) return undefined;
  const entries: Buffer[] = [];
  let at = COMMIT_HEADER_BYTES;
  for (let n = 0; n < count; n += 1) {
    if (at + 2 > payload.length) return undefined;
    const end = at + 2 + payload.readUInt16BE(at);
    if (end > payload.length) return undefined;
    entries.push(payload.subarray(at + 2, end));
    at = end;
  }
  if (payload.subarray(at).some((byte) => byte !== 0)) return undefined;
  return {
    offsetBytes,
    firstIndex,
    rootBefore: payload.subarray(12, 44),
    rootAfter: payload.subarray(44, 76),
    entries,
  };
}

/**
 * Behind a torn commit there is nothing but more of the same commit: a next one is begun only when it is durable.
 * Whatever else is there says that something in the middle was altered.
 */
function behindTorn(bytes: Buffer, from: number, number: number): string | undefined {
  for (let at = from; at < bytes.length; at += SECTOR_BYTES) {
    const sector = readSector(bytes, at);
    if (sector === 'zero' || sector === 'cut') continue;
    if (sector === 'altered') return `the sector at byte ${at} was altered`;
    if (sector.commit !== number) return `commit ${number} at byte ${from} is missing before others`;
  }
  return undefined;
}
