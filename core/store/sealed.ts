import { createDecipheriv } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, readFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { VerbatimError } from '#protocol';
import { hkdf32, MAX_AGE_HEADER_BYTES, openAgeHeader } from './age.ts';

/**
 * age v1 (https://age-encryption.org/v1) with the header in a file of its own, so that destroying a few
 * hundred bytes destroys the recording. The payload:
 *
 *  0  16  nonce; key = HKDF-SHA-256(file key, nonce, "payload")
 * 16  ..  chunks of 65536 plaintext bytes and a 16-byte tag, the last one shorter or equal:
 *         ChaCha20-Poly1305, nonce = u88be chunk number || u8 1 for the last chunk, else 0
 */
export const PAYLOAD_NONCE_BYTES = 16;
export const CHUNK_BYTES = 64 * 1024;
export const TAG_BYTES = 16;
export const SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES;
/** Chunks that `stream` decrypts at a time. */
const STREAM_CHUNKS = 4;

export interface OpenSealedOptions {
  pay: string;
  hdr: string;
  /** AGE-SECRET-KEY-1... */
  identity: string;
}

/**
 * Opens a sealed recording for reading at any place. The last chunk is decrypted first: only its tag says that
 * the file is whole, so a size is never reported for one that was cut. Throws `corrupt` for anything that does
 * not verify, `not_found` when a file is missing.
 */
export async function openSealed(options: OpenSealedOptions): Promise<SealedFile> {
  return SealedFile.open(options);
}

export class SealedFile {
  /** Of the plaintext; authenticated. */
  readonly sizeBytes: number;
  readonly #handle: FileHandle;
  readonly #key: Buffer;
  readonly #chunks: number;
  #closed = false;
  #closing: Promise<void> | undefined;
  #reads = 0;
  #idle: (() => void) | undefined;

  private constructor(handle: FileHandle, key: Buffer, chunks: number, sizeBytes: number) {
    this.#handle = handle;
    this.#key = key;
    this.#chunks = chunks;
    this.sizeBytes = sizeBytes;
  }

  static async open({ pay, hdr, identity }: OpenSealedOptions): Promise<SealedFile> {
    const fileKey = await openAgeHeader(await readHeader(hdr), identity);
    const handle = await openForReading(pay);
    try {
      const { size } = await handle.stat();
      const bodyBytes = size - PAYLOAD_NONCE_BYTES;
      const chunks = Math.ceil(bodyBytes / SEALED_CHUNK_BYTES);
      const lastBytes = bodyBytes - (chunks - 1) * SEALED_CHUNK_BYTES;
      // The last chunk may be empty only when it is the only one.
      if (bodyBytes < TAG_BYTES || lastBytes < TAG_BYTES || (chunks > 1 && lastBytes === TAG_BYTES)) {
        throw new VerbatimError('corrupt', `${pay}: ${size} bytes is no possible size of a payload`);
      }
      const nonce = await readExactly(handle, 0, PAYLOAD_NONCE_BYTES);
      const key = hkdf32(fileKey, nonce, 'payload');
      const sealed = await readExactly(handle, chunkOffset(chunks - 1), lastBytes);
      openChunk(key, chunks - 1, true, sealed);
      const sizeBytes = (chunks - 1) * CHUNK_BYTES + lastBytes - TAG_BYTES;
      return new SealedFile(handle, key, chunks, sizeBytes);
    } catch (error) {
      await handle.close();
      throw error;
    } finally {
      fileKey.fill(0);
    }
  }

  /** `length` plaintext bytes from `offset`, fewer at the end of the file. Decrypts only the chunks it needs. */
  async read(offset: number, length: number): Promise<Buffer> {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
      throw new VerbatimError('range_not_satisfiable', `no bytes at offset ${offset}, length ${length}`);
    }
    const end = Math.min(offset + length, this.sizeBytes);
    if (this.#closed) throw new VerbatimError('internal', 'the sealed file is closed');
    if (offset >= end) return Buffer.alloc(0);
    this.#reads += 1;
    try {
      const first = Math.floor(offset / CHUNK_BYTES);
      const last = Math.floor((end - 1) / CHUNK_BYTES);
      const sealedEnd = last === this.#chunks - 1 ? this.#sealedEnd() : chunkOffset(last + 1);
      const sealed = await readExactly(this.#handle, chunkOffset(first), sealedEnd - chunkOffset(first));
      const parts: Buffer[] = [];
      for (let index = first; index <= last; index += 1) {
        const from = (index - first) * SEALED_CHUNK_BYTES;
        const chunk = sealed.subarray(from, from + SEALED_CHUNK_BYTES);
        parts.push(openChunk(this.#key, index, index === this.#chunks - 1, chunk));
      }
      const plain = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
      return plain.subarray(offset - first * CHUNK_BYTES, end - first * CHUNK_BYTES);
    } finally {
      this.#reads -= 1;
      if (this.#reads === 0) this.#idle?.();
    }
  }

  /** The plaintext bytes `offset` to `end` (exclusive). The file stays open when the stream ends. */
  stream(offset = 0, end = this.sizeBytes): Readable {
    return Readable.from(this.#pieces(offset, Math.min(end, this.sizeBytes)), { objectMode: false });
  }

  /** Idempotent; waits for reads under way. */
  close(): Promise<void> {
    this.#closing ??= this.#shut();
    return this.#closing;
  }

  async #shut(): Promise<void> {
    this.#closed = true;
    if (this.#reads > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.#key.fill(0);
    await this.#handle.close();
  }

  async *#pieces(offset: number, end: number): AsyncGenerator<Buffer, void, void> {
    for (let at = offset; at < end; ) {
      // Ends at a chunk border, so that no chunk is decrypted twice.
      const border = (Math.floor(at / CHUNK_BYTES) + STREAM_CHUNKS) * CHUNK_BYTES;
      const piece = await this.read(at, Math.min(border, end) - at);
      yield piece;
      at += piece.length;
    }
  }

  #sealedEnd(): number {
    return PAYLOAD_NONCE_BYTES + this.sizeBytes + this.#chunks * TAG_BYTES;
  }
}

function chunkOffset(index: number): number {
  return PAYLOAD_NONCE_BYTES + index * SEALED_CHUNK_BYTES;
}

function openChunk(key: Buffer, index: number, last: boolean, sealed: Buffer): Buffer {
  const bodyBytes = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('chacha20-poly1305', key, chunkNonce(index, last), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAuthTag(sealed.subarray(bodyBytes));
  const plaintext = decipher.update(sealed.subarray(0, bodyBytes));
  try {
    decipher.final();
  } catch (cause) {
    throw new VerbatimError('corrupt', `chunk ${index} of the sealed file does not verify`, { cause });
  }
  return plaintext;
}

/** u88be number || last. A number beyond 2^48 would be 18 exabytes. */
export function chunkNonce(index: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(index, 5, 6);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

async function readHeader(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > MAX_AGE_HEADER_BYTES)
      throw new VerbatimError('corrupt', `${path} is too long for an age header`);
    return await readFile(path);
  } catch (cause) {
    throw missing(cause, path);
  }
}

async function openForReading(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    throw missing(cause, path);
  }
}

function missing(cause: unknown, path: string): unknown {
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
    return new VerbatimError('not_found', `${path} is not there`, { cause });
  }
  return cause;
}

async function readExactly(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0)
      throw new VerbatimError('corrupt', 'the sealed file is shorter than it was when opened');
    filled += bytesRead;
  }
  return buffer;
}
