import { hkdfSync } from 'node:crypto';
import { Decrypter, Encrypter } from 'age-encryption';
import { VerbatimError } from '#protocol';

/** An age v1 header with its file key. The key exists in memory only. */
export interface AgeHeader {
  header: Buffer;
  fileKey: Buffer;
}

/** What `Encrypter` appends to the header for an empty file: 16 bytes of nonce and one empty chunk's tag. */
const EMPTY_PAYLOAD_BYTES = 32;
/** A header grows by about 100 bytes a recipient; a longer one is not ours. */
export const MAX_AGE_HEADER_BYTES = 16 * 1024;

/**
 * Makes a fresh file key and the header that wraps it for `recipients` (age1...).
 * The `age-encryption` package keeps the file key to itself, so a recipient of our own that adds no stanza
 * looks at it; the header is what stands before the payload of an empty file.
 */
export async function createAgeHeader(recipients: readonly string[]): Promise<AgeHeader> {
  if (recipients.length === 0) throw new VerbatimError('internal', 'at least one age recipient is needed');
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  let fileKey: Buffer | undefined;
  encrypter.addRecipient({
    wrapFileKey(key) {
      fileKey = Buffer.from(key);
      return [];
    },
  });
  const file = await encrypter.encrypt(new Uint8Array(0));
  if (fileKey?.length !== 16) throw new VerbatimError('internal', 'age gave no 16-byte file key');
  return { header: Buffer.from(file.subarray(0, file.length - EMPTY_PAYLOAD_BYTES)), fileKey };
}

/** The file key of a header. Throws `corrupt` when no identity opens it or its MAC is wrong. */
export async function openAgeHeader(header: Uint8Array, identity: string): Promise<Buffer> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  try {
    return Buffer.from(await decrypter.decryptHeader(header));
  } catch (cause) {
    throw new VerbatimError('corrupt', 'the age header does not open with this identity', { cause });
  }
}

/** HKDF-SHA-256 (RFC 5869) to 32 bytes. */
export function hkdf32(ikm: Uint8Array, salt: Uint8Array | string, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', ikm, salt, info, 32));
}
