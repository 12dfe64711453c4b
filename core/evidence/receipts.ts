import { EventEmitter } from 'node:events';
import { receiptText } from '#ledger';
import type { HeadReceipt } from '#protocol';
import type { Database } from '../db/index.ts';
import type { ReceiptParties, ReceiptRow } from '../db/receipts.ts';
import { putReceipts, receiptsOf } from '../db/receipts.ts';
import type { Log } from './alarms.ts';
import type { Book } from './book.ts';
import type { JournalHead } from './calls.ts';

/** An acknowledged head of a capture that runs. */
export interface RunningHead extends JournalHead {
  recordingId: string;
  callId: string;
}

/** Events of heads that wait for the database; past it they are dropped, since newer ones come every ten seconds. */
const MAX_WAITING = 64;

/**
 * Signs the heads of running captures and gives them to both parties (F36). A head that left the server binds it: a
 * journal that does not hold it later is proof of tampering, so each is stored before it is sent.
 */
export class Receipts extends EventEmitter<{ receipt: [HeadReceipt, ReceiptParties] }> {
  readonly #db: Database;
  readonly #book: Book;
  readonly #log: Log;
  /** In the order in which the heads came, so that an older one never overtakes. */
  #order: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(parts: { db: Database; book: Book; log: Log }) {
    super();
    this.#db = parts.db;
    this.#book = parts.book;
    this.#log = parts.log;
  }

  /** One statement for all of them. Never rejects: a receipt that is missed is followed by a newer one. */
  heads(heads: readonly RunningHead[]): Promise<void> {
    if (heads.length === 0) return this.#order;
    if (this.#waiting >= MAX_WAITING) {
      this.#log.warn({ heads: heads.length }, 'the database is too slow: head receipts are dropped');
      return this.#order;
    }
    this.#waiting += 1;
    this.#order = this.#order
      .then(() => this.#issue(heads))
      .catch((error: unknown) => {
        this.#log.warn({ heads: heads.length, err: error }, 'head receipts could not be issued');
      })
      .finally(() => {
        this.#waiting -= 1;
      });
    return this.#order;
  }

  /** The heads that left the server, oldest epoch first: what the journals must hold. */
  async acknowledged(recordingId: string): Promise<JournalHead[]> {
    const rows = await receiptsOf(this.#db, recordingId);
    return rows.map(({ epoch, seq, head }) => ({ epoch, seq, head }));
  }

  async #issue(heads: readonly RunningHead[]): Promise<void> {
    const at = new Date();
    const { ledger } = this.#book;
    const newest = new Map<string, ReceiptRow & { callId: string }>();
    for (const { recordingId, callId, epoch, seq, head } of heads) {
      const key = `${recordingId} ${epoch}`;
      if ((newest.get(key)?.seq ?? -1) >= seq) continue;
      const text = receiptText({
        origin: ledger.origin,
        recordingId,
        callId,
        epoch,
        seq,
        head,
        at: at.toISOString(),
      });
      newest.set(key, { recordingId, callId, epoch, seq, head, at, note: ledger.sign(text) });
    }
    const rows = [...newest.values()];
    const parties = new Map((await putReceipts(this.#db, rows)).map((each) => [each.recordingId, each]));
    for (const { at: time, ...receipt } of rows) {
      const to = parties.get(receipt.recordingId);
      if (to !== undefined) this.emit('receipt', { ...receipt, at: time.toISOString() }, to);
    }
  }
}
