import { open } from 'node:fs/promises';
import {
  BLOCK_HEADER_BYTES,
  CHAIN_BYTES,
  chainHead,
  MAX_NOTE_BYTES,
  readBlockHeader,
  TAG_BYTES,
} from './journal-format.ts';

/** Before a block stands c[i-1], whatever comes before it. */
const MAX_END_BYTES = CHAIN_BYTES + BLOCK_HEADER_BYTES + MAX_NOTE_BYTES + TAG_BYTES + CHAIN_BYTES;

/**
 * True when the last block of a journal is END, and follows the block before it by the chain. Reads a few kilobytes
 * however long the call was, and says nothing about the blocks before: for that there is `verifyJournal`.
 */
export async function endsWithEnd(path: string): Promise<boolean> {
  const tail = await lastBytes(path, MAX_END_BYTES);
  // END is the shortest of blocks, so the search begins at its last possible place; its own length must fit the file.
  const last = tail.length - BLOCK_HEADER_BYTES - TAG_BYTES - CHAIN_BYTES;
  for (let at = last; at >= CHAIN_BYTES; at -= 1) {
    const header = readBlockHeader(tail, at);
    if (header?.type !== 'end') continue;
    const bodyAt = at + BLOCK_HEADER_BYTES;
    const chainAt = bodyAt + header.ciphertextBytes;
    if (chainAt + CHAIN_BYTES !== tail.length) continue;
    const previous = tail.subarray(at - CHAIN_BYTES, at);
    const head = chainHead(previous, tail.subarray(at, bodyAt), tail.subarray(bodyAt, chainAt));
    if (head.equals(tail.subarray(chainAt))) return true;
  }
  return false;
}

async function lastBytes(path: string, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(length, size));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, size - buffer.length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
