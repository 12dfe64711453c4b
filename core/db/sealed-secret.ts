import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { VerbatimError } from '#protocol';

/*
 * How an app's HS256 secret lies in the database: AES-256-GCM (NIST SP 800-38D) under the server's seal key.
 *  0   1   version, 1
 *  1  12   nonce, random
 * 13   n   ciphertext
 * ..  16   tag
 * The key id is authenticated with it, so a row cannot be given another row's secret.
 */
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + NONCE_BYTES;

/**
 * Seals a secret for the column `app_keys.secret_sealed`. `sealKey` has 32 bytes.
 * A random 96-bit nonce is safe here: a server makes far fewer than 2^32 keys (NIST SP 800-38D, 8.3).
 */
export function sealSecret(sealKey: Buffer, kid: string, secret: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', sealKey, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bindingOf(kid));
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), nonce, ciphertext, cipher.getAuthTag()]);
}

/** Opens what sealSecret made. Throws VerbatimError `corrupt` for anything else, another server's included. */
export function openSealedSecret(sealKey: Buffer, kid: string, sealed: Uint8Array): Buffer {
  const bytes = Buffer.from(sealed);
  if (bytes.length <= HEADER_BYTES + TAG_BYTES || bytes[0] !== VERSION) {
    throw new VerbatimError('corrupt', `The stored secret of the key ${kid} has an unknown form.`);
  }
  const nonce = bytes.subarray(1, HEADER_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', sealKey, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(bindingOf(kid));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(HEADER_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new VerbatimError(
      'corrupt',
      `The stored secret of the key ${kid} does not open with this seal key.`,
      {
        cause,
      },
    );
  }
}

/** Names the use as well: a sealed thing of another kind never opens as an app's secret. */
function bindingOf(kid: string): Buffer {
  return Buffer.from(`verbatim/app-key/v1\n${kid}`);
}
