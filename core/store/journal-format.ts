import type { KeyObject } from 'node:crypto';
import { createCipheriv, createDecipheriv, createSecretKey, hash, hkdfSync } from 'node:crypto';
import { VerbatimError } from '#protocol';

/**
 * Journal v1, byte for byte (FORMAT.md). Pure: no files, no clocks.
 *
 * file header                           block i (the first is 1)
 *  0   8   "SCJRNL1\n"                   0   4   "SCB1"
 *  8   4   u32be n                       4   1   type: 1 DATA, 2 MARK, 3 END
 * 12   n   JSON                          5   3   zero
 * ..  32   c[0]                          8   4   u32be seq = i
 *                                       12   4   u32be length of ciphertext, tag included
 * record in a DATA block                16   8   u64be monotonic us
 *  0   1   leg                          24   8   u64be wall-clock ms
 *  1   1   flags                        32  ..   ciphertext
 *  2   2   u16be length                 ..  32   c[i]
 *  4   4   u32be us since block time
 *  8  ..   the whole RTP or RTCP packet
 */
export const FILE_MAGIC = Buffer.from('SCJRNL1\n', 'latin1');
export const BLOCK_MAGIC = Buffer.from('SCB1', 'latin1');
export const BLOCK_HEADER_BYTES = 32;
export const CHAIN_BYTES = 32;
export const TAG_BYTES = 16;
export const RECORD_HEADER_BYTES = 8;
/** Bytes of a block beside its plaintext. */
export const BLOCK_OVERHEAD_BYTES = BLOCK_HEADER_BYTES + TAG_BYTES + CHAIN_BYTES;
export const MAX_CIPHERTEXT_BYTES = 1024 * 1024;
export const MAX_HEADER_JSON_BYTES = 64 * 1024;
const KEY_INFO = 'verbatim/journal/v1';

export type BlockType = 'data' | 'mark' | 'end';
export const BLOCK_TYPES: Readonly<Record<BlockType, number>> = { data: 1, mark: 2, end: 3 };

/** Record flags. Bits that are not named here are zero. */
export const FLAG_RTCP = 1;

export interface JournalHeader {
  v: 1;
  recording: string;
  call: string;
  epoch: number;
  /** ISO 8601, UTC. */
  created: string;
  recorder: string;
  /** The last acknowledged head of the epoch before (hex), or null for a first one. */
  prev: string | null;
  /** age v1 header, base64. Its file key is the journal's key material. */
  age: string;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The whole file header with c[0] at its end. */
export function encodeFileHeader(header: JournalHeader): Buffer {
  const json = Buffer.from(JSON.stringify(header), 'utf8');
  if (json.length > MAX_HEADER_JSON_BYTES) {
    throw new VerbatimError('internal', `a journal header of ${json.length} bytes is too long`);
  }
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  const body = Buffer.concat([FILE_MAGIC, length, json]);
  return Buffer.concat([body, sha256(body)]);
}

/** Bytes of the file header that `start` begins, once 12 bytes are there; undefined if it is no journal. */
export function fileHeaderLength(start: Buffer): number | undefined {
  if (start.length < 12 || !start.subarray(0, 8).equals(FILE_MAGIC)) return undefined;
  const jsonBytes = start.readUInt32BE(8);
  if (jsonBytes < 2 || jsonBytes > MAX_HEADER_JSON_BYTES) return undefined;
  return 12 + jsonBytes + CHAIN_BYTES;
}

/** Checks c[0] before it looks at the JSON. Undefined when anything is not as the format says. */
export function parseFileHeader(bytes: Buffer): { header: JournalHeader; head: Buffer } | undefined {
  const length = fileHeaderLength(bytes);
  if (length === undefined || bytes.length !== length) return undefined;
  const head = bytes.subarray(length - CHAIN_BYTES);
  if (!sha256(bytes.subarray(0, length - CHAIN_BYTES)).equals(head)) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8', 12, length - CHAIN_BYTES));
  } catch {
    return undefined;
  }
  return isJournalHeader(json) ? { header: json, head: Buffer.from(head) } : undefined;
}

function isJournalHeader(value: unknown): value is JournalHeader {
  if (typeof value !== 'object' || value === null) return false;
  const header: Partial<Record<keyof JournalHeader, unknown>> = value;
  return (
    header.v === 1 &&
    typeof header.recording === 'string' &&
    UUID.test(header.recording) &&
    typeof header.call === 'string' &&
    typeof header.epoch === 'number' &&
    Number.isSafeInteger(header.epoch) &&
    header.epoch >= 1 &&
    typeof header.created === 'string' &&
    typeof header.recorder === 'string' &&
    (header.prev === null || (typeof header.prev === 'string' && /^[0-9a-f]{64}$/.test(header.prev))) &&
    typeof header.age === 'string'
  );
}

export interface BlockHeader {
  type: BlockType;
  seq: number;
  ciphertextBytes: number;
  monotonicUs: number;
  wallMs: number;
}

export function writeBlockHeader(target: Buffer, at: number, header: BlockHeader): void {
  BLOCK_MAGIC.copy(target, at);
  target.writeUInt32BE(BLOCK_TYPES[header.type] << 24, at + 4);
  target.writeUInt32BE(header.seq, at + 8);
  target.writeUInt32BE(header.ciphertextBytes, at + 12);
  writeU64(target, header.monotonicUs, at + 16);
  writeU64(target, header.wallMs, at + 24);
}

/** The header at `at` if it could be one: magic, type, zeros and bounds; nothing is said about its chain. */
export function readBlockHeader(bytes: Buffer, at: number): BlockHeader | undefined {
  if (bytes.length - at < BLOCK_HEADER_BYTES) return undefined;
  if (bytes.compare(BLOCK_MAGIC, 0, 4, at, at + 4) !== 0) return undefined;
  const typeWord = bytes.readUInt32BE(at + 4);
  const type = typeOf(typeWord);
  const ciphertextBytes = bytes.readUInt32BE(at + 12);
  if (type === undefined || ciphertextBytes < TAG_BYTES || ciphertextBytes > MAX_CIPHERTEXT_BYTES) {
    return undefined;
  }
  return {
    type,
    seq: bytes.readUInt32BE(at + 8),
    ciphertextBytes,
    monotonicUs: readU64(bytes, at + 16),
    wallMs: readU64(bytes, at + 24),
  };
}

function typeOf(word: number): BlockType | undefined {
  switch (word) {
    case 0x01000000:
      return 'data';
    case 0x02000000:
      return 'mark';
    case 0x03000000:
      return 'end';
    default:
      return undefined;
  }
}

/** c[i] = SHA-256(0x02 || c[i-1] || header || SHA-256(ciphertext)) */
export function chainHead(previous: Buffer, blockHeader: Buffer, ciphertext: Buffer): Buffer {
  chainInput[0] = 0x02;
  previous.copy(chainInput, 1);
  blockHeader.copy(chainInput, 1 + CHAIN_BYTES);
  sha256(ciphertext).copy(chainInput, 1 + CHAIN_BYTES + BLOCK_HEADER_BYTES);
  return sha256(chainInput);
}

/** All that the chain needs of a block: its header and the SHA-256 of its ciphertext. */
export const LIGHT_BLOCK_BYTES = BLOCK_HEADER_BYTES + 32;

/** c[i] from c[i-1] and a light block. */
export function lightHead(previous: Uint8Array, light: Uint8Array): Buffer {
  chainInput[0] = 0x02;
  chainInput.set(previous, 1);
  chainInput.set(light, 1 + CHAIN_BYTES);
  return sha256(chainInput);
}

/**
 * Writes one whole block at `at` and returns c[i]. `target` needs `plaintext.length + BLOCK_OVERHEAD_BYTES`.
 * A (key, seq) pair must never be used for two different blocks: the nonce is the sequence number.
 */
export function sealBlock(
  target: Buffer,
  at: number,
  key: KeyObject,
  previous: Buffer,
  header: BlockHeader,
  plaintext: Uint8Array,
): Buffer {
  writeBlockHeader(target, at, header);
  const headerBytes = target.subarray(at, at + BLOCK_HEADER_BYTES);
  const cipher = createCipheriv('chacha20-poly1305', key, nonce(header.seq), { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(previous, headerBytes), { plaintextLength: plaintext.length });
  const body = cipher.update(plaintext);
  cipher.final();
  let end = at + BLOCK_HEADER_BYTES;
  end += body.copy(target, end);
  end += cipher.getAuthTag().copy(target, end);
  const head = chainHead(previous, headerBytes, target.subarray(at + BLOCK_HEADER_BYTES, end));
  head.copy(target, end);
  return head;
}

/** The plaintext of a block, or undefined when the tag does not verify. */
export function openBlock(
  key: KeyObject,
  previous: Buffer,
  headerBytes: Buffer,
  seq: number,
  ciphertext: Buffer,
): Buffer | undefined {
  const decipher = createDecipheriv('chacha20-poly1305', key, nonce(seq), { authTagLength: TAG_BYTES });
  const bodyBytes = ciphertext.length - TAG_BYTES;
  decipher.setAAD(associatedData(previous, headerBytes), { plaintextLength: bodyBytes });
  decipher.setAuthTag(ciphertext.subarray(bodyBytes));
  const plaintext = decipher.update(ciphertext.subarray(0, bodyBytes));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plaintext;
}

/** K = HKDF-SHA-256(ikm = age file key, salt = recording id as text, info = "verbatim/journal/v1") */
export function journalKey(fileKey: Uint8Array, recordingId: string): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', fileKey, recordingId, KEY_INFO, 32)));
}

// Scratch for one block at a time: sealing and opening are synchronous, and a thousand blocks a second pass here.
const chainInput = Buffer.alloc(1 + CHAIN_BYTES + BLOCK_HEADER_BYTES + 32);
const aad = Buffer.alloc(CHAIN_BYTES + BLOCK_HEADER_BYTES);
const nonceBytes = Buffer.alloc(12);

/** c[i-1] || header */
function associatedData(previous: Buffer, blockHeader: Buffer): Buffer {
  previous.copy(aad, 0);
  blockHeader.copy(aad, CHAIN_BYTES);
  return aad;
}

/** 0^8 || u32be seq */
function nonce(seq: number): Buffer {
  nonceBytes.writeUInt32BE(seq, 8);
  return nonceBytes;
}

export function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

function writeU64(target: Buffer, value: number, at: number): void {
  target.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  target.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}

/** One packet as it was heard. */
export interface JournalRecord {
  /** 0 is the caller, 1 the callee. */
  leg: number;
  /** See FLAG_*. */
  flags: number;
  /** Arrival, microseconds of the recorder's monotonic clock. */
  monotonicUs: number;
  /** Shares memory with the block: copy what must outlive it. */
  packet: Buffer;
}

/** True when the plaintext of a DATA block is a whole number of records. */
export function recordsAreWhole(plaintext: Buffer): boolean {
  let at = 0;
  while (plaintext.length - at >= RECORD_HEADER_BYTES) {
    at += RECORD_HEADER_BYTES + plaintext.readUInt16BE(at + 2);
  }
  return at === plaintext.length;
}

/** The records of a DATA block whose plaintext `recordsAreWhole`. */
export function* readRecords(
  plaintext: Buffer,
  blockMonotonicUs: number,
): Generator<JournalRecord, void, void> {
  let at = 0;
  while (at < plaintext.length) {
    const length = plaintext.readUInt16BE(at + 2);
    yield {
      leg: plaintext.readUInt8(at),
      flags: plaintext.readUInt8(at + 1),
      monotonicUs: blockMonotonicUs + plaintext.readUInt32BE(at + 4),
      packet: plaintext.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length),
    };
    at += RECORD_HEADER_BYTES + length;
  }
}

export type MarkKind = 'gap' | 'mute' | 'unmute' | 'ssrc' | 'clock' | 'reattach';

/** The plaintext of a MARK block: JSON in UTF-8. Only `mark` is always there. */
export interface JournalMark {
  mark: MarkKind;
  leg?: 0 | 1;
  /** Wall-clock ms of what is marked, when it is not the block's own time. */
  atMs?: number;
  /** The SSRC of the leg from here on. */
  ssrc?: number;
  /** RFC 8285 id of the leg's audio level extension (RFC 6464) from here on. */
  audioLevelExtId?: number;
  /** Clock step: wall minus monotonic moved by this much. */
  stepMs?: number;
  note?: string;
}

/** The plaintext of the END block: JSON in UTF-8. */
export interface JournalEnd {
  reason: string;
}

export const MAX_NOTE_BYTES = 4096;
const MARKS: ReadonlySet<string> = new Set<MarkKind>(['gap', 'mute', 'unmute', 'ssrc', 'clock', 'reattach']);

export function encodeJson(value: JournalMark | JournalEnd): Buffer {
  const bytes = Buffer.from(JSON.stringify(value), 'utf8');
  if (bytes.length > MAX_NOTE_BYTES) {
    throw new VerbatimError('internal', `a mark of ${bytes.length} bytes is too long`);
  }
  return bytes;
}

export function parseMark(plaintext: Buffer): JournalMark | undefined {
  const value = parseObject(plaintext);
  if (value === undefined || !('mark' in value) || typeof value.mark !== 'string') return undefined;
  // Checked: `mark` is one of the kinds. The other fields are the writer's, authenticated by the tag.
  return MARKS.has(value.mark) ? (value as JournalMark) : undefined;
}

export function parseEnd(plaintext: Buffer): JournalEnd | undefined {
  const value = parseObject(plaintext);
  if (value === undefined || !('reason' in value) || typeof value.reason !== 'string') return undefined;
  return { reason: value.reason };
}

function parseObject(plaintext: Buffer): object | undefined {
  if (plaintext.length > MAX_NOTE_BYTES) return undefined;
  try {
    const value: unknown = JSON.parse(plaintext.toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
