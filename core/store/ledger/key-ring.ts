import type { NoteSigner } from '#ledger';
import { LedgerError } from '#ledger';
import type { DataPaths } from '../paths.ts';
import type { LogKey } from './keys.ts';
import { createKey, dropNextKey, isVkey, promoteNextKey, writeVkeys } from './keys.ts';
import type { Loaded } from './load.ts';

/** `sys.init` names them, and an entry has 16 KiB. */
const MAX_EARLIER_KEYS = 64;

interface NextKey {
  key: LogKey;
  /** Its key.rotate entry. */
  index: number;
}

export interface KeyRingState {
  current: LogKey;
  /** Of this log, oldest first. */
  vkeys: readonly string[];
  earlier: readonly string[];
  next?: NextKey;
}

/**
 * The keys in force. A rotation: the new key is made and kept beside the old one; the entry `key.rotate` names it;
 * the first head that covers the entry is signed by both; then the public list is written and the new private key
 * takes the old one's place. A crash at any step leaves what the next start needs to go on from there.
 */
export class KeyRing {
  readonly #paths: DataPaths;
  readonly #vkeys: string[];
  /** Of logs before this one: listed first, and in force for nothing here. */
  readonly #earlier: readonly string[];
  #current: LogKey;
  #next: NextKey | undefined;

  constructor(paths: DataPaths, { current, vkeys, earlier, next }: KeyRingState) {
    this.#paths = paths;
    this.#current = current;
    this.#vkeys = [...vkeys];
    this.#earlier = earlier;
    this.#next = next;
  }

  get current(): LogKey {
    return this.#current;
  }

  get vkeys(): readonly string[] {
    return this.#vkeys;
  }

  get earlier(): readonly string[] {
    return this.#earlier;
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
    await writeVkeys(this.#paths, [...this.#earlier, ...this.#vkeys]);
    // A crash after this: the rotation has ended.
    await promoteNextKey(this.#paths);
    this.#current = next.key;
    this.#next = undefined;
  }
}

/** The keys of a sound log, made when there is no log yet. What a rotation left unfinished is taken up. */
export async function openKeys(
  paths: DataPaths,
  { empty, key, nextKey, vkeys, history }: Pick<Loaded, 'empty' | 'key' | 'nextKey' | 'vkeys' | 'history'>,
  origin: string,
  onAlarm: (problem: string) => void,
): Promise<KeyRing> {
  if (empty) {
    if (key !== undefined && vkeys.length > 0) {
      onAlarm(
        'the ledger is begun anew, but its key was there: if this is not the first start, the log was removed',
      );
    }
    const made = key ?? (await createKey(paths, origin));
    // Heads that an earlier log signed are still kept by somebody, who looks for their key here.
    const earlier = vkeys.filter((vkey) => isVkey(vkey) && vkey !== made.vkey).slice(-MAX_EARLIER_KEYS);
    await writeVkeys(paths, [...earlier, made.vkey]);
    return new KeyRing(paths, { current: made, vkeys: [made.vkey], earlier });
  }
  if (key === undefined) throw new LedgerError('a sound log has a key');
  const last = history.rotations.at(-1);
  const state: KeyRingState = { current: key, vkeys: history.vkeys, earlier: history.earlierVkeys };
  if (nextKey !== undefined && nextKey.vkey === last?.new) {
    return new KeyRing(paths, { ...state, next: { key: nextKey, index: last.index } });
  }
  if (nextKey !== undefined) await dropNextKey(paths);
  return new KeyRing(paths, state);
}
