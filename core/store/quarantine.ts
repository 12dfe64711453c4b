import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, rename } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { VerbatimError } from '#protocol';
import { fsyncDir, isErrno, mkdirDurable, writeFileDurable } from './durable.ts';
import type { DataPaths } from './paths.ts';

/** What a quarantine folder says of itself, in `why.json`. */
export interface QuarantineNote {
  v: 1;
  /** ISO 8601, UTC. */
  at: string;
  /** The recording, or the log, that they belong to. */
  subject: string;
  why: string;
  files: QuarantinedFile[];
}

export interface QuarantinedFile {
  /** In the folder. */
  name: string;
  /** Where it was. */
  from: string;
  sizeBytes: number;
  /** Hex; null for a folder, and for a file that the disk does not give back. */
  sha256: string | null;
}

export interface Quarantined {
  dir: string;
  /** What was moved; empty when none of the files was there, and then there is no folder either. */
  files: QuarantinedFile[];
}

const SUBJECT = /^[0-9A-Za-z][0-9A-Za-z._-]{0,127}$/;
/** A recording has a handful of journals, a log a handful of segments. */
const MAX_FILES = 10_000;

/**
 * Takes files or folders that contradict themselves out of the way: into `quarantine/<subject>-<time>/`, each as it
 * was found, with a note that says why. Nothing is deleted, copied or repaired. Both names are durable on return. Files
 * that are not there are passed over.
 *
 * What a crash means: before the note is durable nothing has happened; after it, files that were not moved yet are where
 * they were, and asking again moves them into a folder of their own. A file is always in one of the two places.
 * @throws what the disk says; files that were moved by then stay where they are now.
 */
export async function quarantine(
  paths: Pick<DataPaths, 'quarantine'>,
  {
    subject,
    files,
    why,
    now = new Date(),
  }: { subject: string; files: readonly string[]; why: string; now?: Date },
): Promise<Quarantined> {
  if (!SUBJECT.test(subject)) throw new VerbatimError('internal', `${subject} is no name for a folder`);
  if (files.length > MAX_FILES) throw new VerbatimError('internal', `${files.length} files are too many`);
  const found: (QuarantinedFile & { path: string })[] = [];
  const names = new Set(['why.json']);
  for (const path of new Set(files)) {
    const file = await describe(path);
    if (file === undefined) continue;
    const name = freeName(basename(path), names);
    names.add(name);
    found.push({ name, from: path, ...file, path });
  }
  if (found.length === 0) return { dir: paths.quarantine, files: [] };
  const dir = await newFolder(join(paths.quarantine, `${subject}-${stamp(now)}`));
  const moved = found.map(({ path: _, ...file }) => file);
  const note: QuarantineNote = { v: 1, at: now.toISOString(), subject, why, files: moved };
  await writeFileDurable(join(dir, 'why.json'), `${JSON.stringify(note, null, 2)}\n`, { exclusive: true });
  const from = new Set<string>();
  for (const { path, name } of found) {
    await rename(path, join(dir, name));
    from.add(dirname(path));
  }
  await fsyncDir(dir);
  for (const old of from) await fsyncDir(old);
  return { dir, files: moved };
}

/** Undefined when there is nothing of that name. A link is moved as a link: nobody follows it. */
async function describe(path: string): Promise<Pick<QuarantinedFile, 'sizeBytes' | 'sha256'> | undefined> {
  try {
    const stat = await lstat(path);
    return { sizeBytes: stat.size, sha256: stat.isFile() ? await sha256Of(path) : null };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function sha256Of(path: string): Promise<string | null> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk);
  } catch (error) {
    // A disk that does not give a file back can still rename it.
    if (isErrno(error, 'EIO')) return null;
    throw error;
  }
  return hash.digest('hex');
}

function freeName(name: string, taken: ReadonlySet<string>): string {
  const extension = extname(name);
  for (let n = 1; ; n += 1) {
    const free = n === 1 ? name : `${name.slice(0, name.length - extension.length)}.${n}${extension}`;
    if (!taken.has(free)) return free;
  }
}

const MAX_FOLDERS_A_MILLISECOND = 1000;

/** A folder of its own, also when two of one subject are made in the same millisecond. */
async function newFolder(path: string): Promise<string> {
  await mkdirDurable(dirname(path));
  for (let n = 1; n <= MAX_FOLDERS_A_MILLISECOND; n += 1) {
    const dir = n === 1 ? path : `${path}-${n}`;
    try {
      await lstat(dir);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      await mkdirDurable(dir);
      return dir;
    }
  }
  throw new VerbatimError('internal', `${path}: too many folders of one time`);
}

/** ISO 8601 without what file names do not take well. */
function stamp(now: Date): string {
  return now.toISOString().replaceAll(/[-:.]/g, '');
}
