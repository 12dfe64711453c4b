import { LedgerError } from './error.ts';

export const MAX_ENTRY_BYTES = 16 * 1024;
/** Objects and arrays within each other, the entry itself included: writing JSON recurses, and the stack ends. */
const MAX_DEPTH = 32;

/** Everything that is entered. An entry of another type is refused. */
export const ENTRY_TYPES = [
  'sys.init',
  'key.rotate',
  'config.change',
  'clock.step',
  'call.consent',
  'call.start',
  'call.end',
  'rec.final',
  'rec.failed',
  'rec.recovered',
  'hold.set',
  'hold.release',
  'removal.request',
  'removal.approve',
  'removal.exec',
  'removal.done',
  'expired',
  'audit.anchor',
  // Of the access log only.
  'access',
  'admin',
] as const;
export type EntryType = (typeof ENTRY_TYPES)[number];

/** A value of JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface Entry {
  v: 1;
  t: EntryType;
  /** Unique within the subject: entering the same again finds it. */
  id: string;
  /** Wall clock of the server, ISO 8601 in UTC with milliseconds. */
  ts: string;
  /** The run of the server that entered it (UUID), and milliseconds since its start, by the monotonic clock. */
  boot: string;
  mono: number;
  /** What it is about: `log`, or `rec:<recording id>`. */
  sub: string;
  /** Leaf hash (hex) of the entry before about the same subject. */
  prev: string | null;
  /** Who acted. */
  actor: JsonObject;
  /** What happened. */
  d: JsonObject;
}

/** The exact bytes that are stored and hashed: JSON without spaces, members in the order of `Entry`. */
export function encodeEntry(entry: Entry): Buffer {
  assertShallow(entry, MAX_DEPTH);
  const { v, t, id, ts, boot, mono, sub, prev, actor, d } = entry;
  const bytes = Buffer.from(JSON.stringify({ v, t, id, ts, boot, mono, sub, prev, actor, d }));
  parseEntry(bytes);
  return bytes;
}

/**
 * Reads an entry. What is not byte for byte what `encodeEntry` writes is refused: other members, another order, a
 * member twice, spaces, another way to write a number or a character. Throws LedgerError.
 */
export function parseEntry(bytes: Uint8Array): Entry {
  if (bytes.length > MAX_ENTRY_BYTES) {
    throw new LedgerError(`an entry has at most ${MAX_ENTRY_BYTES} bytes, got ${bytes.length}`);
  }
  let value: unknown;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new LedgerError('an entry is JSON in UTF-8', { cause });
  }
  assertShallow(value, MAX_DEPTH);
  const entry = checkedEntry(value);
  if (JSON.stringify(entry) !== text)
    throw new LedgerError('the entry is not written in the one form that counts');
  return entry;
}

function checkedEntry(value: unknown): Entry {
  if (!isObject(value)) throw new LedgerError('an entry is a JSON object');
  const { v, t, id, ts, boot, mono, sub, prev, actor, d, ...others } = value;
  const [other] = Object.keys(others);
  if (other !== undefined) throw new LedgerError(`an entry has no member ${JSON.stringify(other)}`);
  const type = ENTRY_TYPES.find((each) => each === t);
  if (v !== 1) throw new LedgerError('entry: expected version 1');
  if (type === undefined) throw new LedgerError(`entry: unknown type ${JSON.stringify(t)?.slice(0, 40)}`);
  if (typeof id !== 'string' || !ID.test(id))
    throw new LedgerError('entry: expected an id of 1 to 128 characters');
  if (typeof ts !== 'string' || !isTime(ts)) throw new LedgerError('entry: expected ts as ISO 8601 in UTC');
  if (typeof boot !== 'string' || !UUID.test(boot)) throw new LedgerError('entry: expected boot as a UUID');
  if (typeof mono !== 'number' || !Number.isSafeInteger(mono) || mono < 0) {
    throw new LedgerError('entry: expected mono as whole milliseconds');
  }
  if (typeof sub !== 'string' || !ID.test(sub))
    throw new LedgerError('entry: expected sub of 1 to 128 characters');
  if (prev !== null && (typeof prev !== 'string' || !HASH.test(prev))) {
    throw new LedgerError('entry: expected prev as null or 64 hex digits');
  }
  if (!isObject(actor) || !isObject(d)) throw new LedgerError('entry: expected actor and d as objects');
  return { v: 1, t: type, id, ts, boot, mono, sub, prev, actor, d };
}

function assertShallow(value: unknown, depthLeft: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depthLeft === 0) throw new LedgerError(`an entry is at most ${MAX_DEPTH} objects and arrays deep`);
  for (const member of Object.values(value)) assertShallow(member, depthLeft - 1);
}

function isObject(value: unknown): value is JsonObject {
  // Only ever called on what JSON.parse returned, where every object is one of these.
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** ISO 8601 with milliseconds and Z, a year of four digits, and a day that exists. */
function isTime(text: string): boolean {
  const ms = Date.parse(text);
  return text.length === TIME_CHARACTERS && Number.isFinite(ms) && new Date(ms).toISOString() === text;
}

const TIME_CHARACTERS = 24;
const ID = /^[!-~]{1,128}$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const HASH = /^[0-9a-f]{64}$/;
