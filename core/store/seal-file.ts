import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VerbatimError } from '#protocol';
import { createAgeHeader, hkdf32 } from './age.ts';
import { fsyncDir, isErrno, mkdirDurable } from './durable.ts';
import { storeError } from './files.ts';
import { CHUNK_BYTES, chunkNonce, PAYLOAD_NONCE_BYTES, TAG_BYTES } from './sealed.ts';

export interface SealFileOptions {
  plaintext: Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  /** Where payload and header shall lie; what is there already is replaced. */
  pay: string;
  hdr: string;
  /** age recipients (age1...). */
  recipients: readonly string[];
  /**
   * Looks at the finished temporary files before they get their names, for example to decrypt and compare.
   * When it throws nothing appears at `pay` and `hdr`.
   */
  verify?: (temporary: { pay: string; hdr: string }) => Promise<void>;
}

export interface SealResult {
  /** Of the plaintext. */
  sizeBytes: number;
  /** Hex, of the plaintext. */
  sha256: string;
  paySizeBytes: number;
  /** Hex. */
  paySha256: string;
  hdrSizeBytes: number;
  /** Hex. */
  hdrSha256: string;
}

/**
 * Encrypts a recording (sealed.ts has the format): temporary files, fsync, `verify`, rename, fsync of the directory. Durable on return.
 *
 * What a crash means at each step, and an error likewise, after which the temporaries are removed:
 * 1. While a temporary is made, written or synced: there is none, or a part of one, under a name that nobody reads. The
 *    next run removes it.
 * 2. After the payload got its name: a payload without a header is no recording, only bytes that nobody can open. The
 *    next run replaces it.
 * 3. After the header got its name: the recording may be there or, when the power went, only one of the two names. Who
 *    finds it whole makes the names durable (`fsyncDir`) before saying so.
 * The temporaries have one name for each recording: of two runs at once the one that began first finds that its files
 * are not its own any more, and gives up (`conflict`) before it renames anything.
 */
export async function sealFile(options: SealFileOptions): Promise<SealResult> {
  const { header, fileKey } = await createAgeHeader(options.recipients);
  const temporary = sealingTemporaries(options);
  const own: OwnFile[] = [];
  try {
    await mkdirDurable(dirname(options.pay));
    await mkdirDurable(dirname(options.hdr));
    await removeSealingLeftovers(options);
    const payload = await writePayload(temporary.pay, own, fileKey, options.plaintext);
    await writeWhole(temporary.hdr, own, header);
    await options.verify?.(temporary);
    for (const file of own) await assertOwn(file);
    await rename(temporary.pay, options.pay);
    // The header last: a payload without its header is no recording.
    await rename(temporary.hdr, options.hdr);
    await fsyncDir(dirname(options.pay));
    if (dirname(options.hdr) !== dirname(options.pay)) await fsyncDir(dirname(options.hdr));
    const hdrSha256 = createHash('sha256').update(header).digest('hex');
    return { ...payload, hdrSizeBytes: header.length, hdrSha256 };
  } catch (error) {
    for (const file of own) await removeOwn(file);
    throw storeError(error, `sealing ${options.pay}`);
  } finally {
    fileKey.fill(0);
    // What was synced is durable whatever closing says.
    await Promise.allSettled(own.map(({ handle }) => handle.close()));
  }
}

/** Where a recording is written before it has its names. */
export function sealingTemporaries({ pay, hdr }: { pay: string; hdr: string }): { pay: string; hdr: string } {
  return { pay: `${pay}.tmp`, hdr: `${hdr}.tmp` };
}

/** Removes what a run that was killed left of a recording: it could be opened like the recording itself. */
export async function removeSealingLeftovers(file: { pay: string; hdr: string }): Promise<void> {
  const { pay, hdr } = sealingTemporaries(file);
  await rm(pay, { force: true });
  await rm(hdr, { force: true });
}

/** A temporary that this run made, told from another one of the same name. */
interface OwnFile {
  path: string;
  inode: bigint;
  /** Open to the end: as long as it is, no other file gets the same inode. */
  handle: FileHandle;
}

async function createOwn(path: string, own: OwnFile[]): Promise<FileHandle> {
  const handle = await open(path, 'wx', 0o600);
  try {
    own.push({ path, inode: (await handle.stat({ bigint: true })).ino, handle });
    return handle;
  } catch (error) {
    await handle.close();
    // O_EXCL made it, so it is nobody else's.
    await rm(path, { force: true });
    throw error;
  }
}

async function isOwn({ path, inode }: OwnFile): Promise<boolean> {
  try {
    return (await stat(path, { bigint: true })).ino === inode;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

async function assertOwn(file: OwnFile): Promise<void> {
  if (!(await isOwn(file)))
    throw new VerbatimError('conflict', `${file.path}: another run seals the same recording`);
}

async function removeOwn(file: OwnFile): Promise<void> {
  try {
    if (await isOwn(file)) await rm(file.path, { force: true });
  } catch {
    // The first error is the one to tell. What this disk does not let go of now the next run removes.
  }
}

async function writePayload(
  path: string,
  own: OwnFile[],
  fileKey: Buffer,
  plaintext: SealFileOptions['plaintext'],
): Promise<Omit<SealResult, 'hdrSizeBytes' | 'hdrSha256'>> {
  const nonce = randomBytes(PAYLOAD_NONCE_BYTES);
  const key = hkdf32(fileKey, nonce, 'payload');
  const plainHash = createHash('sha256');
  const payHash = createHash('sha256');
  let sizeBytes = 0;
  let paySizeBytes = 0;
  const handle = await createOwn(path, own);
  try {
    const write = async (bytes: Buffer): Promise<void> => {
      payHash.update(bytes);
      await handle.writeFile(bytes);
      paySizeBytes += bytes.length;
    };
    await write(nonce);
    let index = 0;
    for await (const { chunk, last } of chunksOf(plaintext)) {
      plainHash.update(chunk);
      sizeBytes += chunk.length;
      await write(sealChunk(key, index, last, chunk));
      index += 1;
    }
    await handle.sync();
  } finally {
    key.fill(0);
  }
  return { sizeBytes, sha256: plainHash.digest('hex'), paySizeBytes, paySha256: payHash.digest('hex') };
}

/** Full chunks, and one last that is empty only when the whole file is. Only the end says which is the last. */
async function* chunksOf(
  plaintext: SealFileOptions['plaintext'],
): AsyncGenerator<{ chunk: Buffer; last: boolean }, void, void> {
  const parts = plaintext instanceof Uint8Array ? [plaintext] : plaintext;
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let used = 0;
  for await (const part of parts) {
    for (let at = 0; at < part.length; ) {
      if (used === CHUNK_BYTES) {
        yield { chunk: buffer, last: false };
        used = 0;
      }
      const taken = Math.min(CHUNK_BYTES - used, part.length - at);
      buffer.set(part.subarray(at, at + taken), used);
      used += taken;
      at += taken;
    }
  }
  yield { chunk: buffer.subarray(0, used), last: true };
}

async function writeWhole(path: string, own: OwnFile[], bytes: Uint8Array): Promise<void> {
  const handle = await createOwn(path, own);
  await handle.writeFile(bytes);
  await handle.sync();
}

function sealChunk(key: Buffer, index: number, last: boolean, plaintext: Uint8Array): Buffer {
  const cipher = createCipheriv('chacha20-poly1305', key, chunkNonce(index, last), {
    authTagLength: TAG_BYTES,
  });
  const body = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([body, cipher.getAuthTag()]);
}
