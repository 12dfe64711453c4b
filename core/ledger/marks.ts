import { createHmac } from 'node:crypto';
import { LedgerError } from './error.ts';

/** Bytes of a recording's salt. It lies beside the sealed header and dies with it. */
export const SALT_BYTES = 32;

/**
 * What stands in the ledger in place of a name: HMAC-SHA-256(salt, "<kind>\n<value>"), hex. Equal within one recording,
 * different between two, and without the salt nobody can tell whose it is, not even by trying all names.
 */
export function mark(salt: Uint8Array, kind: string, value: string): string {
  assertSalt(salt);
  return createHmac('sha256', salt).update(`${kind}\n${value}`).digest('hex');
}

/** The mark of a party of the call. */
export function partyMark(salt: Uint8Array, userId: string): string {
  return mark(salt, 'party', userId);
}

/** Binds the ledger to a file, by its two digests, without telling anything about the file while the salt is secret. */
export function commitment(salt: Uint8Array, sha256: Uint8Array, sha512: Uint8Array): string {
  assertSalt(salt);
  if (sha256.length !== 32 || sha512.length !== 64)
    throw new LedgerError('expected digests of 32 and 64 bytes');
  return createHmac('sha256', salt)
    .update('verbatim/commit/v1\n')
    .update(sha256)
    .update(sha512)
    .digest('hex');
}

function assertSalt(salt: Uint8Array): void {
  if (salt.length !== SALT_BYTES)
    throw new LedgerError(`expected a salt of ${SALT_BYTES} bytes, got ${salt.length}`);
}
