import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { NoteSigner } from '#ledger';
import { generateLogKey, LedgerError, openSigner } from '#ledger';
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

export function vkeysText(vkeys: readonly string[]): string {
  return vkeys.map((vkey) => `${vkey}\n`).join('');
}

export async function writeVkeys(paths: DataPaths, vkeys: readonly string[]): Promise<void> {
  await mkdirDurable(dirname(paths.ledgerVkeys));
  await writeFileDurable(paths.ledgerVkeys, vkeysText(vkeys), { mode: 0o644 });
}

interface NextKey {
  key: LogKey;
  /** Its key.rotate entry. */
  index: number;
}

/**
 * The keys in force. A rotation: the new key is made and kept beside the old one; the entry `key.rotate` names it;
 * the first head that covers the entry is signed by both; then the public list is written and the new private key
 * takes the old one's place. A crash at any step leaves what the next start needs to go on from there.
 */
export class KeyRing {
  readonly #paths: DataPaths;
  readonly #vkeys: string[];
  #current: LogKey;
  #next: NextKey | undefined;

  constructor(paths: DataPaths, current: LogKey, vkeys: readonly string[], next?: NextKey) {
    this.#paths = paths;
    this.#current = current;
    this.#vkeys = [...vkeys];
    this.#next = next;
  }

  get current(): LogKey {
    return this.#current;
  }

  get vkeys(): readonly string[] {
    return this.#vkeys;
  }

  get rotating(): boolean {
    return this.#next !== undefined;
  }

  /** Called in the same turn in which the entry gets its place, so before any head can cover it. */
  rotate(next: NextKey): void {
    this.#next = next;
    this.#vkeys.push(next.key.vkey);
  }

  /** Who signs a head of this size. */
  signers(size: number): NoteSigner[] {
    const next = this.#next;
    return next === undefined || size <= next.index
      ? [this.#current.signer]
      : [this.#current.signer, next.key.signer];
  }

  /**
   * Ends a rotation whose entry is covered by a published head. To be called before the next head is signed: that
   * one is the new key's alone. Repeating it does no harm.
   */
  async settle(publishedSize: number): Promise<void> {
    const next = this.#next;
    if (next === undefined || publishedSize <= next.index) return;
    // A crash before or after this: the entry and the key beside the old one say that the rotation is not ended.
    await writeVkeys(this.#paths, this.#vkeys);
    // A crash after this: the rotation has ended.
    await promoteNextKey(this.#paths);
    this.#current = next.key;
    this.#next = undefined;
  }
}
