/** Something in the evidence does not fit: the message says what was expected and what came. */
export class EvidenceError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'EvidenceError';
  }
}

/** Bytes as Web Crypto takes them. */
export type Bytes = Uint8Array<ArrayBuffer>;

export const utf8 = (text: string): Bytes => new TextEncoder().encode(text);

/** Strict UTF-8; a byte order mark is kept, since it is a part of what was signed. */
export function textOf(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new EvidenceError(`${what} is not UTF-8`, { cause });
  }
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function fromHex(text: string, what: string, length?: number): Bytes {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new EvidenceError(`${what}: expected lower-case hex digits`);
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at += 1)
    bytes[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16);
  return ofLength(bytes, what, length);
}

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Canonical base64 only (RFC 4648 section 4). */
export function fromBase64(text: string, what: string, length?: number): Bytes {
  let binary: string;
  try {
    binary = atob(text);
  } catch (cause) {
    throw new EvidenceError(`${what}: expected base64`, { cause });
  }
  // Decoding forgives spaces and stray bits; writing it again shows it.
  if (btoa(binary) !== text) throw new EvidenceError(`${what}: expected canonical base64`);
  return ofLength(
    Uint8Array.from(binary, (character) => character.charCodeAt(0)),
    what,
    length,
  );
}

export function fromBase64Url(text: string, what: string): Bytes {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new EvidenceError(`${what}: expected base64url`);
  const plain = text.replaceAll('-', '+').replaceAll('_', '/');
  return fromBase64(plain.padEnd(Math.ceil(plain.length / 4) * 4, '='), what);
}

/** A whole number in decimal without leading zeros. */
export function numberOf(text: string, what: string): number {
  const value = Number(text);
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text) || !Number.isSafeInteger(value)) {
    throw new EvidenceError(`${what}: expected a whole number`);
  }
  return value;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

export async function sha512(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-512', bytes));
}

/** HMAC-SHA-256. */
export async function hmac(key: Bytes, bytes: Bytes): Promise<Bytes> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await crypto.subtle.importKey('raw', key, algorithm, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', imported, bytes));
}

function ofLength(bytes: Bytes, what: string, length: number | undefined): Bytes {
  if (length !== undefined && bytes.length !== length) {
    throw new EvidenceError(`${what}: expected ${length} bytes, got ${bytes.length}`);
  }
  return bytes;
}
