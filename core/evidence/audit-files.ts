import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, opendir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { VerbatimError } from '#protocol';
import { isErrno, parseJournalName } from '#store';
import type { Pace } from './audit-pace.ts';
import type { FindingSink } from './audit-report.ts';

/** What is read at a time: at most some milliseconds of hashing, so that a server's other work goes on. */
const READ_BYTES = 256 * 1024;

/** Files of one recording that were there before its entries were read. */
export interface RecordingFiles {
  pay: boolean;
  hdr: boolean;
  salt: boolean;
  evd: boolean;
  /** Epochs. */
  journals: number[];
  /** Temporaries, tails and whatever else begins with its id: their paths in the data folder. */
  others: string[];
}

export type FileKind = 'pay' | 'hdr' | 'salt' | 'evd';

/** What the parts of an audit share. */
export interface AuditFolder {
  dataDir: string;
  findings: FindingSink;
  pace: Pace;
}

/** Files inside the data folder by their path in it, others by their whole path. */
export function shortName({ dataDir }: Pick<AuditFolder, 'dataDir'>, path: string): string {
  const inside = relative(dataDir, path);
  return inside.startsWith('..') ? path : inside;
}

/** The file as it lies there, without following it. Undefined when there is nothing. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

export function strange(folder: AuditFolder, path: string, stat: Pick<Stats, 'isSymbolicLink'>): void {
  const link = stat.isSymbolicLink();
  folder.findings.add({
    severity: 'fault',
    kind: link ? 'symlink' : 'special_file',
    file: shortName(folder, path),
    problem: link ? 'is a link and was not followed' : 'is no regular file',
  });
}

/** Opens a regular file, and nothing that a link leads to. The caller closes it. Undefined when it is not there. */
async function openRegular(path: string): Promise<FileHandle | undefined> {
  try {
    // Without O_NONBLOCK a planted pipe would keep the reader waiting for ever.
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    return undefined;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].some((code) => isErrno(error, code))) return undefined;
    throw error;
  }
}

/** Size and SHA-256 (hex) of a file, in bounded memory. Undefined when there is no regular file. */
export async function digestOf(
  path: string,
  pace: Pace,
): Promise<{ sizeBytes: number; sha256: string } | undefined> {
  const handle = await openRegular(path);
  if (handle === undefined) return undefined;
  try {
    const hash: Hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (let sizeBytes = 0; ; ) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, sizeBytes);
      if (bytesRead === 0) return { sizeBytes, sha256: hash.digest('hex') };
      hash.update(buffer.subarray(0, bytesRead));
      sizeBytes += bytesRead;
      await pace.spend(bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** A whole small file. Undefined when there is no regular file; `corrupt` when it is larger than any of its kind. */
export async function readSmall(path: string, maxBytes: number, pace: Pace): Promise<Buffer | undefined> {
  const handle = await openRegular(path);
  if (handle === undefined) return undefined;
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) throw new VerbatimError('corrupt', `has ${size} bytes, ${maxBytes} are the most`);
    const bytes = await handle.readFile();
    await pace.spend(bytes.length);
    return bytes;
  } finally {
    await handle.close();
  }
}

const RECORDING_FILE = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(pay|hdr|salt|evd)$/;
/** Whatever belongs to a recording begins with its id. */
const OWNED_NAME = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[.-]/;
/** Names of files on their way: sealing has one name for each recording, everything else a random one. */
const TEMPORARY = /\.(?:[0-9a-f]{12}\.tmp|tmp)$/;

/**
 * The files of those recordings that `mine` accepts, by recording. Names that no file of the evidence has, links and
 * other strange things are found in the same run when `report` is true.
 */
export async function listRecordingFiles(
  folder: AuditFolder,
  dirs: { recordings: string; journals: string },
  mine: (recordingId: string) => boolean,
  report: boolean,
): Promise<Map<string, RecordingFiles>> {
  const found = new Map<string, RecordingFiles>();
  const filesOf = (id: string): RecordingFiles => {
    let files = found.get(id);
    if (files === undefined) {
      files = { pay: false, hdr: false, salt: false, evd: false, journals: [], others: [] };
      found.set(id, files);
    }
    return files;
  };
  const other = (path: string, name: string): void => {
    const id = OWNED_NAME.exec(name)?.[1];
    if (id !== undefined && mine(id)) filesOf(id).others.push(shortName(folder, path));
  };
  for await (const name of regularNames(folder, dirs.recordings, report)) {
    const [, id, kind] = RECORDING_FILE.exec(name) ?? [];
    if (id === undefined) {
      other(join(dirs.recordings, name), name);
      if (report) stray(folder, join(dirs.recordings, name), name);
    } else if (mine(id) && isFileKind(kind)) filesOf(id)[kind] = true;
  }
  for await (const name of regularNames(folder, dirs.journals, report)) {
    const parsed = parseJournalName(name);
    if (parsed === undefined) {
      other(join(dirs.journals, name), name);
      if (report) stray(folder, join(dirs.journals, name), name);
    } else if (mine(parsed.recording)) filesOf(parsed.recording).journals.push(parsed.epoch);
  }
  return found;
}

/** Names of regular files in a folder, one after the other; a folder that is not there has none. */
async function* regularNames(
  folder: AuditFolder,
  dir: string,
  report: boolean,
): AsyncGenerator<string, void, void> {
  const stat = await statOf(dir);
  if (stat === undefined) return;
  if (!stat.isDirectory()) {
    if (report) strange(folder, dir, stat);
    return;
  }
  for await (const entry of await opendir(dir)) {
    const path = join(dir, entry.name);
    if (entry.isFile()) {
      if (report) folder.pace.totalBytes += (await statOf(path))?.size ?? 0;
      yield entry.name;
    } else if (report) strange(folder, path, entry);
  }
}

function stray(folder: AuditFolder, path: string, name: string): void {
  const problem = TEMPORARY.test(name)
    ? 'was left by something that was interrupted, or is being written'
    : 'is no file of the evidence';
  folder.findings.add({ severity: 'note', kind: 'stray_file', file: shortName(folder, path), problem });
}

/** Links and other strange things anywhere below a folder, and how many bytes its files have. */
export async function walkForLinks(folder: AuditFolder, dir: string): Promise<number> {
  const stat = await statOf(dir);
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) {
    strange(folder, dir, stat);
    return 0;
  }
  let bytes = 0;
  for await (const entry of await opendir(dir)) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) bytes += await walkForLinks(folder, path);
    else if (entry.isFile()) bytes += (await statOf(path))?.size ?? 0;
    else strange(folder, path, entry);
  }
  return bytes;
}

function isFileKind(kind: string | undefined): kind is FileKind {
  return kind === 'pay' || kind === 'hdr' || kind === 'salt' || kind === 'evd';
}
