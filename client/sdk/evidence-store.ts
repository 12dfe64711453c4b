import type { HeadReceipt } from '#protocol';

/** What a check of a finished recording against the kept heads came to. */
export type EvidenceVerdict = 'confirmed' | 'mismatch' | 'unverified' | 'failed';

/** A signed head as this browser keeps it: the newest of its epoch. */
export interface KeptReceipt extends HeadReceipt {
  /** Whose sign-in it came to: two people may share a browser. */
  userId: string;
  /** Whether the log's signature was checked: not every browser knows Ed25519. */
  verified: boolean;
  keptAtMs: number;
  /** Absent until the recording was looked at. */
  verdict?: EvidenceVerdict;
  problem?: string;
  /** The server's answer to the report of a mismatch: whether it finds the same. Absent until it answered. */
  serverConfirms?: boolean;
}

/** The log that this server showed first, and its newest head that was seen. */
export interface KeptLedger {
  vkey: string;
  checkpoint?: string;
}

/** The newest are kept: at one call an hour, a working year of them. */
export const MAX_RECEIPTS = 2_000;
const OPEN_TIMEOUT_MS = 3_000;
const RECEIPTS = 'receipts';
const LEDGER = 'ledger';
const LEDGER_KEY = 'log';
const BY_TIME = 'keptAtMs';
const BY_USER = 'userId';

/**
 * One IndexedDB database for each server. Where the browser gives none (private windows, refused storage, a full disk)
 * memory takes its place, for as long as the page lives; then `persistent` is false.
 */
export class EvidenceStore {
  readonly #opening: Promise<IDBDatabase | undefined>;
  #lost = false;
  /** All that this page wrote, so that losing the database in mid-page loses nothing of the page. */
  readonly #receipts = new Map<string, KeptReceipt>();
  #ledger: KeptLedger | undefined;

  constructor(origin: string) {
    this.#opening = openDatabase(`verbatim evidence ${origin}`);
  }

  async persistent(): Promise<boolean> {
    return (await this.#opening) !== undefined && !this.#lost;
  }

  /**
   * Changes one receipt in one transaction, because other pages of this server write here too. `change` is given what
   * is kept and answers what to keep, or undefined for no change. Resolves with what is kept then.
   */
  async update(
    key: { userId: string; recordingId: string; epoch: number },
    change: (kept: KeptReceipt | undefined) => KeptReceipt | undefined,
  ): Promise<KeptReceipt | undefined> {
    const stored = await this.#do('readwrite', RECEIPTS, async (receipts) => {
      // What the database returns under this key is what this class put there.
      const kept = (await done(receipts.get([key.userId, key.recordingId, key.epoch]))) as
        | KeptReceipt
        | undefined;
      const next = change(kept);
      if (next === undefined) return { value: kept };
      await done(receipts.put(next));
      await dropOldest(receipts, (await done(receipts.count())) - MAX_RECEIPTS);
      return { value: next };
    });
    const name = `${key.userId}\n${key.recordingId}\n${key.epoch}`;
    const value = stored ? stored.value : (change(this.#receipts.get(name)) ?? this.#receipts.get(name));
    if (value !== undefined) this.#remember(name, value);
    return value;
  }

  /** All of one person, oldest first. */
  async receiptsOf(userId: string): Promise<KeptReceipt[]> {
    const all = await this.#do('readonly', RECEIPTS, async (receipts) => {
      const rows = (await done(receipts.index(BY_USER).getAll(userId))) as KeptReceipt[];
      return rows;
    });
    const kept = all ?? [...this.#receipts.values()].filter((each) => each.userId === userId);
    return kept.sort((a, b) => a.keptAtMs - b.keptAtMs);
  }

  async ledger(): Promise<KeptLedger | undefined> {
    const stored = await this.#do('readonly', LEDGER, async (ledger) => ({
      value: (await done(ledger.get(LEDGER_KEY))) as KeptLedger | undefined,
    }));
    return stored ? stored.value : this.#ledger;
  }

  async keepLedger(kept: KeptLedger): Promise<void> {
    this.#ledger = kept;
    await this.#do('readwrite', LEDGER, async (ledger) => {
      await done(ledger.put(kept, LEDGER_KEY));
    });
  }

  #remember(name: string, receipt: KeptReceipt): void {
    this.#receipts.delete(name);
    this.#receipts.set(name, receipt);
    const [oldest] = this.#receipts.keys();
    if (oldest !== undefined && this.#receipts.size > MAX_RECEIPTS) this.#receipts.delete(oldest);
  }

  /** Undefined when there is no database, or no longer one. */
  async #do<T>(
    mode: IDBTransactionMode,
    name: string,
    work: (store: IDBObjectStore) => Promise<T>,
  ): Promise<T | undefined> {
    const database = await this.#opening;
    if (database === undefined || this.#lost) return undefined;
    try {
      const transaction = database.transaction(name, mode);
      const committed = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
      });
      // Awaited below; until then a failure of the work is the error that is told.
      committed.catch(() => {});
      const result = await work(transaction.objectStore(name));
      await committed;
      return result;
    } catch {
      // Storage was cleared under the page, or is full: memory has what this page wrote.
      this.#lost = true;
      return undefined;
    }
  }
}

function openDatabase(name: string): Promise<IDBDatabase | undefined> {
  return new Promise((resolve) => {
    // A browser that asks the person, or that never answers, must not hold up a call.
    const timer = setTimeout(() => resolve(undefined), OPEN_TIMEOUT_MS);
    const settle = (database: IDBDatabase | undefined): void => {
      clearTimeout(timer);
      resolve(database);
    };
    try {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => {
        const receipts = request.result.createObjectStore(RECEIPTS, {
          keyPath: ['userId', 'recordingId', 'epoch'],
        });
        receipts.createIndex(BY_TIME, BY_TIME);
        receipts.createIndex(BY_USER, BY_USER);
        request.result.createObjectStore(LEDGER);
      };
      request.onsuccess = () => {
        const database = request.result;
        // A newer version of this page wants to change it; transactions here fail then, and memory goes on.
        database.onversionchange = () => database.close();
        settle(database);
      };
      request.onerror = () => settle(undefined);
      request.onblocked = () => settle(undefined);
    } catch {
      // Storage is refused altogether.
      settle(undefined);
    }
  });
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the request failed'));
  });
}

async function dropOldest(receipts: IDBObjectStore, count: number): Promise<void> {
  if (count <= 0) return;
  const keys = await done(receipts.index(BY_TIME).getAllKeys(null, count));
  for (const key of keys) await done(receipts.delete(key));
}
