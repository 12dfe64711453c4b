import type { KeyObject } from 'node:crypto';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
} from 'node:crypto';
import { decodeBase64 } from './base64.ts';
import { LedgerError } from './error.ts';

/** C2SP signed-note: a text, an empty line, and a line for each signature: em dash, space, key name, space, base64. */
const MARK = '— ';
/** The signature type of plain Ed25519. */
const ED25519 = 1;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const HASH_PREFIX_BYTES = 4;
const MAX_SIGNATURES = 16;
const MAX_NOTE_CHARACTERS = 64 * 1024;

/** Signs texts. Shows nothing of its key but the public half. */
export interface NoteSigner {
  readonly name: string;
  /** 8 hex digits. */
  readonly keyHash: string;
  /** `<name>+<hash>+<base64 of type and public key>` */
  readonly vkey: string;
  sign(text: string): Buffer;
}

export interface NoteVerifier {
  readonly name: string;
  readonly keyHash: string;
  readonly vkey: string;
  verify(text: string, signature: Uint8Array): boolean;
}

/** A new Ed25519 key for a log, as the texts of C2SP signed-note. `skey` is a secret. */
export function generateLogKey(name: string): { skey: string; vkey: string } {
  assertName(name);
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const seed = rawOf(privateKey, 'd');
  const verifier = keyText(name, rawOf(publicKey, 'x'));
  const hash = verifier.split('+')[1] ?? '';
  const body = Buffer.concat([Buffer.of(ED25519), seed]).toString('base64');
  return { skey: `PRIVATE+KEY+${name}+${hash}+${body}`, vkey: verifier };
}

/** Throws LedgerError, without quoting the key, when it is not one. */
export function openSigner(skey: string): NoteSigner {
  const parts = /^PRIVATE\+KEY\+([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(skey);
  const [, name, keyHash, body] = parts ?? [];
  if (name === undefined || keyHash === undefined || body === undefined) {
    throw new LedgerError('expected a private key, PRIVATE+KEY+<name>+<hash>+<base64>');
  }
  const bytes = decodeBase64(body, 'private key', 1 + KEY_BYTES);
  if (bytes[0] !== ED25519) throw new LedgerError('expected an Ed25519 private key');
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_PREFIX, bytes.subarray(1)]),
    format: 'der',
    type: 'pkcs8',
  });
  const vkey = keyText(name, rawOf(createPublicKey(key), 'x'));
  if (vkey.split('+')[1] !== keyHash)
    throw new LedgerError('the hash in the private key is not that of its public key');
  return { name, keyHash, vkey, sign: (text) => sign(null, Buffer.from(text), key) };
}

/** Throws LedgerError when the text is not an Ed25519 verifier key or its hash is wrong. */
export function openVerifier(vkey: string): NoteVerifier {
  const [, name, keyHash, body] = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey) ?? [];
  if (name === undefined || keyHash === undefined || body === undefined) {
    throw new LedgerError('expected a verifier key, <name>+<hash>+<base64>');
  }
  const bytes = decodeBase64(body, 'verifier key', 1 + KEY_BYTES);
  if (bytes[0] !== ED25519) throw new LedgerError('expected an Ed25519 verifier key');
  if (keyText(name, bytes.subarray(1)) !== vkey)
    throw new LedgerError('the hash in the verifier key is not its own');
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, bytes.subarray(1)]),
    format: 'der',
    type: 'spki',
  });
  return {
    name,
    keyHash,
    vkey,
    verify: (text, signature) => verify(null, Buffer.from(text), key, signature),
  };
}

/** The note of this text with a signature of each signer, in their order. The text ends with a newline. */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  assertText(text);
  if (signers.length === 0) throw new LedgerError('a note needs a signature');
  const lines = signers.map((signer) => {
    const body = Buffer.concat([Buffer.from(signer.keyHash, 'hex'), signer.sign(text)]);
    return `${MARK}${signer.name} ${body.toString('base64')}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

/**
 * The text of a note, and which of these keys signed it: one at least. Signatures by other keys are ignored, a wrong
 * one by a known key is refused, as is a key that signed twice. Throws LedgerError.
 */
export function openNote(
  note: string,
  verifiers: readonly NoteVerifier[],
): { text: string; verified: NoteVerifier[] } {
  if (note.length > MAX_NOTE_CHARACTERS)
    throw new LedgerError(`a note has at most ${MAX_NOTE_CHARACTERS} characters`);
  // The last empty line: the text itself may hold others.
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n'))
    throw new LedgerError('expected a text, an empty line and signature lines');
  const text = note.slice(0, split + 1);
  assertText(text);
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) throw new LedgerError(`a note has at most ${MAX_SIGNATURES} signatures`);
  const verified: NoteVerifier[] = [];
  for (const line of lines) {
    const { name, keyHash, signature } = signatureLine(line);
    const verifier = verifiers.find((each) => each.name === name && each.keyHash === keyHash);
    if (verifier === undefined) continue;
    if (verified.includes(verifier)) throw new LedgerError(`the key ${name}+${keyHash} signed twice`);
    if (signature.length !== SIGNATURE_BYTES || !verifier.verify(text, signature)) {
      throw new LedgerError(`the signature by ${name}+${keyHash} is wrong`);
    }
    verified.push(verifier);
  }
  if (verified.length === 0) throw new LedgerError('no known key signed the note');
  return { text, verified };
}

function signatureLine(line: string): { name: string; keyHash: string; signature: Buffer } {
  const [name, body, ...rest] = line.startsWith(MARK) ? line.slice(MARK.length).split(' ') : [];
  if (name === undefined || body === undefined || rest.length > 0) {
    throw new LedgerError('expected a signature line: em dash, key name, base64');
  }
  assertName(name);
  const bytes = decodeBase64(body, 'signature');
  if (bytes.length <= HASH_PREFIX_BYTES) throw new LedgerError('expected a key hash and a signature');
  return {
    name,
    keyHash: bytes.subarray(0, HASH_PREFIX_BYTES).toString('hex'),
    signature: bytes.subarray(HASH_PREFIX_BYTES),
  };
}

/** Key names have no spaces and no plus, which separate them in keys and lines. */
function assertName(name: string): void {
  if (name === '' || /[\s+\p{Cc}]/u.test(name) || !name.isWellFormed()) {
    throw new LedgerError('expected a key name without spaces, plus signs and control characters');
  }
}

function assertText(text: string): void {
  if (!text.endsWith('\n') || !text.isWellFormed())
    throw new LedgerError('the text of a note ends with a newline');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the specification forbids exactly these.
  if (/[\x00-\x09\x0b-\x1f]/.test(text))
    throw new LedgerError('the text of a note has no control characters');
}

function keyText(name: string, publicKey: Uint8Array): string {
  assertName(name);
  const typed = Buffer.concat([Buffer.of(ED25519), publicKey]);
  const hash = createHash('sha256').update(`${name}\n`).update(typed).digest();
  return `${name}+${hash.subarray(0, HASH_PREFIX_BYTES).toString('hex')}+${typed.toString('base64')}`;
}

/** The bare 32 bytes of an Ed25519 key (RFC 8037 names them x and d). */
function rawOf(key: KeyObject, member: 'x' | 'd'): Buffer {
  const value = key.export({ format: 'jwk' })[member];
  if (typeof value !== 'string') throw new LedgerError('expected an Ed25519 key');
  return Buffer.from(value, 'base64url');
}

/** RFC 8410: the fixed DER bytes before a raw Ed25519 key. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
