import { randomUUID } from 'node:crypto';
import type { Database } from './database.ts';

/** What an operator has to look at. One open alarm for each kind and subject: repeated ones are counted. */
export interface AlarmRow {
  id: string;
  kind: string;
  subject: string;
  detail: string;
  raisedAt: Date;
  lastAt: Date;
  count: number;
  clearedAt: Date | null;
}

const COLUMNS = `id, kind, subject, detail, raised_at as "raisedAt", last_at as "lastAt", count, cleared_at as "clearedAt"`;

/** Raises an alarm, or counts one that is open already; the newest detail stays. One statement. */
export async function raiseAlarm(
  db: Database,
  { kind, subject, detail }: Pick<AlarmRow, 'kind' | 'subject' | 'detail'>,
): Promise<AlarmRow> {
  const [row] = await db.sql<AlarmRow[]>`
    insert into alarms (id, kind, subject, detail) values (${randomUUID()}, ${kind}, ${subject}, ${detail})
    on conflict (kind, subject) where cleared_at is null
    do update set count = alarms.count + 1, last_at = now(), detail = excluded.detail
    returning ${db.sql.unsafe(COLUMNS)}`;
  if (row === undefined) throw new Error('an insert that returns its row returned none');
  return row;
}

/** What the alarm was about is as it should be again. False when none was open. */
export async function clearAlarm(db: Database, kind: string, subject: string): Promise<boolean> {
  const rows = await db.sql`
    update alarms set cleared_at = now() where kind = ${kind} and subject = ${subject} and cleared_at is null
    returning id`;
  return rows.length > 0;
}

/** Open alarms, oldest first. */
export async function openAlarms(db: Database, limit: number): Promise<AlarmRow[]> {
  return db.sql<AlarmRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from alarms where cleared_at is null order by raised_at, id limit ${limit}`;
}
