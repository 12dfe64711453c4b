import type { CallHistoryItem, CallMode, CallState, EndReason, Party, Side } from '#protocol';
import type { Database } from './database.ts';
import type { Viewer } from './library.ts';
import { privateToOther } from './library.ts';

interface Row {
  callId: string;
  chatId: string;
  mode: CallMode;
  state: CallState;
  endReason: EndReason | null;
  callerId: string;
  callerName: string | null;
  callerAvatar: string | null;
  calleeId: string;
  calleeName: string | null;
  calleeAvatar: string | null;
  accepted: boolean;
  startedAt: Date;
  activeAt: Date | null;
  endedAt: Date | null;
  recordingId: string | null;
}

/** Whether `callId` is a call of this chat that the viewer may know of: a cursor of an earlier page is one. */
export async function knowsCall(
  db: Database,
  viewer: Viewer,
  chatId: string,
  callId: string,
): Promise<boolean> {
  const rows = await db.sql`
    select 1 from calls c
    where c.app_id = ${viewer.appId} and c.chat_id = ${chatId} and c.id = ${callId} ${ownOnly(db, viewer)}`;
  return rows.length === 1;
}

/**
 * A page of a chat's calls of both modes, newest first, after the call `cursor`. A user sees those that they took part
 * in, whatever became of the chat; an app's server sees all.
 */
export async function listCalls(
  db: Database,
  viewer: Viewer,
  chatId: string,
  page: { limit: number; cursor?: string },
): Promise<CallHistoryItem[]> {
  const after =
    page.cursor === undefined
      ? db.sql``
      : db.sql`and (c.started_at, c.id) < (
          select started_at, id from calls
          where id = ${page.cursor} and app_id = ${viewer.appId} and chat_id = ${chatId})`;
  const rows = await db.sql<Row[]>`
    select c.id as "callId", c.chat_id as "chatId", c.mode, c.state, c.end_reason as "endReason",
      c.caller_id as "callerId", a.name as "callerName", a.avatar_url as "callerAvatar",
      c.callee_id as "calleeId", b.name as "calleeName", b.avatar_url as "calleeAvatar",
      c.accepted_at is not null as accepted,
      c.started_at as "startedAt", c.active_at as "activeAt", c.ended_at as "endedAt",
      ${recordingId(db, viewer)} as "recordingId"
    from calls c
    left join users a on a.app_id = c.app_id and a.id = c.caller_id
    left join users b on b.app_id = c.app_id and b.id = c.callee_id
    left join recordings r on r.call_id = c.id
    where c.app_id = ${viewer.appId} and c.chat_id = ${chatId} ${ownOnly(db, viewer)} ${after}
    order by c.started_at desc, c.id desc
    limit ${page.limit}`;
  return rows.map((row) => itemOf(row, viewer));
}

/** Nothing to ask for where a private chat keeps the viewer from its recordings. */
function recordingId(db: Database, { userId }: Viewer) {
  return userId === undefined
    ? db.sql`r.id`
    : db.sql`case when not ${privateToOther(db.sql, userId)} then r.id end`;
}

function ownOnly(db: Database, { userId }: Viewer) {
  return userId === undefined ? db.sql`` : db.sql`and ${userId} in (c.caller_id, c.callee_id)`;
}

function itemOf(row: Row, { userId }: Viewer): CallHistoryItem {
  const side: Side | undefined =
    userId === undefined ? undefined : userId === row.callerId ? 'caller' : 'callee';
  const { callId, chatId, mode, state, endReason, activeAt, endedAt, recordingId } = row;
  return {
    callId,
    chatId,
    mode,
    caller: partyOf(row.callerId, row.callerName, row.callerAvatar),
    callee: partyOf(row.calleeId, row.calleeName, row.calleeAvatar),
    ...(side === undefined ? {} : { side }),
    state,
    ...(endReason === null ? {} : { endReason }),
    // Who declined was there.
    missed: state === 'ended' && !row.accepted && endReason !== 'declined',
    startedAt: row.startedAt.toISOString(),
    ...(activeAt === null ? {} : { activeAt: activeAt.toISOString() }),
    ...(endedAt === null ? {} : { endedAt: endedAt.toISOString() }),
    ...(activeAt === null || endedAt === null
      ? {}
      : { durationMs: Math.max(0, endedAt.getTime() - activeAt.getTime()) }),
    ...(recordingId === null ? {} : { recordingId }),
  };
}

function partyOf(userId: string, name: string | null, avatarUrl: string | null): Party {
  return { userId, name: name ?? userId, ...(avatarUrl === null ? {} : { avatarUrl }) };
}
