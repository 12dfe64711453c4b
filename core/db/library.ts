import type { Recording, RecordingState } from '#protocol';
import type { Database, Queryable } from './database.ts';

/**
 * Who asks: an app's server sees every recording of the app, a user those that they are a party of.
 * The parties are fixed by the call: a chat that is renamed, closed or deleted changes nothing for them, and who comes
 * to it later gets nothing (F20). Only a chat marked private keeps out the party who does not own it (F30).
 */
export interface Viewer {
  appId: string;
  userId?: string;
  /** The role that the user's token names. */
  role?: string;
}

interface Row {
  id: string;
  callId: string;
  chatId: string;
  mode: Recording['mode'];
  state: RecordingState;
  reason: string | null;
  callerId: string;
  calleeId: string;
  callerName: string | null;
  calleeName: string | null;
  startedAt: Date;
  endedAt: Date | null;
  updatedAt: Date;
  durationMs: number | null;
  sizeBytes: number | null;
  format: string | null;
  sha256: string | null;
  legs: { side: 'caller' | 'callee'; packets: number; lost: number; duplicates: number }[] | null;
}

/** Whether the viewer may know of this chat: the app itself, its members, and the parties of calls in it. */
export function mayListChat(db: Database, viewer: Viewer, chatId: string): Promise<boolean> {
  return mayList(db, viewer, chatId, db.sql``);
}

/** The same for its recordings: in a chat marked private its owner alone, beside the app itself (F30). */
export function mayListRecordings(db: Database, viewer: Viewer, chatId: string): Promise<boolean> {
  return mayList(db, viewer, chatId, db.sql`and not (c.private and c.owner_id <> ${viewer.userId ?? ''})`);
}

/** One statement for every answer, so that a chat which is not there takes as long as one that is not theirs. */
async function mayList(
  db: Database,
  { appId, userId }: Viewer,
  chatId: string,
  further: ReturnType<typeof partiesOnly>,
): Promise<boolean> {
  if (userId === undefined) {
    return (await db.sql`select 1 from chats where app_id = ${appId} and id = ${chatId}`).length === 1;
  }
  const rows = await db.sql`
    select 1 from chats c
    where c.app_id = ${appId} and c.id = ${chatId} and (
      (c.deleted_at is null and exists (
        select from chat_members m where m.app_id = c.app_id and m.chat_id = c.id and m.user_id = ${userId}))
      or exists (
        select from recordings r
        where r.app_id = c.app_id and r.chat_id = c.id and ${userId} in (r.caller_id, r.callee_id))) ${further}`;
  return rows.length === 1;
}

/** A page of a chat's recordings, newest first, after the one with the id `cursor`. */
export async function listRecordings(
  db: Database,
  viewer: Viewer,
  chatId: string,
  page: { limit: number; cursor?: string },
): Promise<Recording[]> {
  const after =
    page.cursor === undefined
      ? db.sql``
      : db.sql`and (r.started_at, r.id) < (
          select started_at, id from recordings
          where id = ${page.cursor} and app_id = ${viewer.appId} and chat_id = ${chatId})`;
  const rows = await db.sql<Row[]>`
    ${columns(db)}
    where r.app_id = ${viewer.appId} and r.chat_id = ${chatId} ${partiesOnly(db, viewer)} ${after}
    order by r.started_at desc, r.id desc
    limit ${page.limit}`;
  return rows.map(recordingOf);
}

/** One recording, or nothing when there is none or the viewer may not know of it. */
export async function findRecording(
  db: Database,
  viewer: Viewer,
  id: string,
): Promise<Recording | undefined> {
  const [row] = await db.sql<Row[]>`
    ${columns(db)} where r.app_id = ${viewer.appId} and r.id = ${id} ${partiesOnly(db, viewer)}`;
  return row === undefined ? undefined : recordingOf(row);
}

/** The levels of a recording's waveform; nothing for one that has none, or no longer. Who may know of it was asked before. */
export async function findPeaks(
  db: Database,
  recordingId: string,
): Promise<{ intervalMs: number; levels: number[] } | undefined> {
  const [row] = await db.sql<{ peaks: { intervalMs: number; levels: number[] } | null }[]>`
    select report->'peaks' as peaks from recordings
    where id = ${recordingId} and state = 'available' and removing_at is null`;
  return row?.peaks ?? undefined;
}

/** The two parties of a recording with the names that they have now. Who may know of it was asked before. */
export async function findParties(
  db: Database,
  recordingId: string,
): Promise<{ userId: string; name: string }[]> {
  return db.sql<{ userId: string; name: string }[]>`
    select u.id as "userId", u.name from recordings r
    join users u on u.app_id = r.app_id and u.id in (r.caller_id, r.callee_id)
    where r.id = ${recordingId}`;
}

function columns(db: Database) {
  return db.sql`
    select r.id, r.call_id as "callId", r.chat_id as "chatId", c.mode, r.state, r.reason,
      r.caller_id as "callerId", r.callee_id as "calleeId", a.name as "callerName", b.name as "calleeName",
      r.started_at as "startedAt", r.ended_at as "endedAt", r.updated_at as "updatedAt",
      r.duration_ms::float8 as "durationMs", r.size_bytes::float8 as "sizeBytes", r.format, r.sha256,
      r.report->'legs' as legs
    from recordings r join calls c on c.id = r.call_id
    left join users a on a.app_id = r.app_id and a.id = r.caller_id
    left join users b on b.app_id = r.app_id and b.id = r.callee_id`;
}

/** Whether the chat of the recording `r` is marked private, and somebody else owns it. */
export function privateToOther(sql: Queryable, userId: string) {
  return sql`exists (
    select from chats p
    where p.app_id = r.app_id and p.id = r.chat_id and p.private and p.owner_id <> ${userId})`;
}

function partiesOnly(db: Database, { userId }: Viewer) {
  return userId === undefined
    ? db.sql``
    : db.sql`and ${userId} in (r.caller_id, r.callee_id) and not ${privateToOther(db.sql, userId)}`;
}

/** States in which the `reason` column says why there is nothing to play; in others it says how the call ended. */
const STATES_WITH_REASON: readonly RecordingState[] = ['failed', 'removed', 'expired'];

/** The last states of a recording: nothing changes its row after them. */
const GONE: readonly RecordingState[] = ['removed', 'expired'];

function recordingOf(row: Row): Recording {
  const { id, callId, chatId, mode, state } = row;
  const reason = STATES_WITH_REASON.includes(state) ? row.reason : null;
  const legs = row.legs?.map(({ side, packets, lost, duplicates }) => ({
    userId: side === 'caller' ? row.callerId : row.calleeId,
    packets,
    lost,
    duplicates,
  }));
  return {
    id,
    callId,
    chatId,
    mode,
    caller: { userId: row.callerId, name: row.callerName ?? row.callerId },
    callee: { userId: row.calleeId, name: row.calleeName ?? row.calleeId },
    state,
    startedAt: row.startedAt.toISOString(),
    ...(reason === null ? {} : { reason }),
    ...(row.endedAt === null ? {} : { endedAt: row.endedAt.toISOString() }),
    ...(GONE.includes(state) ? { removedAt: row.updatedAt.toISOString() } : {}),
    ...(row.durationMs === null ? {} : { durationMs: row.durationMs }),
    ...(row.sizeBytes === null ? {} : { sizeBytes: row.sizeBytes }),
    ...(row.format === null ? {} : { format: row.format }),
    ...(row.sha256 === null ? {} : { sha256: row.sha256 }),
    ...(legs === undefined ? {} : { legs }),
  };
}
