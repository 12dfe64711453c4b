import type { Bytes } from './bytes.ts';
import { concat, EvidenceError, sha256, textOf, toHex } from './bytes.ts';

/** Of each block a light chain keeps its 32-byte header and the SHA-256 of what it encrypts. */
export const LIGHT_BLOCK_BYTES = 64;

/** Every head from `head` on, hex: c[i] = SHA-256(0x02 || c[i-1] || header || SHA-256(ciphertext)). */
export async function foldChain(head: Bytes, blocks: Bytes): Promise<string[]> {
  if (blocks.length % LIGHT_BLOCK_BYTES !== 0)
    throw new EvidenceError('the chain ends in the middle of a block');
  const heads: string[] = [];
  let last = head;
  for (let at = 0; at < blocks.length; at += LIGHT_BLOCK_BYTES) {
    last = await sha256(concat(Uint8Array.of(2), last, blocks.subarray(at, at + LIGHT_BLOCK_BYTES)));
    heads.push(toHex(last));
  }
  return heads;
}

export interface LightChain {
  recording: string;
  call: string;
  epoch: number;
  /** c[0], c[1], ...: hex. */
  heads: string[];
}

/** A file of a bundle: the journal's file header (magic, u32 length, JSON), then 64 bytes for each block. */
export async function readChain(bytes: Bytes): Promise<LightChain> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || textOf(bytes.subarray(0, 8), 'journal header') !== 'SCJRNL1\n') {
    throw new EvidenceError('expected the header of a journal');
  }
  const end = 12 + view.getUint32(8);
  if (end > bytes.length) throw new EvidenceError('the header of the journal is cut off');
  const start = await sha256(bytes.slice(0, end));
  const about: unknown = JSON.parse(textOf(bytes.subarray(12, end), 'journal header'));
  const { recording, call, epoch } = Object(about);
  if (typeof recording !== 'string' || typeof call !== 'string' || typeof epoch !== 'number') {
    throw new EvidenceError('the header of the journal names no recording');
  }
  return { recording, call, epoch, heads: [toHex(start), ...(await foldChain(start, bytes.slice(end)))] };
}
