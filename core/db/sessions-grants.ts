import type { Disposition, RecordingFormat } from '#protocol';
import type { Database } from './database.ts';

export interface SessionRow {
  id: string;
  appId: string;
  userId: string;
  tokenSha256: Buffer;
}

/** The sessions with these token hashes that are alive at `now`. */
export async function findSessions(
  db: Database,
  hashes: readonly Buffer[],
  now: Date,
): Promise<SessionRow[]> {
  if (hashes.length === 0) return [];
  return db.sql<SessionRow[]>`
    select id, app_id as "appId", user_id as "userId", token_sha256 as "tokenSha256"
    from sessions
    where token_sha256 in ${db.sql([...hashes])} and ended_at is null and expires_at > ${now}`;
}

export async function insertSession(db: Database, row: SessionRow & { expiresAt: Date }): Promise<void> {
  await db.sql`
    insert into sessions (id, token_sha256, app_id, user_id, expires_at)
    values (${row.id}, ${row.tokenSha256}, ${row.appId}, ${row.userId}, ${row.expiresAt})`;
}

/** Keeps a session alive at least until `expiresAt`; false when it ended meanwhile. */
export async function touchSession(db: Database, id: string, expiresAt: Date): Promise<boolean> {
  const rows = await db.sql`
    update sessions set expires_at = greatest(expires_at, ${expiresAt})
    where id = ${id} and ended_at is null
    returning id`;
  return rows.length === 1;
}

/** Ends sessions and, in the same transaction, every grant that is bound to one of them. */
export async function endSessions(db: Database, ids: readonly string[], now: Date): Promise<void> {
  await db.sql.begin(async (tx) => {
    await tx`update sessions set ended_at = ${now} where id in ${tx([...ids])} and ended_at is null`;
    await tx`update grants set ended_at = ${now} where session_id in ${tx([...ids])} and ended_at is null`;
  });
}

export interface NewGrant {
  id: string;
  recordingId: string;
  appId: string;
  userId: string;
  sessionId: string;
  /** The key that signed the token which it was asked for with, and the role that the token named. */
  kid: string;
  role: string | null;
  disposition: Disposition;
  container: RecordingFormat;
  createdAt: Date;
  firstUseBefore: Date;
  endsAt: Date;
}

export async function insertGrant(db: Database, row: NewGrant): Promise<void> {
  await db.sql`
    insert into grants
      (id, recording_id, app_id, user_id, session_id, kid, role, disposition, container, created_at,
       first_use_before, ends_at)
    values
      (${row.id}, ${row.recordingId}, ${row.appId}, ${row.userId}, ${row.sessionId}, ${row.kid}, ${row.role},
       ${row.disposition}, ${row.container}, ${row.createdAt}, ${row.firstUseBefore}, ${row.endsAt})`;
}

/** A grant with what it takes to serve it. */
export interface GrantRow {
  id: string;
  recordingId: string;
  appId: string;
  userId: string;
  sessionId: string;
  chatId: string;
  disposition: Disposition;
  container: RecordingFormat;
  endsAt: Date;
  startedAt: Date;
  sizeBytes: number | null;
  sha256: string | null;
  format: string | null;
}

/**
 * A grant that may be used at `now`: see `living`; and either used before or within the time for the first use. The first use is entered by the
 * same statement, so two requests cannot both miss it.
 */
export async function useGrant(db: Database, id: string, now: Date): Promise<GrantRow | undefined> {
  const [row] = await db.sql<GrantRow[]>`
    update grants g set first_used_at = coalesce(g.first_used_at, ${now})
    from sessions s, recordings r, apps a
    where g.id = ${id} and ${living(db, now)}
      and (g.first_used_at is not null or g.first_use_before > ${now})
    returning g.id, g.recording_id as "recordingId", g.app_id as "appId", g.user_id as "userId",
      g.session_id as "sessionId", g.disposition, g.container, g.ends_at as "endsAt", r.started_at as "startedAt",
      r.chat_id as "chatId",
      r.size_bytes::float8 as "sizeBytes", r.sha256, r.format`;
  return row;
}

/** Whether a stream under this grant may go on. */
export async function isGrantAlive(db: Database, id: string, now: Date): Promise<boolean> {
  const rows = await db.sql`
    select 1 from grants g, sessions s, recordings r, apps a where g.id = ${id} and ${living(db, now)}`;
  return rows.length === 1;
}

/**
 * Deletes sessions that were over before `before`, with their grants. A grant never outlives its session.
 * At most `limit` at a time, so that no statement holds many rows for long; gives back how many went.
 */
export async function deleteOldSessions(db: Database, before: Date, limit: number): Promise<number> {
  return db.sql.begin(async (sql) => {
    const old = await sql<{ id: string }[]>`
      select id from sessions where least(expires_at, ended_at) < ${before} limit ${limit} for update skip locked`;
    const ids = old.map((row) => row.id);
    if (ids.length === 0) return 0;
    await sql`delete from grants where session_id in ${sql(ids)}`;
    await sql`delete from sessions where id in ${sql(ids)}`;
    return ids.length;
  });
}

/**
 * Not ended, its session alive, its key not revoked, its recording available, and its user one of the two parties who
 * still may read it: the role policy lets them, and no chat that is private to the other one keeps them out. Asked for
 * each request and, while bytes flow, every two seconds, so whatever takes a right away ends what was granted by it.
 */
function living(db: Database, now: Date) {
  return db.sql`
    s.id = g.session_id and r.id = g.recording_id and a.id = g.app_id
    and g.ended_at is null and g.ends_at > ${now}
    and s.ended_at is null and s.expires_at > ${now}
    and r.state = 'available' and r.removing_at is null and g.user_id in (r.caller_id, r.callee_id)
    and not exists (
      select from chats c
      where c.app_id = r.app_id and c.id = r.chat_id and c.private and c.owner_id <> g.user_id)
    and (g.kid is null or exists (select from app_keys k where k.kid = g.kid and k.revoked_at is null))
    and coalesce(
      a.role_policy -> 'roles' -> coalesce(
        g.role, (select u.role from users u where u.app_id = g.app_id and u.id = g.user_id)) ->> 'recordings',
      a.role_policy -> 'default' ->> 'recordings', 'true')::boolean`;
}
