import type { Database } from './database.ts';

/** The last head of one epoch that was signed and left the server. */
export interface ReceiptRow {
  recordingId: string;
  epoch: number;
  seq: number;
  /** c[seq], hex. */
  head: string;
  at: Date;
  /** The signed note. */
  note: string;
}

/** Whom a receipt goes to. */
export interface ReceiptParties {
  recordingId: string;
  appId: string;
  callerId: string;
  calleeId: string;
}

/**
 * Keeps the newest receipt of each epoch, all in one statement; an older one than is kept changes nothing. Answers the
 * parties of those recordings whose receipt was kept: only what is stored may leave the server.
 */
export async function putReceipts(db: Database, receipts: readonly ReceiptRow[]): Promise<ReceiptParties[]> {
  if (receipts.length === 0) return [];
  const rows = receipts.map(({ recordingId, epoch, seq, head, at, note }) => ({
    recording_id: recordingId,
    epoch,
    seq,
    head,
    at,
    note,
  }));
  return db.sql<ReceiptParties[]>`
    with kept as (
      insert into head_receipts ${db.sql(rows, 'recording_id', 'epoch', 'seq', 'head', 'at', 'note')}
      on conflict (recording_id, epoch) do update
        set seq = excluded.seq, head = excluded.head, at = excluded.at, note = excluded.note
        where excluded.seq > head_receipts.seq
      returning recording_id)
    select r.id as "recordingId", r.app_id as "appId", r.caller_id as "callerId", r.callee_id as "calleeId"
    from kept join recordings r on r.id = kept.recording_id`;
}

/** The last receipt of each epoch of a recording, oldest epoch first. */
export async function receiptsOf(db: Database, recordingId: string): Promise<ReceiptRow[]> {
  return db.sql<ReceiptRow[]>`
    select recording_id as "recordingId", epoch, seq, head, at, note
    from head_receipts where recording_id = ${recordingId} order by epoch`;
}
