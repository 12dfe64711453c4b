import type { Bytes } from './bytes.ts';
import { concat, EvidenceError, equal, fromBase64, numberOf, sha256, toHex, utf8 } from './bytes.ts';

/** Web Crypto's key, by what makes it: browsers and Node name the type differently. */
type VerifyingKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** A log's public key, C2SP signed-note form: `<name>+<hash>+<base64 of 0x01 and 32 bytes>`. */
export interface LogKey {
  readonly vkey: string;
  readonly name: string;
  /** 8 hex digits. */
  readonly keyHash: string;
  /** The raw Ed25519 public key. */
  readonly raw: Bytes;
  readonly key: VerifyingKey;
}

const MAX_SIGNATURES = 16;

/** @throws EvidenceError for what is no Ed25519 verifier key, and when this browser knows no Ed25519 */
export async function openKey(vkey: string): Promise<LogKey> {
  const [, name, keyHash, body] = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey) ?? [];
  if (name === undefined || keyHash === undefined || body === undefined) {
    throw new EvidenceError('expected a log key, <name>+<hash>+<base64>');
  }
  const typed = fromBase64(body, 'log key', 33);
  if (typed[0] !== 1) throw new EvidenceError('expected an Ed25519 log key');
  const hash = (await sha256(concat(utf8(`${name}\n`), typed))).subarray(0, 4);
  if (toHex(hash) !== keyHash) throw new EvidenceError('the hash in the log key is not its own');
  const raw = typed.slice(1);
  return { vkey, name, keyHash, raw, key: await importEd25519(raw) };
}

/** @throws EvidenceError when this browser knows no Ed25519 */
export async function importEd25519(raw: Bytes): Promise<VerifyingKey> {
  try {
    return await crypto.subtle.importKey('raw', raw, { name: 'Ed25519' }, false, ['verify']);
  } catch (cause) {
    throw new EvidenceError(
      'this browser cannot check Ed25519 signatures: use a current one, or Node 20 or newer',
      {
        cause,
      },
    );
  }
}

/**
 * The text of a signed note and the keys (of those given) that signed it, one at least. Signatures by unknown keys are
 * passed over; a wrong one by a known key is refused.
 */
export async function openNote(
  note: string,
  keys: readonly LogKey[],
): Promise<{ text: string; signedBy: LogKey[] }> {
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n'))
    throw new EvidenceError('expected a text, an empty line and signatures');
  const text = note.slice(0, split + 1);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the specification forbids exactly these.
  if (/[\x00-\x09\x0b-\x1f\x7f]/.test(text))
    throw new EvidenceError('a signed text has no control characters');
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) throw new EvidenceError('too many signatures');
  const signedBy: LogKey[] = [];
  for (const line of lines) {
    const [, name, body] = /^\u2014 ([^+\s]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? [];
    if (name === undefined || body === undefined) throw new EvidenceError('expected a signature line');
    const bytes = fromBase64(body, 'signature');
    const key = keys.find((each) => each.name === name && each.keyHash === toHex(bytes.subarray(0, 4)));
    if (key === undefined) continue;
    if (signedBy.includes(key)) throw new EvidenceError('a key signed twice');
    if (!(await crypto.subtle.verify('Ed25519', key.key, bytes.slice(4), utf8(text)))) {
      throw new EvidenceError(`the signature by ${name} is wrong`);
    }
    signedBy.push(key);
  }
  if (signedBy.length === 0) throw new EvidenceError('none of the known keys signed it');
  return { text, signedBy };
}

export interface Checkpoint {
  origin: string;
  size: number;
  root: Bytes;
}

/** What is signed, and by which of the keys that it was held against: nobody else vouches for it. */
export type Signed<T> = T & { signedBy: LogKey[] };

/** The text of a checkpoint: origin, size, root. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root, end, ...more] = text.split('\n');
  if (!origin || size === undefined || root === undefined || end !== '' || more.length > 0) {
    throw new EvidenceError('expected a checkpoint of three lines');
  }
  return { origin, size: numberOf(size, 'size'), root: fromBase64(root, 'root', 32) };
}

/** A checkpoint that one of these keys signed, for the log of that name. */
export async function openCheckpoint(note: string, keys: readonly LogKey[]): Promise<Signed<Checkpoint>> {
  const { text, signedBy } = await openNote(note, keys);
  const checkpoint = parseCheckpoint(text);
  if (signedBy.some(({ name }) => name !== checkpoint.origin)) {
    throw new EvidenceError(`the checkpoint is of the log ${checkpoint.origin}, the key is not`);
  }
  return { ...checkpoint, signedBy };
}

export interface Receipt {
  origin: string;
  recordingId: string;
  callId: string;
  epoch: number;
  seq: number;
  /** Hex. */
  head: string;
  at: string;
}

/** A head receipt that one of these keys signed. */
export async function openReceipt(note: string, keys: readonly LogKey[]): Promise<Signed<Receipt>> {
  const { text, signedBy } = await openNote(note, keys);
  const lines = text.split('\n');
  const [first, origin, recordingId, callId, epoch, seq, head, at, end] = lines;
  if (
    first !== 'verbatim/head-receipt/v1' ||
    lines.length !== 9 ||
    end !== '' ||
    !origin ||
    !recordingId ||
    !callId ||
    !epoch ||
    !seq ||
    !at ||
    head === undefined ||
    !/^[0-9a-f]{64}$/.test(head)
  ) {
    throw new EvidenceError('expected a head receipt of eight lines');
  }
  if (signedBy.some(({ name }) => name !== origin)) throw new EvidenceError('the receipt is of another log');
  return {
    origin,
    recordingId,
    callId,
    epoch: numberOf(epoch, 'epoch'),
    seq: numberOf(seq, 'seq'),
    head,
    at,
    signedBy,
  };
}

/** Whether two signed heads can be of one log: proven, not assumed. */
export function sameHead(a: Checkpoint, b: Checkpoint): boolean {
  return a.origin === b.origin && a.size === b.size && equal(a.root, b.root);
}
