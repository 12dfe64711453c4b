import type { FinaliseResult } from '#protocol';
import type { Database } from './database.ts';

export const RECORDING_STATES = [
  'armed',
  'capturing',
  'processing',
  'available',
  'failed',
  'removed',
  'expired',
] as const;
export type RecordingState = (typeof RECORDING_STATES)[number];

export interface RecordingRow {
  recordingId: string;
  callId: string;
  appId: string;
  chatId: string;
  callerId: string;
  calleeId: string;
  state: RecordingState;
  reason: string | null;
  detail: string | null;
  epoch: number;
  recorderId: string | null;
  startedAt: Date;
  endedAt: Date | null;
  durationMs: number | null;
  sizeBytes: number | null;
  sha256: string | null;
  format: string | null;
  /** The finaliser's whole report, from the moment that the sealed file stands. */
  report: Extract<FinaliseResult, { ok: true }> | null;
  /** Which entry of the ledger says how it ended; null while that is owed, and for ever where nothing was heard. */
  entryIndex: number | null;
  updatedAt: Date;
}

export type NewRecording = Pick<
  RecordingRow,
  'recordingId' | 'callId' | 'appId' | 'chatId' | 'callerId' | 'calleeId'
>;

/** The order of a recording's life. What is not in here never happens, however often a message is repeated. */
const ALLOWED: Readonly<Record<RecordingState, readonly RecordingState[]>> = {
  armed: ['capturing', 'processing', 'failed'],
  capturing: ['processing', 'failed'],
  processing: ['available', 'failed'],
  available: ['removed', 'expired'],
  failed: ['removed', 'expired'],
  removed: [],
  expired: [],
};

/** Where a recording goes, and what is known of it from that moment on. */
export type RecordingChange =
  | { to: 'capturing'; recorderId: string; startedAt: Date }
  | { to: 'processing'; endedAt: Date; reason: string }
  | { to: 'available'; result: Extract<FinaliseResult, { ok: true }>; entryIndex: number | null }
  | { to: 'failed'; reason: string; detail: string }
  /** Nothing of its content stays in the row. Without a reason its parties are told none. */
  | { to: 'removed' | 'expired'; reason: string | null };

/** Enters a recording that has not begun, in state `armed`: a recorder is being looked for. */
export async function insertRecording(db: Database, recording: NewRecording): Promise<void> {
  await db.sql`
    insert into recordings (id, call_id, app_id, chat_id, caller_id, callee_id, state, started_at)
    values (${recording.recordingId}, ${recording.callId}, ${recording.appId}, ${recording.chatId},
            ${recording.callerId}, ${recording.calleeId}, 'armed', now())`;
}

/** Notes which recorder holds the journal, so that a later daemon knows whom to ask. */
export async function setRecorder(
  db: Database,
  recordingId: string,
  epoch: number,
  recorderId: string,
): Promise<void> {
  await db.sql`
    update recordings set recorder_id = ${recorderId}, epoch = ${epoch}, updated_at = now()
    where id = ${recordingId} and state in ('armed', 'capturing')`;
}

/**
 * The one place where a recording changes its state: a transaction that locks the row, looks the step up in ALLOWED
 * and takes it. Null when the step is not allowed from where the recording is now, which is what a repeated message
 * gets, or when there is no such recording.
 */
export async function changeRecording(
  db: Database,
  recordingId: string,
  change: RecordingChange,
): Promise<RecordingRow | null> {
  return db.sql.begin(async (sql) => {
    const [locked] = await sql<{ state: RecordingState }[]>`
      select state from recordings where id = ${recordingId} for update`;
    if (!locked || !ALLOWED[locked.state].includes(change.to)) return null;
    const columns = columnsOf(change);
    const report = change.to === 'available' ? sql.json(change.result) : null;
    const [row] = await sql<RecordingRow[]>`
      update recordings
      set ${sql(columns)}, ${report === null ? sql`` : sql`report = coalesce(${report}, report),`} updated_at = now()
      where id = ${recordingId}
      returning ${sql.unsafe(COLUMNS)}`;
    return row ?? null;
  });
}

export async function recordingById(db: Database, recordingId: string): Promise<RecordingRow | null> {
  const [row] = await db.sql<RecordingRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from recordings where id = ${recordingId}`;
  return row ?? null;
}

/** Recordings whose end is still owed, oldest first. */
export async function openRecordings(
  db: Database,
  states: readonly RecordingState[],
  limit: number,
): Promise<RecordingRow[]> {
  return db.sql<RecordingRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from recordings
    where state in ${db.sql([...states])} order by started_at, id limit ${limit}`;
}

/** The same in the order of their ids, behind `after`: all of them in parts, whatever changes meanwhile. */
export async function openRecordingsAfter(
  db: Database,
  states: readonly RecordingState[],
  after: string | undefined,
  limit: number,
): Promise<RecordingRow[]> {
  return db.sql<RecordingRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from recordings
    where state in ${db.sql([...states])} and (${after ?? null}::uuid is null or id > ${after ?? null}::uuid)
    order by id limit ${limit}`;
}

/**
 * Keeps the report of a sealed file before anything is entered about it, so that a daemon that dies in between goes on
 * from here. The first one stays. Null when the recording is not `processing`.
 */
export async function keepReport(
  db: Database,
  recordingId: string,
  report: Extract<FinaliseResult, { ok: true }>,
): Promise<RecordingRow | null> {
  const [row] = await db.sql<RecordingRow[]>`
    update recordings set report = coalesce(report, ${db.sql.json(report)}), updated_at = now()
    where id = ${recordingId} and state = 'processing'
    returning ${db.sql.unsafe(COLUMNS)}`;
  return row ?? null;
}

/**
 * Recordings that failed after there was something to lose, and whose entry the ledger does not have yet, oldest
 * first. Calls of before the ledger owe nothing.
 */
export async function owedFailures(db: Database, limit: number): Promise<RecordingRow[]> {
  return db.sql<RecordingRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from recordings
    where state = 'failed' and entry_index is null and exists (
      select from calls c where c.id = recordings.call_id and c.evidence <> 'none'
        and (c.active_at is not null or recordings.ended_at is not null))
    order by started_at, id limit ${limit}`;
}

/** Notes which entry says how the recording ended. */
export async function setEntryIndex(db: Database, recordingId: string, entryIndex: number): Promise<void> {
  await db.sql`
    update recordings set entry_index = ${entryIndex} where id = ${recordingId} and entry_index is null`;
}

/**
 * Takes a recording that could not be finalised back to `processing`, with the reason for which its call ended. Only by
 * an operator's word: no message of a queue may undo a failure. Null unless it failed for one of these reasons, and
 * its failure is in the ledger, where one is kept of it.
 */
export async function reopenRecording(
  db: Database,
  recordingId: string,
  reasons: readonly string[],
): Promise<RecordingRow | null> {
  const [row] = await db.sql<RecordingRow[]>`
    update recordings set state = 'processing', detail = null, entry_index = null, updated_at = now(),
      reason = coalesce((select end_reason from calls c where c.id = recordings.call_id), 'retried')
    where id = ${recordingId} and state = 'failed' and removing_at is null and reason in ${db.sql([...reasons])}
      and (entry_index is not null or exists (
        select from calls c where c.id = recordings.call_id and c.evidence = 'none'))
    returning ${db.sql.unsafe(COLUMNS)}`;
  return row ?? null;
}

/** Which of these ids have a row. */
export async function knownRecordings(db: Database, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await db.sql<{ id: string }[]>`select id from recordings where id in ${db.sql([...ids])}`;
  return new Set(rows.map((row) => row.id));
}

/** Which of these ids belong to calls that ended before both sides were recorded: nobody heard anything. */
export async function notArmedRecordings(db: Database, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const rows = await db.sql<{ id: string }[]>`
    select id from recordings where id in ${db.sql([...ids])} and state = 'failed' and reason = 'not_armed'`;
  return rows.map((row) => row.id);
}

const COLUMNS = `id as "recordingId", call_id as "callId", app_id as "appId", chat_id as "chatId",
  caller_id as "callerId", callee_id as "calleeId", state, reason, detail, epoch, recorder_id as "recorderId",
  started_at as "startedAt", ended_at as "endedAt", duration_ms as "durationMs", size_bytes as "sizeBytes",
  sha256, format, report, entry_index as "entryIndex", updated_at as "updatedAt"`;

function columnsOf(change: RecordingChange): Record<string, string | number | Date | null> {
  switch (change.to) {
    case 'capturing':
      return { state: change.to, recorder_id: change.recorderId, started_at: change.startedAt };
    case 'processing':
      return { state: change.to, ended_at: change.endedAt, reason: change.reason };
    case 'available':
      return {
        state: change.to,
        duration_ms: change.result.durationMs,
        size_bytes: change.result.sizeBytes,
        sha256: change.result.sha256,
        format: change.result.format,
        ...(change.entryIndex === null ? {} : { entry_index: change.entryIndex }),
      };
    case 'failed':
      return { state: change.to, reason: change.reason, detail: change.detail };
    default:
      return {
        state: change.to,
        reason: change.reason,
        detail: null,
        sha256: null,
        size_bytes: null,
        format: null,
        report: null,
      };
  }
}

/** How many recordings have waited to be finalised for longer than `waitMs`. */
export async function overdueRecordings(db: Database, waitMs: number): Promise<number> {
  const [row] = await db.sql<{ count: number }[]>`
    select count(*) as count from recordings
    where state = 'processing' and updated_at < now() - ${waitMs} * interval '1 millisecond'`;
  return row?.count ?? 0;
}

/** How many recordings are in each state. Looks at every row. */
export async function countRecordings(db: Database): Promise<{ state: string; count: number }[]> {
  return db.sql<{ state: string; count: number }[]>`
    select state, count(*) as count from recordings group by state`;
}
