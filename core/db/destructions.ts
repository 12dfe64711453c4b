import type { Database } from './database.ts';
import type { HoldRow } from './holds.ts';
import { holdsOn, lockHolds } from './holds.ts';

export type DestructionCause = 'order' | 'retention';

/** A recording that goes, or is gone, and how far that has come. */
export interface DestructionRow {
  recordingId: string;
  cause: DestructionCause;
  removalId: string | null;
  /** What its parties read; null where an order forbids it. */
  reason: string | null;
  /** Who executed the order. */
  actor: string | null;
  /** The period that ran out. */
  days: number | null;
  execIndex: number | null;
  doneAt: Date | null;
}

const COLUMNS = `recording_id as "recordingId", cause, removal_id as "removalId", reason, actor, days,
  exec_index as "execIndex", done_at as "doneAt"`;

export type BeginDestruction = Pick<
  DestructionRow,
  'recordingId' | 'cause' | 'removalId' | 'reason' | 'actor' | 'days'
>;

export type Begun =
  | { begun: DestructionRow }
  /** Decided before, by this or another cause; or gone. */
  | { already: DestructionRow | null }
  /** Its call, its finalising or an entry about its end is not over yet: ask again. */
  | { unsettled: string }
  | { held: HoldRow };

/**
 * Decides that a recording goes: one transaction that locks its row, looks for holds, marks it and ends its grants. From
 * then on it is not played, finalised or held any more.
 */
export async function beginDestruction(db: Database, what: BeginDestruction): Promise<Begun> {
  const { recordingId } = what;
  return db.sql.begin(async (sql): Promise<Begun> => {
    await lockHolds(sql);
    const [row] = await sql<{ state: string; removing: boolean; owed: boolean }[]>`
      select r.state, r.removing_at is not null as removing,
        c.evidence = 'owed' or (r.state = 'failed' and r.entry_index is null and c.evidence <> 'none'
          and (c.active_at is not null or r.ended_at is not null)) as owed
      from recordings r join calls c on c.id = r.call_id where r.id = ${recordingId} for update of r`;
    if (row === undefined) return { already: null };
    if (row.removing || row.state === 'removed' || row.state === 'expired') {
      const [known] = await sql<DestructionRow[]>`
        select ${sql.unsafe(COLUMNS)} from destructions where recording_id = ${recordingId}`;
      return { already: known ?? null };
    }
    const [hold] = await holdsOn(sql, recordingId);
    if (hold !== undefined) return { held: hold };
    if (row.state !== 'available' && row.state !== 'failed') return { unsettled: row.state };
    if (row.owed) return { unsettled: 'owed' };
    await sql`update recordings set removing_at = now(), updated_at = now() where id = ${recordingId}`;
    await sql`update grants set ended_at = now() where recording_id = ${recordingId} and ended_at is null`;
    const [begun] = await sql<DestructionRow[]>`
      insert into destructions (recording_id, cause, removal_id, reason, actor, days)
      values (${recordingId}, ${what.cause}, ${what.removalId}, ${what.reason}, ${what.actor}, ${what.days})
      returning ${sql.unsafe(COLUMNS)}`;
    if (begun === undefined) throw new Error('an insert that returns its row returned none');
    return { begun };
  });
}

/** Destructions that were decided and are not done, oldest first. */
export async function openDestructions(db: Database, limit: number): Promise<DestructionRow[]> {
  return db.sql<DestructionRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from destructions where done_at is null
    order by begun_at, recording_id limit ${limit}`;
}

export async function noteDestructionEntered(
  db: Database,
  recordingId: string,
  execIndex: number,
): Promise<void> {
  await db.sql`
    update destructions set exec_index = ${execIndex} where recording_id = ${recordingId} and exec_index is null`;
}

export async function noteDestroyed(db: Database, recordingId: string): Promise<void> {
  await db.sql`
    update destructions set done_at = now() where recording_id = ${recordingId} and done_at is null`;
}

/**
 * Takes out of the database what tells of the content: the finaliser's report with levels and hashes, size and format,
 * what was said and written, and the hash in events for the app that are kept. Does nothing twice.
 */
export async function clearContent(db: Database, recordingId: string): Promise<void> {
  await db.sql.begin(async (sql) => {
    await sql`
      update recordings set report = null, sha256 = null, size_bytes = null, format = null, detail = null
      where id = ${recordingId} and removing_at is not null`;
    await sql`
      delete from timelines t using recordings r
      where r.id = ${recordingId} and r.removing_at is not null and t.call_id = r.call_id`;
    await sql`
      update webhook_events set data = data - 'sha256' - 'sizeBytes'
      where data->>'recordingId' = ${recordingId} and (data ? 'sha256' or data ? 'sizeBytes')`;
    await sql`update grants set ended_at = now() where recording_id = ${recordingId} and ended_at is null`;
  });
}

/** Which of these recordings are gone: their destruction is done. */
export async function goneRecordings(db: Database, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const rows = await db.sql<{ id: string }[]>`
    select recording_id as id from destructions where done_at is not null and recording_id in ${db.sql([...ids])}`;
  return rows.map(({ id }) => id);
}

/** A recording whose time is over, and how many days its app keeps recordings. */
export interface DueRow {
  recordingId: string;
  days: number;
}

/**
 * Recordings that are older than their app keeps them at `now`, oldest first; not those that a hold keeps. A call that
 * nobody was recorded in left nothing that could expire.
 */
export async function dueRecordings(db: Database, now: Date, limit: number): Promise<DueRow[]> {
  return db.sql<DueRow[]>`
    select r.id as "recordingId", a.retention_days as days
    from apps a join recordings r on r.app_id = a.id
    where a.retention_days is not null and r.removing_at is null and r.state in ('available', 'failed')
      and coalesce(r.reason, '') <> 'not_armed'
      and coalesce(r.ended_at, r.started_at) < ${now}::timestamptz - a.retention_days * interval '24 hours'
      and not exists (
        select from holds h where h.released_at is null and h.app_id = r.app_id and (
          (h.scope = 'recording' and h.target = r.id::text)
          or (h.scope = 'call' and h.target = r.call_id::text)
          or (h.scope = 'chat' and h.target = r.chat_id)))
    order by coalesce(r.ended_at, r.started_at), r.id limit ${limit}`;
}

/** The clock of retention, as far as it was written down. */
export async function retentionClock(db: Database): Promise<Date | null> {
  const [row] = await db.sql<{ at: Date }[]>`select at from retention_clock`;
  return row?.at ?? null;
}

export async function setRetentionClock(db: Database, at: Date): Promise<void> {
  await db.sql`
    insert into retention_clock (at) values (${at}) on conflict (one) do update set at = excluded.at`;
}
