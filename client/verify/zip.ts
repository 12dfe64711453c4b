import { EvidenceError, textOf } from './bytes.ts';

/** Where a file lies in the zip. */
export interface ZipFile {
  name: string;
  start: number;
  end: number;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_BYTES = 22;
/** S_IFREG in the upper bits of what a Unix program keeps; a link would unpack to something else. */
const REGULAR = 8;
const MAX_FILES = 1024;

/**
 * The files of a zip whose contents are stored as they are (APPNOTE 4.3). Strict: one file right behind the other, the
 * two directories equal, nothing before, between or behind them, no names that lead elsewhere, no name twice.
 */
export function readZip(bytes: Uint8Array): ZipFile[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const endAt = bytes.length - END_BYTES;
  if (endAt < 0 || view.getUint32(endAt, true) !== END)
    throw new EvidenceError('this is not a whole zip file');
  const count = view.getUint16(endAt + 10, true);
  const directoryAt = view.getUint32(endAt + 16, true);
  if (
    view.getUint16(endAt + 20, true) !== 0 ||
    view.getUint16(endAt + 8, true) !== count ||
    count > MAX_FILES ||
    directoryAt + view.getUint32(endAt + 12, true) !== endAt
  ) {
    throw new EvidenceError('the end of the zip does not fit its directory');
  }
  const files: ZipFile[] = [];
  let at = directoryAt;
  let next = 0;
  for (let index = 0; index < count; index += 1) {
    if (at + 46 > endAt || view.getUint32(at, true) !== CENTRAL)
      throw new EvidenceError('the zip directory is damaged');
    const size = view.getUint32(at + 24, true);
    const nameLength = view.getUint16(at + 28, true);
    const name = nameOf(bytes.subarray(at + 46, at + 46 + nameLength));
    const local = view.getUint32(at + 42, true);
    // No encryption, no sizes that come later: other programs would read something else.
    const plain =
      view.getUint16(at + 8, true) === 0 &&
      view.getUint16(at + 10, true) === 0 &&
      view.getUint32(at + 20, true) === size;
    const kind = view.getUint32(at + 38, true) >>> 28;
    if (kind !== 0 && kind !== REGULAR) throw new EvidenceError(`${name}: expected a regular file`);
    if (!plain || view.getUint16(at + 30, true) !== 0 || view.getUint16(at + 32, true) !== 0) {
      throw new EvidenceError(`${name}: expected a stored file without extras`);
    }
    const start = local + 30 + nameLength;
    if (local !== next || start + size > directoryAt || !sameLocal(view, bytes, local, at, nameLength)) {
      throw new EvidenceError(`${name}: its two headers in the zip do not fit`);
    }
    if (files.some((file) => file.name === name)) throw new EvidenceError(`the zip holds ${name} twice`);
    files.push({ name, start, end: start + size });
    next = start + size;
    at += 46 + nameLength;
  }
  if (at !== endAt || next !== directoryAt) throw new EvidenceError('the zip holds more than its files');
  return files;
}

/** The CRC-32 that the zip states for a file (it is checked by whoever hashes the file: the manifest is stronger). */
function sameLocal(
  view: DataView,
  bytes: Uint8Array,
  local: number,
  central: number,
  nameLength: number,
): boolean {
  if (view.getUint32(local, true) !== LOCAL || view.getUint16(local + 28, true) !== 0) return false;
  if (view.getUint16(local + 26, true) !== nameLength) return false;
  // Flags, method, time, date, CRC and both sizes are the same 20 bytes in both headers.
  for (let at = 0; at < 20; at += 1) {
    if (bytes[local + 6 + at] !== bytes[central + 8 + at]) return false;
  }
  return bytes
    .subarray(local + 30, local + 30 + nameLength)
    .every((byte, at) => byte === bytes[central + 46 + at]);
}

function nameOf(bytes: Uint8Array): string {
  const name = textOf(bytes, 'a name in the zip');
  const parts = name.split('/');
  if (
    !/^[A-Za-z0-9._/-]+$/.test(name) ||
    parts.some((part) => part === '' || part === '.' || part === '..')
  ) {
    throw new EvidenceError(
      `the zip holds a file with a forbidden name: ${JSON.stringify(name.slice(0, 100))}`,
    );
  }
  return name;
}
