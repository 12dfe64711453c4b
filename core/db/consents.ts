import type { Side } from '#protocol';
import type { Database } from './database.ts';

/** One side's consent with the exact text that it was given to. */
export interface ConsentRow {
  side: Side;
  userId: string;
  action: 'start' | 'accept';
  sha256: string;
  version: number;
  locale: string;
  /** The text itself: it is found by app, locale, version and hash, for ever. */
  text: string;
  device: string;
  at: Date;
  /** The entry of the ledger; null when the call was ended before it was made. */
  entryIndex: number | null;
}

/** The consents of a call, the caller's first. */
export async function consentsOf(db: Database, callId: string): Promise<ConsentRow[]> {
  return db.sql<ConsentRow[]>`
    select c.side, c.user_id as "userId", c.action, c.disclosure_sha256 as "sha256",
      c.disclosure_version as "version", c.locale, d.body as "text", c.device, c.at,
      c.entry_index as "entryIndex"
    from consents c join disclosures d on d.app_id = c.app_id and d.locale = c.locale
      and d.version = c.disclosure_version and d.sha256 = c.disclosure_sha256
    where c.call_id = ${callId} order by c.side = 'callee'`;
}

/** Notes where in the ledger a consent stands. */
export async function setConsentEntry(
  db: Database,
  callId: string,
  side: Side,
  entryIndex: number,
): Promise<void> {
  await db.sql`
    update consents set entry_index = ${entryIndex}
    where call_id = ${callId} and side = ${side} and entry_index is null`;
}

/** A secure call whose end is not in the ledger yet. */
export interface OwedEnd {
  callId: string;
  recordingId: string;
  endReason: string;
  endedAt: Date;
  activeAt: Date | null;
  /** Null when it never came to one. */
  recordingState: string | null;
  recordingEndedAt: Date | null;
}

/** Calls that have ended and whose end is owed to the ledger, oldest first; of one call, when its id is given. */
export async function owedEnds(db: Database, limit: number, callId?: string): Promise<OwedEnd[]> {
  return db.sql<OwedEnd[]>`
    select c.id as "callId", c.recording_id as "recordingId", c.end_reason as "endReason",
      c.ended_at as "endedAt", c.active_at as "activeAt",
      r.state as "recordingState", r.ended_at as "recordingEndedAt"
    from calls c left join recordings r on r.id = c.recording_id
    where c.evidence = 'owed' and c.state = 'ended' ${callId === undefined ? db.sql`` : db.sql`and c.id = ${callId}`}
    order by c.ended_at limit ${limit}`;
}

/** The end of this call is in the ledger, or the ledger knows nothing of the call at all. */
export async function settleEnd(db: Database, callId: string): Promise<void> {
  await db.sql`update calls set evidence = 'entered' where id = ${callId} and evidence = 'owed'`;
}
