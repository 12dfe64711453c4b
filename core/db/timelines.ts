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

/** One version of a transcript. */
export interface TranscriptVersionRow {
  version: number;
  source: 'app' | 'transcriber';
  /** ISO 8601. */
  writtenAt: string;
  segments: TranscriptSegment[];
}

/**
 * What the column `segments` holds: the versions that are kept, newest first; or, from before there were versions, the
 * segments themselves. All of them lie in the one row, which goes as a whole when a recording does.
 */
type StoredSegments = { versions: TranscriptVersionRow[] } | TranscriptSegment[];

function versionsOf(stored: StoredSegments | null, updatedAt: Date | null): TranscriptVersionRow[] {
  if (stored === null) return [];
  if (!Array.isArray(stored)) return stored.versions;
  if (stored.length === 0) return [];
  const writtenAt = (updatedAt ?? new Date(0)).toISOString();
  return [{ version: 1, source: 'app', writtenAt, segments: stored }];
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
): Promise<TranscriptVersionRow | undefined> {
  return db.sql.begin(async (sql) => {
    // The call's row is what two at once wait for: there may be no row of its timeline yet.
    const [call] = await sql`select 1 from calls where id = ${callId} and app_id = ${appId} for update`;
    if (call === undefined) return undefined;
    const [row] = await sql<{ segments: StoredSegments; updatedAt: Date }[]>`
      select segments, updated_at as "updatedAt" from timelines where call_id = ${callId}`;
    const before = versionsOf(row?.segments ?? null, row?.updatedAt ?? null);
    const kept = side === undefined ? [] : (before[0]?.segments ?? []).filter((one) => one.side !== side);
    const version: TranscriptVersionRow = {
      version: (before[0]?.version ?? 0) + 1,
      source: 'app',
      writtenAt: new Date().toISOString(),
      segments: [...segments, ...kept],
    };
    const versions = [version, ...before].slice(0, TIMELINE_LIMITS.versions);
    const value = sql.json({
      versions: versions.map((one) => ({ ...one, segments: one.segments.map((each) => ({ ...each })) })),
    });
    const { count } = await sql`
      insert into timelines (call_id, app_id, segments) values (${callId}, ${appId}, ${value})
      on conflict (call_id) do update set segments = excluded.segments, updated_at = now()`;
    return count === 1 ? version : undefined;
  });
}

/** The versions that are kept, newest first, of a call of this app; of one that the user took part in, for a user. */
export async function findTranscript(
  db: Database,
  { appId, userId }: { appId: string; userId?: string },
  callId: string,
): Promise<TranscriptVersionRow[]> {
  const own = userId === undefined ? db.sql`` : db.sql`and ${userId} in (c.caller_id, c.callee_id)`;
  const [row] = await db.sql<{ segments: StoredSegments; updatedAt: Date }[]>`
    select t.segments, t.updated_at as "updatedAt" from timelines t join calls c on c.id = t.call_id
    where c.id = ${callId} and c.app_id = ${appId} ${own}
      and not exists (
        select from recordings r where r.call_id = c.id
          and (r.removing_at is not null or r.state in ('removed', 'expired')))`;
  return versionsOf(row?.segments ?? null, row?.updatedAt ?? null);
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
      segments: StoredSegments | null;
      updatedAt: Date | null;
      messages: SentMessage[] | null;
      startedAt: Date;
      callerId: string;
      calleeId: string;
    }[]
  >`
    select t.segments, t.updated_at as "updatedAt", t.messages, r.started_at as "startedAt", r.caller_id as "callerId", r.callee_id as "calleeId"
    from recordings r left join timelines t on t.call_id = r.call_id
    where r.id = ${recordingId}`;
  if (row === undefined) return undefined;
  return {
    segments: versionsOf(row.segments, row.updatedAt)[0]?.segments ?? [],
    messages: row.messages ?? [],
    startedAt: row.startedAt,
    sides: { caller: row.callerId, callee: row.calleeId },
  };
}
