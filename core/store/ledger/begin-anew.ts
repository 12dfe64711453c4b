import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { VerbatimError } from '#protocol';
import { isErrno, renameDurable } from '../durable.ts';
import { claimLog } from '../log-owner.ts';
import { findingText } from './findings.ts';
import { isVkey, nextKeyPath, readVkeys, writeVkeys } from './keys.ts';
import { Ledger } from './ledger.ts';
import { loadLedger } from './load.ts';
import type { LedgerOptions } from './options.ts';
import { memoryPath } from './signer.ts';

export interface BegunAnew {
  /** Of the new log. */
  origin: string;
  vkey: string;
  /** What lay there before, as it lies now. */
  moved: string[];
}

/**
 * An operator's word that a log is lost: what is left of it is moved aside, nothing is deleted, and a log of the
 * same name with a new key is begun, whose first entry says so and names the earlier keys. Recordings of the earlier log stay, without entries.
 * A crash at any step leaves a log that is read-only at the next start, and this is done again.
 * @throws VerbatimError `conflict` when the log can go on
 */
export async function beginAnew(options: LedgerOptions & { reason: string }): Promise<BegunAnew> {
  const { paths, signerDir, reason } = options;
  const owner = await claimLog(join(paths.ledger, 'wal'));
  try {
    const loaded = await loadLedger({ paths, signerDir, withKey: true });
    const { first } = loaded.findings;
    if (first === undefined)
      throw new VerbatimError(
        'conflict',
        'nothing is wrong with the ledger: there is no need to begin it anew',
      );
    if (loaded.rolledBack) {
      const problem = `${findingText(first)}. Every entry that is there is right, so accept-head is enough`;
      throw new VerbatimError('conflict', problem);
    }
    // Complete before the key is gone: whoever kept a head of the lost log looks for its key in this list.
    const known = [...((await readVkeys(paths)) ?? []), ...loaded.history.vkeys, loaded.key?.vkey ?? ''];
    const vkeys = [...new Set(known.filter(isVkey))];
    if (vkeys.length > 0) await writeVkeys(paths, vkeys);
  } finally {
    await owner.release();
  }
  // Nothing is left in it when the whole log was removed.
  await rmdir(paths.ledger).catch(() => undefined);
  const moved: string[] = [];
  const suffix = `.lost-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  // The log itself comes last: until it is moved, it lacks its key or its memory and stays read-only.
  for (const path of [nextKeyPath(paths), paths.ledgerKey, memoryPath(signerDir), paths.ledger]) {
    if (await moveAside(path, `${path}${suffix}`)) moved.push(`${path}${suffix}`);
  }
  const ledger = await Ledger.open({ ...options, anew: { reason } });
  try {
    const { state, trouble } = ledger;
    const problem = trouble ?? (state.mode === 'read-only' ? state.problem : undefined);
    if (problem !== undefined) throw new VerbatimError('evidence_unavailable', problem);
    return { origin: ledger.origin, vkey: ledger.vkey, moved };
  } finally {
    await ledger.close();
  }
}

async function moveAside(from: string, to: string): Promise<boolean> {
  try {
    await renameDurable(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return false;
    throw error;
  }
}
