import { VerbatimError } from '#protocol';
import { LIGHT_BLOCK_BYTES, lightHead } from './journal-format.ts';
import type { JournalStatus } from './journal-reader.ts';
import { readJournal } from './journal-reader.ts';

/**
 * A journal without what was said: enough to compute every head of its chain, and nothing to hear. Whoever holds a
 * head that left the server (a receipt, an evidence bundle) checks with it that the journal still has that head.
 */
export interface LightChain {
  /** The file header without c[0], as stored: magic, length, JSON. Empty when it is not whole. */
  header: Buffer;
  /** c[0] = SHA-256(header), hex; empty as above. */
  c0: string;
  /** For each verified block behind `after`, 64 bytes: block header || SHA-256(ciphertext). */
  blocks: Buffer;
  /** The last verified block of the journal, and its head (hex). */
  seq: number;
  head: string;
  status: JournalStatus;
}

/** 64 MiB; at a block a second this is twelve days. */
export const MAX_LIGHT_BLOCKS = 1_048_576;

/**
 * Reads the light chain of a journal; needs no key, and holds one window of the file and the result. `after`: leaves
 * out the blocks up to this number, for whoever knows their head. Only verified blocks are in it: those of a torn journal
 * up to the tear, of a corrupt one up to the damage.
 * @throws VerbatimError `too_large` for more than MAX_LIGHT_BLOCKS; and what reading the file throws.
 */
export async function lightChain(path: string, { after = 0 }: { after?: number } = {}): Promise<LightChain> {
  const reader = await readJournal(path, { light: true });
  let blocks = Buffer.alloc(64 * LIGHT_BLOCK_BYTES);
  let used = 0;
  for await (const { seq, light } of reader) {
    if (seq <= after || light === undefined) continue;
    if (used === MAX_LIGHT_BLOCKS * LIGHT_BLOCK_BYTES) {
      const message = `${path} has more than ${MAX_LIGHT_BLOCKS} blocks`;
      throw new VerbatimError('too_large', message);
    }
    if (used === blocks.length) blocks = Buffer.concat([blocks, Buffer.alloc(used)]);
    used += light.copy(blocks, used);
  }
  const { seq, head, status } = reader.result;
  const { headerBytes: header, startHead: c0 } = reader;
  return { header, c0, blocks: blocks.subarray(0, used), seq, head, status };
}

/**
 * Every head from `head` on: c[i] for each of the light blocks that follow it, in order.
 * @throws RangeError when the bytes are no whole number of light blocks, or the head is no SHA-256.
 */
export function* foldChain(head: Uint8Array, blocks: Uint8Array): Generator<Buffer, void, void> {
  if (head.length !== 32) throw new RangeError(`a head has 32 bytes, not ${head.length}`);
  if (blocks.length % LIGHT_BLOCK_BYTES !== 0)
    throw new RangeError(`${blocks.length} bytes are no whole number of light blocks`);
  let previous: Uint8Array = head;
  for (let at = 0; at < blocks.length; at += LIGHT_BLOCK_BYTES) {
    const next = lightHead(previous, blocks.subarray(at, at + LIGHT_BLOCK_BYTES));
    yield next;
    previous = next;
  }
}
