import { LedgerError } from './error.ts';

/** Canonical base64 (RFC 4648 section 4, with padding) of `length` bytes, or of any number of them. */
export function decodeBase64(text: string, what: string, length?: number): Buffer {
  const bytes = Buffer.from(text, 'base64');
  // Decoding forgives; writing it again shows what was forgiven: alphabet, padding, stray bits, spaces.
  if (bytes.toString('base64') !== text) throw new LedgerError(`${what}: expected canonical base64`);
  if (length !== undefined && bytes.length !== length) {
    throw new LedgerError(`${what}: expected ${length} bytes, got ${bytes.length}`);
  }
  return bytes;
}

/** A whole number in decimal, without sign or leading zeros, that JavaScript holds exactly. */
export function decodeNumber(text: string, what: string): number {
  const value = Number(text);
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text) || !Number.isSafeInteger(value)) {
    throw new LedgerError(
      `${what}: expected a whole number without leading zeros, got ${JSON.stringify(text.slice(0, 40))}`,
    );
  }
  return value;
}
