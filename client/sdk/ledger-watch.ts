import type { ConsistencyProof, LedgerInfo } from '#protocol';
import type { Checkpoint, LogKey } from '../verify/index.ts';
import {
  checkConsistency,
  EvidenceError,
  fromBase64,
  openCheckpoint,
  openKey,
  parseCheckpoint,
} from '../verify/index.ts';
import { asClientError, VerbatimClientError } from './errors.ts';
import type { EvidenceStore } from './evidence-store.ts';

/** Something about the server's ledger that cannot be true of an honest one, or that this browser cannot explain. */
export interface LedgerProblem {
  /**
   * `shrunk`: older than what was shown before; `forked`: does not continue it; `key_changed`: signed by another key than
   * the first time; `bad_signature`: not signed by the log.
   */
  kind: 'shrunk' | 'forked' | 'key_changed' | 'bad_signature';
  detail: string;
  /** The key that is offered now, of `key_changed`. */
  vkey?: string;
}

export interface LedgerWatchDeps {
  store: EvidenceStore;
  consistency(from: number, to: number): Promise<ConsistencyProof>;
  /** The newest checkpoint, asked for now. */
  checkpoint(): Promise<string>;
  onProblem(problem: LedgerProblem): void;
}

/** A proof has at most two hashes for each level of the tree. */
const MAX_PROOF_HASHES = 128;

/**
 * Holds the server to one ledger: the key that it showed first, and every head after the newest that was kept. What does
 * not fit is told and never replaces what is kept, so it is told again the next time.
 */
export class LedgerWatch {
  readonly #deps: LedgerWatchDeps;
  #key: LogKey | undefined;

  constructor(deps: LedgerWatchDeps) {
    this.#deps = deps;
  }

  /** The log's key that this browser trusts; undefined when it has none, or cannot check signatures at all. */
  get key(): LogKey | undefined {
    return this.#key;
  }

  /** Takes the key of the first sign-in on trust, and holds later ones to it. Asks the server nothing. */
  async pin(info: LedgerInfo | undefined): Promise<void> {
    if (!(await knowsEd25519())) return;
    const kept = await this.#deps.store.ledger();
    const vkey = kept?.vkey ?? info?.vkey;
    if (vkey === undefined) return;
    try {
      this.#key = await openKey(vkey);
    } catch (error) {
      this.#tell('bad_signature', error);
      return;
    }
    if (kept === undefined) await this.#deps.store.keepLedger({ vkey });
    else if (info !== undefined && info.vkey !== vkey) await this.#otherKey(info);
  }

  /** A person or the messenger decided that the new key is the server's own. */
  async accept(vkey: string): Promise<void> {
    const key = await openKey(vkey);
    const kept = await this.#deps.store.ledger();
    await this.#deps.store.keepLedger({ ...kept, vkey });
    this.#key = key;
  }

  /**
   * The head that the server calls its newest. Undefined when all is well, or when it could not be asked.
   * Problems are told by `onProblem`.
   */
  async newest(note: string | undefined): Promise<void> {
    if (this.#key === undefined) return;
    try {
      await this.hold(note, 'newest');
    } catch (error) {
      if (error instanceof LedgerTrouble) this.#deps.onProblem(error.problem);
      else if (!(error instanceof VerbatimClientError)) throw error;
      // Otherwise the server could not be asked: what is kept stays, and the next sign-in asks again.
    }
  }

  /**
   * A checkpoint, once it is signed and of one history with what is kept; a greater one is kept from then on.
   * @throws LedgerTrouble when it is not; VerbatimClientError when the server could not be asked
   */
  async hold(note: string | undefined, how: 'newest' | 'any'): Promise<Checkpoint | undefined> {
    const key = this.#key;
    if (key === undefined) throw new EvidenceError('no key of the log is known');
    const kept = await this.#deps.store.ledger();
    const before = kept?.checkpoint === undefined ? undefined : openKept(kept.checkpoint);
    if (note === undefined) {
      if (before === undefined) return undefined;
      throw new LedgerTrouble('shrunk', `the ledger had ${before.size} entries and now has no head`);
    }
    const next = await this.#open(note, key);
    if (before !== undefined && next.size < before.size && how === 'newest') {
      // Another page of this browser may have kept a newer head while this answer was on its way.
      const now = await this.#open(await this.#deps.checkpoint(), key);
      if (now.size < before.size)
        throw new LedgerTrouble('shrunk', `the ledger had ${before.size} entries and now has ${now.size}`);
    }
    if (before !== undefined) await this.#oneHistory(before, next);
    if (before === undefined || next.size > before.size)
      await this.#deps.store.keepLedger({ vkey: key.vkey, checkpoint: note });
    return next;
  }

  async #open(note: string, key: LogKey): Promise<Checkpoint> {
    try {
      return await openCheckpoint(note, [key]);
    } catch (error) {
      throw new LedgerTrouble('bad_signature', wordsOf(error));
    }
  }

  async #oneHistory(a: Checkpoint, b: Checkpoint): Promise<void> {
    const [older, newer] = a.size <= b.size ? [a, b] : [b, a];
    let hashes: string[] = [];
    if (older.size > 0 && older.size < newer.size) {
      try {
        hashes = (await this.#deps.consistency(older.size, newer.size)).proof;
      } catch (cause) {
        const error = asClientError(cause, 'connection_lost');
        // It signed both heads; whoever cannot lead from one to the other has another history.
        if (error.code !== 'bad_request' && error.code !== 'not_found') throw error;
        throw new LedgerTrouble('forked', `no proof leads from ${older.size} to ${newer.size} entries`);
      }
    }
    try {
      if (a.origin !== b.origin) throw new EvidenceError(`the log ${a.origin} is now called ${b.origin}`);
      if (hashes.length > MAX_PROOF_HASHES)
        throw new EvidenceError('the consistency proof has too many hashes');
      await checkConsistency({
        from: older.size,
        to: newer.size,
        fromRoot: older.root,
        toRoot: newer.root,
        proof: hashes.map((hash) => fromBase64(hash, 'hash of a proof', 32)),
      });
    } catch (error) {
      throw new LedgerTrouble('forked', wordsOf(error));
    }
  }

  /** A rotated key is believed when one head carries both signatures; otherwise a person has to decide. */
  async #otherKey({ vkey, checkpoint }: LedgerInfo): Promise<void> {
    const old = this.#key;
    if (old === undefined) return;
    try {
      const key = await openKey(vkey);
      await openCheckpoint(checkpoint, [key]);
      await openCheckpoint(checkpoint, [old]);
      await this.accept(vkey);
    } catch (error) {
      this.#key = undefined;
      const detail = `the log was signed by ${old.vkey} and now is by ${vkey}: ${wordsOf(error)}`;
      this.#deps.onProblem({ kind: 'key_changed', detail, vkey });
    }
  }

  #tell(kind: LedgerProblem['kind'], error: unknown): void {
    this.#deps.onProblem({ kind, detail: wordsOf(error) });
  }
}

/** A head that cannot be of the ledger that this browser knows. */
export class LedgerTrouble extends EvidenceError {
  readonly problem: LedgerProblem;

  constructor(kind: LedgerProblem['kind'], detail: string) {
    super(detail);
    this.problem = { kind, detail };
  }
}

/** What is kept was checked when it came, maybe by a key that is no longer the log's. */
function openKept(note: string): Checkpoint {
  return parseCheckpoint(note.slice(0, note.lastIndexOf('\n\n') + 1));
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Also false on a page without HTTPS, which has no Web Crypto. */
async function knowsEd25519(): Promise<boolean> {
  try {
    // The base point's encoding: a valid key in every implementation (RFC 8032 section 5.1).
    const raw = new Uint8Array(32).fill(0x66);
    raw[0] = 0x58;
    await crypto.subtle.importKey('raw', raw, { name: 'Ed25519' }, false, ['verify']);
    return true;
  } catch {
    return false;
  }
}
