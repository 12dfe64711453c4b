import type { PutMessagesBody, PutTranscriptBody, SentMessage, Side, TranscriptSegment } from '#protocol';
import { TIMELINE_LIMITS } from '#protocol';
import type { Database } from './database.ts';

/** What an app supplied about a call, and what is needed to put it in step with the recording. */
export interface TimelineRow {
  segments: TranscriptSegment[];
  messages: SentMessage[];
  /** When the recording began. */
  startedAt: Date;
  sides: Readonly<Record<Side, string>>;
}

/**
 * Puts a new version of a call's transcript, as a whole or of one side; the other side's is then that of the version
 * before. Undefined when the app has no such call, or when what was said is gone with its recording.
 */
export async function putTranscript(
  db: Database,
  appId: string,
  callId: string,
  { segments }: PutTranscriptBody,
  side?: Side,
): Promise<VersionRow | undefined> {
  const value = db.sql.json(segments.map((row) => ({ ...row })));
  const kept = side ?? '';
  const [row] = await db.sql<VersionRow[]>`
    insert into timelines as t (call_id, app_id, segments, version, source)
    select id, app_id, ${value}, 1, 'app' from calls where id = ${callId} and app_id = ${appId}
    on conflict (call_id) do update set
      version = t.version + 1,
      source = 'app',
      written_at = now(),
      updated_at = now(),
      segments = excluded.segments || case when ${kept} = '' then '[]'::jsonb else (
        select coalesce(jsonb_agg(s order by place), '[]') from jsonb_array_elements(t.segments)
          with ordinality as old (s, place) where s->>'side' <> ${kept}) end,
      earlier = case when t.version = 0 then t.earlier else (
        select jsonb_agg(e order by place) from jsonb_array_elements(jsonb_build_array(jsonb_build_object(
          'version', t.version, 'source', t.source, 'segments', t.segments,
          'writtenAt', to_char(t.written_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        )) || t.earlier) with ordinality as kept (e, place) where place < ${TIMELINE_LIMITS.versions}) end
    returning version, source, written_at as "writtenAt"`;
  return row;
}

/** A version without what was said. */
export interface VersionRow {
  version: number;
  source: 'app' | 'transcriber';
  writtenAt: Date;
}

export interface TranscriptRow extends VersionRow {
  segments: TranscriptSegment[];
  /** Those before it, newest first. */
  earlier: {
    version: number;
    source: 'app' | 'transcriber';
    writtenAt: string;
    segments: TranscriptSegment[];
  }[];
}

/** Of a call of this app; of one that the user took part in, when a user asks. Undefined without a transcript. */
export async function findTranscript(
  db: Database,
  { appId, userId }: { appId: string; userId?: string },
  callId: string,
): Promise<TranscriptRow | undefined> {
  const own = userId === undefined ? db.sql`` : db.sql`and ${userId} in (c.caller_id, c.callee_id)`;
  const [row] = await db.sql<TranscriptRow[]>`
    select t.version, t.source, t.written_at as "writtenAt", t.segments, t.earlier
    from timelines t join calls c on c.id = t.call_id
    where c.id = ${callId} and c.app_id = ${appId} and t.version > 0 ${own}
      and not exists (
        select from recordings r where r.call_id = c.id
          and (r.removing_at is not null or r.state in ('removed', 'expired')))`;
  return row;
}

/** Replaces the messages of a call; false when the app has no such call. */
export function putMessages(
  db: Database,
  appId: string,
  callId: string,
  { messages }: PutMessagesBody,
): Promise<boolean> {
  return put(db, appId, callId, messages);
}

async function put(
  db: Database,
  appId: string,
  callId: string,
  messages: readonly SentMessage[],
): Promise<boolean> {
  const value = db.sql.json(messages.map((row) => ({ ...row })));
  const { count } = await db.sql`
    insert into timelines (call_id, app_id, messages)
    select id, app_id, ${value} from calls where id = ${callId} and app_id = ${appId}
    on conflict (call_id) do update set messages = excluded.messages, updated_at = now()`;
  return count === 1;
}

/** Of a recording that exists; nothing supplied is two empty lists. */
export async function findTimeline(db: Database, recordingId: string): Promise<TimelineRow | undefined> {
  const [row] = await db.sql<
    {
      segments: TranscriptSegment[] | null;
      messages: SentMessage[] | null;
      startedAt: Date;
      callerId: string;
      calleeId: string;
    }[]
  >`
    select t.segments, t.messages, r.started_at as "startedAt", r.caller_id as "callerId", r.callee_id as "calleeId"
    from recordings r left join timelines t on t.call_id = r.call_id
    where r.id = ${recordingId}`;
  if (row === undefined) return undefined;
  return {
    segments: row.segments ?? [],
    messages: row.messages ?? [],
    startedAt: row.startedAt,
    sides: { caller: row.callerId, callee: row.calleeId },
  };
}
