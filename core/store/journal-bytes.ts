import { open } from 'node:fs/promises';
import type { BlockHeader } from './journal-format.ts';
import { BLOCK_HEADER_BYTES, CHAIN_BYTES, readBlockHeader } from './journal-format.ts';

export interface RawBlock {
  header: BlockHeader;
  headerBytes: Buffer;
  ciphertext: Buffer;
  chain: Buffer;
  sizeBytes: number;
}

/** Random access to a journal's bytes. What is returned is valid until the next call. */
export abstract class JournalBytes {
  abstract readonly sizeBytes: number;

  /** Up to `length` bytes, fewer at the end. */
  abstract read(offset: number, length: number): Promise<Buffer>;
  abstract find(what: Buffer, from: number): Promise<number | undefined>;
  abstract close(): Promise<void>;

  /** A whole block with a plausible header, or undefined. */
  async block(offset: number): Promise<RawBlock | undefined> {
    const header = readBlockHeader(await this.read(offset, BLOCK_HEADER_BYTES), 0);
    if (header === undefined) return undefined;
    const sizeBytes = BLOCK_HEADER_BYTES + header.ciphertextBytes + CHAIN_BYTES;
    if (offset + sizeBytes > this.sizeBytes) return undefined;
    const bytes = await this.read(offset, sizeBytes);
    if (bytes.length !== sizeBytes) return undefined;
    return {
      header,
      headerBytes: bytes.subarray(0, BLOCK_HEADER_BYTES),
      ciphertext: bytes.subarray(BLOCK_HEADER_BYTES, sizeBytes - CHAIN_BYTES),
      chain: bytes.subarray(sizeBytes - CHAIN_BYTES),
      sizeBytes,
    };
  }
}

export class MemoryBytes extends JournalBytes {
  readonly #bytes: Buffer;
  readonly sizeBytes: number;

  constructor(bytes: Buffer) {
    super();
    this.#bytes = bytes;
    this.sizeBytes = bytes.length;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return this.#bytes.subarray(offset, offset + length);
  }

  async find(what: Buffer, from: number): Promise<number | undefined> {
    const at = this.#bytes.indexOf(what, from);
    return at < 0 ? undefined : at;
  }

  async close(): Promise<void> {}
}

/** Two of the largest blocks fit. */
const WINDOW_BYTES = 4 * 1024 * 1024;

export class FileBytes extends JournalBytes {
  readonly #handle: Awaited<ReturnType<typeof open>>;
  readonly sizeBytes: number;
  #window = Buffer.alloc(0);
  #windowFrom = 0;
  #closed = false;

  private constructor(handle: Awaited<ReturnType<typeof open>>, sizeBytes: number) {
    super();
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
  }

  static async open(path: string): Promise<FileBytes> {
    const handle = await open(path, 'r');
    try {
      return new FileBytes(handle, (await handle.stat()).size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const wanted = Math.max(0, Math.min(length, this.sizeBytes - offset));
    const from = offset - this.#windowFrom;
    if (from >= 0 && from + wanted <= this.#window.length) return this.#window.subarray(from, from + wanted);
    const buffer = Buffer.allocUnsafeSlow(Math.max(wanted, Math.min(WINDOW_BYTES, this.sizeBytes - offset)));
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    this.#window = buffer.subarray(0, filled);
    this.#windowFrom = offset;
    return this.#window.subarray(0, Math.min(wanted, filled));
  }

  async find(what: Buffer, from: number): Promise<number | undefined> {
    let at = from;
    while (at + what.length <= this.sizeBytes) {
      const bytes = await this.read(at, WINDOW_BYTES);
      const found = bytes.indexOf(what);
      if (found >= 0) return at + found;
      if (bytes.length < what.length) return undefined;
      // The next window begins so that a match across the border is not missed.
      at += bytes.length - what.length + 1;
    }
    return undefined;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }
}
