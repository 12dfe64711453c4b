import { VerbatimError } from '#protocol';
import {
  BLOCK_HEADER_BYTES,
  BLOCK_OVERHEAD_BYTES,
  CHAIN_BYTES,
  MAX_CIPHERTEXT_BYTES,
  readBlockHeader,
} from './journal-format.ts';

/**
 * Commit log segment (FORMAT.md): commits one after the other, each zero-padded to 4096 bytes.
 *
 * record
 *  0   4   u32be length of what follows, padding not counted
 *  4  16   recording id (UUID, binary)
 * 20   4   u32be epoch
 * 24  ..   the block's exact bytes, header to c[i]
 * ..  0-3  zero, so that a record starts at a multiple of 4 and its length never straddles two pages
 */
export const LOG_PAGE_BYTES = 4096;
export const LOG_RECORD_HEADER_BYTES = 24;
const MIN_LENGTH = 20 + BLOCK_OVERHEAD_BYTES;
const MAX_LENGTH = 20 + BLOCK_HEADER_BYTES + MAX_CIPHERTEXT_BYTES + CHAIN_BYTES;

/** Bytes that a block of this size takes in the log. */
export function logRecordBytes(blockBytes: number): number {
  return alignUp(LOG_RECORD_HEADER_BYTES + blockBytes, 4);
}

export function writeLogRecordHeader(
  target: Buffer,
  at: number,
  recordingId: Buffer,
  epoch: number,
  blockBytes: number,
): void {
  target.writeUInt32BE(20 + blockBytes, at);
  recordingId.copy(target, at + 4);
  target.writeUInt32BE(epoch, at + 20);
  const end = at + LOG_RECORD_HEADER_BYTES + blockBytes;
  target.fill(0, end, alignUp(end - at, 4) + at);
}

export interface LogRecord {
  recording: string;
  epoch: number;
  seq: number;
  /** Where the block lies in the segment. */
  blockOffset: number;
  blockBytes: number;
}

/**
 * The records of a whole segment, in order. Nothing is said about their chains: whoever replays them checks.
 * A page that does not begin as a record is skipped and counted in `badPages`: at the end it is the torn
 * commit that a crash left, which nobody was told about.
 */
export function scanSegment(bytes: Buffer): { records: LogRecord[]; badPages: number } {
  const records: LogRecord[] = [];
  let badPages = 0;
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt32BE(at);
    if (length === 0) {
      at = alignUp(at + 4, LOG_PAGE_BYTES);
      continue;
    }
    const record = readRecord(bytes, at, length);
    if (record === undefined) {
      badPages += 1;
      at = alignUp(at + 4, LOG_PAGE_BYTES);
      continue;
    }
    records.push(record);
    at = alignUp(at + 4 + length, 4);
  }
  return { records, badPages };
}

function readRecord(bytes: Buffer, at: number, length: number): LogRecord | undefined {
  if (length < MIN_LENGTH || length > MAX_LENGTH || at + 4 + length > bytes.length) return undefined;
  const blockOffset = at + LOG_RECORD_HEADER_BYTES;
  const blockBytes = length - 20;
  const header = readBlockHeader(bytes, blockOffset);
  if (header === undefined) return undefined;
  if (BLOCK_HEADER_BYTES + header.ciphertextBytes + CHAIN_BYTES !== blockBytes) return undefined;
  const epoch = bytes.readUInt32BE(at + 20);
  return { recording: uuidText(bytes, at + 4), epoch, seq: header.seq, blockOffset, blockBytes };
}

export function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

/** The 16 bytes of a UUID. */
export function uuidBytes(uuid: string): Buffer {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  if (bytes.length !== 16 || uuidText(bytes, 0) !== uuid) {
    throw new VerbatimError(
      'bad_request',
      `expected a recording id (lower-case UUID), got ${JSON.stringify(uuid)}`,
    );
  }
  return bytes;
}

function uuidText(bytes: Buffer, at: number): string {
  const hex = bytes.toString('hex', at, at + 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
