import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { NoteSigner } from '#ledger';
import { generateLogKey, LedgerError, openSigner, openVerifier } from '#ledger';
import { mkdirDurable, renameDurable, writeFileDurable } from '../durable.ts';
import type { DataPaths } from '../paths.ts';
import { readWhole } from './listing.ts';

const MAX_KEY_BYTES = 1024;
/** A line of it for each rotation. */
const MAX_VKEYS_BYTES = 64 * 1024;

/** The log's private key in memory. It is shown nowhere. */
export interface LogKey {
  signer: NoteSigner;
  vkey: string;
}

/** Where a rotation keeps the new key until the log says that it is in force. */
export function nextKeyPath(paths: DataPaths): string {
  return `${paths.ledgerKey}.next`;
}

/** Makes the log's key. A crash after the first file leaves a key without a log: the next start goes on with it. */
export async function createKey(paths: DataPaths, origin: string): Promise<LogKey> {
  await mkdirDurable(dirname(paths.ledgerKey));
  const { skey, vkey } = generateLogKey(origin);
  await writeFileDurable(paths.ledgerKey, `${skey}\n`, { exclusive: true });
  return { signer: openSigner(skey), vkey };
}

/** The key in a file; undefined when there is no file. Throws LedgerError when it is none, without quoting it. */
export async function readKey(path: string): Promise<LogKey | undefined> {
  const bytes = await readWhole(path, MAX_KEY_BYTES);
  if (bytes === undefined) return undefined;
  const lines = bytes.toString('latin1').split('\n');
  if (lines.length !== 2 || lines[1] !== '') throw new LedgerError('expected one line with a private key');
  let signer: NoteSigner;
  try {
    signer = openSigner(lines[0] ?? '');
  } catch {
    // The parser's message could quote the line.
    throw new LedgerError('is not the private key of a log');
  }
  return { signer, vkey: signer.vkey };
}

export async function makeNextKey(paths: DataPaths, origin: string): Promise<LogKey> {
  const { skey, vkey } = generateLogKey(origin);
  await writeFileDurable(nextKeyPath(paths), `${skey}\n`);
  return { signer: openSigner(skey), vkey };
}

/** The old private key is gone after this; nothing more can be signed with it. */
export async function promoteNextKey(paths: DataPaths): Promise<void> {
  await renameDurable(nextKeyPath(paths), paths.ledgerKey);
}

/** A rotation that never reached the log. */
export async function dropNextKey(paths: DataPaths): Promise<void> {
  await rm(nextKeyPath(paths), { force: true });
}

/** The published verifier keys, oldest first; undefined when the file is not there. */
export async function readVkeys(paths: DataPaths): Promise<string[] | undefined> {
  const bytes = await readWhole(paths.ledgerVkeys, MAX_VKEYS_BYTES);
  return bytes?.toString('latin1').split('\n').slice(0, -1);
}

export function isVkey(line: string): boolean {
  try {
    openVerifier(line);
    return true;
  } catch {
    // Whatever is wrong with the line: it verifies nothing, and the list is compared as a whole.
    return false;
  }
}

/** C2SP signed-note: `<name>+<hash>+<base64>`; a name has no plus. */
export function nameOfVkey(vkey: string): string {
  return vkey.slice(0, vkey.indexOf('+'));
}

export function vkeysText(vkeys: readonly string[]): string {
  return vkeys.map((vkey) => `${vkey}\n`).join('');
}

export async function writeVkeys(paths: DataPaths, vkeys: readonly string[]): Promise<void> {
  await mkdirDurable(dirname(paths.ledgerVkeys));
  await writeFileDurable(paths.ledgerVkeys, vkeysText(vkeys), { mode: 0o644 });
}

/**
 * What the new key signs to show that it agrees: a text of its own kind, which no checkpoint can be.
 * The reason stands as JSON, so that it stays on its line.
 */
export function rotationText(facts: { origin: string; old: string; new: string; reason: string }): string {
  return `verbatim/key-rotate/v1\n${facts.origin}\n${facts.old}\n${facts.new}\n${JSON.stringify(facts.reason)}\n`;
}
