import { opendir, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DataPaths } from '#store';
import { fsyncDir, isErrno, shredFile } from '#store';

/** What a recording may leave on this disk, in the order in which it is destroyed. */
export type RemainKind = 'key' | 'journal' | 'quarantine' | 'folder' | 'payload';

export interface Remain {
  kind: RemainKind;
  path: string;
}

type Folders = Pick<DataPaths, 'recordings' | 'journals' | 'quarantine'>;

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
/** `<id>.hdr`, `<id>.pay.tmp`, `<id>-1.scj`, `<id>-1.scj.tail2`, and whatever else begins with a recording's id. */
const OWN_NAME = new RegExp(`^(${UUID})[.-]`);
const WHY = 'why.json';

/**
 * Files of recordings: sealed parts, salt, opening, journals, tails, temporaries of all of them, quarantined ones. Found
 * by their names and nothing else, so a file that nobody expected is found as well. Folders are read as they are; a
 * commit log holds blocks under keys that lie in journals only.
 */
export async function remainsOf(
  folders: Folders,
  isOurs: (recordingId: string) => boolean,
): Promise<Map<string, Remain[]>> {
  const found = new Map<string, Remain[]>();
  const add = (name: string, remain: Remain): void => {
    const id = ownerOf(name);
    if (id === undefined || !isOurs(id)) return;
    const list = found.get(id);
    if (list === undefined) found.set(id, [remain]);
    else list.push(remain);
  };
  for await (const { name } of entriesOf(folders.recordings))
    add(name, { kind: PAYLOAD.test(name) ? 'payload' : 'key', path: join(folders.recordings, name) });
  for await (const { name } of entriesOf(folders.journals))
    add(name, { kind: 'journal', path: join(folders.journals, name) });
  for await (const { name, isDirectory } of entriesOf(folders.quarantine)) {
    const path = join(folders.quarantine, name);
    if (!isDirectory) {
      add(name, { kind: 'quarantine', path });
      continue;
    }
    let isEmptied = true;
    for await (const file of entriesOf(path)) {
      add(file.name, { kind: 'quarantine', path: join(path, file.name) });
      isEmptied &&= file.name === WHY || ownerOf(file.name) === ownerOf(name);
    }
    // Its note goes with what it is about. A commit log beside it may hold what others said.
    if (isEmptied) add(name, { kind: 'folder', path });
  }
  for (const list of found.values()) list.sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
  return found;
}

const ownerOf = (name: string): string | undefined => OWN_NAME.exec(name)?.[1];
const PAYLOAD = new RegExp(`^${UUID}\\.pay`);
const ORDER: readonly RemainKind[] = ['key', 'journal', 'quarantine', 'folder', 'payload'];
/** The header first of all: without it the rest of the recording cannot be opened. */
const rank = ({ kind, path }: Remain): number => ORDER.indexOf(kind) * 2 + (path.includes('.hdr') ? 0 : 1);

/**
 * Destroys them one after the other, in the given order: each is overwritten where keys lie, synced, removed, and its
 * folder synced before the next one. Answers how many files there were. A crash leaves the later ones; asking again goes on.
 */
export async function destroyRemains(remains: readonly Remain[]): Promise<number> {
  let count = 0;
  for (const { kind, path } of remains) {
    if (kind === 'folder') await removeFolder(path);
    else if (await shredFile(path)) count += 1;
  }
  return count;
}

/** A quarantine folder in which nothing but its note is left. */
async function removeFolder(path: string): Promise<void> {
  await shredFile(join(path, WHY));
  try {
    await rmdir(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  await fsyncDir(dirname(path));
}

/** A folder that was never made holds nothing. */
async function* entriesOf(dir: string): AsyncGenerator<{ name: string; isDirectory: boolean }, void, void> {
  try {
    for await (const entry of await opendir(dir))
      yield { name: entry.name, isDirectory: entry.isDirectory() };
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
