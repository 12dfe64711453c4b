import type { Database, Queryable } from './database.ts';

export const HOLD_SCOPES = ['recording', 'call', 'chat'] as const;
export type HoldScope = (typeof HOLD_SCOPES)[number];

/** F42: as long as it is in force nothing of what it names is removed or expires. */
export interface HoldRow {
  id: string;
  appId: string;
  scope: HoldScope;
  target: string;
  reason: string;
  reference: string | null;
  setBy: string;
  setAt: Date;
  firstReleaseBy: string | null;
  firstReleaseAt: Date | null;
  releasedBy: string | null;
  releasedAt: Date | null;
}

const COLUMNS = `id, app_id as "appId", scope, target, reason, reference, set_by as "setBy", set_at as "setAt",
  first_release_by as "firstReleaseBy", first_release_at as "firstReleaseAt", released_by as "releasedBy",
  released_at as "releasedAt"`;
/** "hold" in ASCII: whoever decides that a recording goes, or that it must stay, does so one after the other. */
const LOCK_KEY = 0x686f6c64;

/** Until the transaction ends nobody else sets a hold or begins a destruction. */
export async function lockHolds(sql: Queryable): Promise<void> {
  await sql`select pg_advisory_xact_lock(${LOCK_KEY})`;
}

/** Whether the app has such a recording, call or chat. */
export async function scopeExists(
  db: Database,
  { appId, scope, target }: Pick<HoldRow, 'appId' | 'scope' | 'target'>,
): Promise<boolean> {
  const { sql } = db;
  const rows = {
    recording: () => sql`select 1 from recordings where app_id = ${appId} and id::text = ${target}`,
    call: () => sql`select 1 from calls where app_id = ${appId} and id::text = ${target}`,
    chat: () => sql`select 1 from chats where app_id = ${appId} and id = ${target}`,
  };
  return (await rows[scope]()).length === 1;
}

/**
 * Sets a hold, once for each id. Null when the recording that it names is gone already or is about to go: then there is
 * nothing that it could keep.
 */
export async function insertHold(
  db: Database,
  hold: Pick<HoldRow, 'id' | 'appId' | 'scope' | 'target' | 'reason' | 'reference' | 'setBy' | 'setAt'>,
): Promise<HoldRow | null> {
  return db.sql.begin(async (sql) => {
    await lockHolds(sql);
    if (hold.scope === 'recording') {
      const going = await sql`
        select 1 from recordings where id::text = ${hold.target}
          and (removing_at is not null or state in ('removed', 'expired'))`;
      if (going.length > 0) return null;
    }
    await sql`
      insert into holds (id, app_id, scope, target, reason, reference, set_by, set_at)
      values (${hold.id}, ${hold.appId}, ${hold.scope}, ${hold.target}, ${hold.reason}, ${hold.reference},
              ${hold.setBy}, ${hold.setAt})
      on conflict (id) do nothing`;
    const [row] = await sql<HoldRow[]>`select ${sql.unsafe(COLUMNS)} from holds where id = ${hold.id}`;
    return row ?? null;
  });
}

export async function holdById(db: Database, id: string): Promise<HoldRow | null> {
  const [row] = await db.sql<HoldRow[]>`select ${db.sql.unsafe(COLUMNS)} from holds where id = ${id}`;
  return row ?? null;
}

/** The first of two words. Null when there was one, or the hold is over. */
export async function releaseHoldFirst(
  db: Database,
  id: string,
  actor: string,
  now: Date,
): Promise<HoldRow | null> {
  const [row] = await db.sql<HoldRow[]>`
    update holds set first_release_by = ${actor}, first_release_at = ${now}
    where id = ${id} and first_release_by is null and released_at is null
    returning ${db.sql.unsafe(COLUMNS)}`;
  return row ?? null;
}

/** The second word, of somebody else: the hold is over. Null when it may not be. */
export async function releaseHold(
  db: Database,
  id: string,
  actor: string,
  now: Date,
): Promise<HoldRow | null> {
  const [row] = await db.sql<HoldRow[]>`
    update holds set released_by = ${actor}, released_at = ${now}
    where id = ${id} and first_release_by <> ${actor} and released_at is null
    returning ${db.sql.unsafe(COLUMNS)}`;
  return row ?? null;
}

/** Holds in force, newest first, of one app or of all. */
export async function holdsInForce(db: Database, limit: number, appId?: string): Promise<HoldRow[]> {
  return db.sql<HoldRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from holds
    where released_at is null ${appId === undefined ? db.sql`` : db.sql`and app_id = ${appId}`}
    order by set_at desc, id limit ${limit}`;
}

/** The holds in force that keep this recording, oldest first. */
export async function holdsOn(sql: Queryable, recordingId: string): Promise<HoldRow[]> {
  return sql<HoldRow[]>`
    select ${sql.unsafe(COLUMNS)} from holds h
    where released_at is null and exists (
      select from recordings r where r.id = ${recordingId} and r.app_id = h.app_id and (
        (h.scope = 'recording' and h.target = r.id::text)
        or (h.scope = 'call' and h.target = r.call_id::text)
        or (h.scope = 'chat' and h.target = r.chat_id)))
    order by set_at, id`;
}

/** The holds in force that keep anything of this scope: a removal of a chat is stopped by the hold on one call of it. */
export async function holdsWithin(
  sql: Queryable,
  { appId, scope, target }: Pick<HoldRow, 'appId' | 'scope' | 'target'>,
): Promise<HoldRow[]> {
  return sql<HoldRow[]>`
    select ${sql.unsafe(COLUMNS)} from holds h
    where released_at is null and h.app_id = ${appId} and (
      (h.scope = ${scope} and h.target = ${target})
      or exists (
        select from recordings r where r.app_id = h.app_id
          and case ${scope}::text
            when 'recording' then r.id::text when 'call' then r.call_id::text else r.chat_id end = ${target}
          and case h.scope
            when 'recording' then r.id::text when 'call' then r.call_id::text else r.chat_id end = h.target))
    order by set_at, id`;
}
