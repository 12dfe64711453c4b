import type { PutMessagesBody, PutTranscriptBody, SentMessage, Side, TranscriptSegment } from '#protocol';
import type { Database } from './database.ts';

/** What an app supplied about a call, and what is needed to put it in step with the recording. */
export interface TimelineRow {
  segments: TranscriptSegment[];
  messages: SentMessage[];
  /** When the recording began. */
  startedAt: Date;
  sides: Readonly<Record<Side, string>>;
}

/** Replaces the transcript of a call; false when the app has no such call. */
export function putTranscript(
  db: Database,
  appId: string,
  callId: string,
  { segments }: PutTranscriptBody,
): Promise<boolean> {
  return put(db, appId, callId, 'segments', segments);
}

/** Replaces the messages of a call; false when the app has no such call. */
export function putMessages(
  db: Database,
  appId: string,
  callId: string,
  { messages }: PutMessagesBody,
): Promise<boolean> {
  return put(db, appId, callId, 'messages', messages);
}

async function put(
  db: Database,
  appId: string,
  callId: string,
  column: 'segments' | 'messages',
  rows: readonly TranscriptSegment[] | readonly SentMessage[],
): Promise<boolean> {
  const value = db.sql.json(rows.map((row) => ({ ...row })));
  const { count } = await db.sql`
    insert into timelines (call_id, app_id, ${db.sql(column)})
    select id, app_id, ${value} from calls where id = ${callId} and app_id = ${appId}
    on conflict (call_id) do update set ${db.sql(column)} = excluded.${db.sql(column)}, updated_at = now()`;
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
