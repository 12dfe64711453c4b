import type { Database } from './database.ts';
import type { HoldRow, HoldScope } from './holds.ts';
import { holdsWithin, lockHolds } from './holds.ts';

export type RemovalState = 'requested' | 'approved' | 'executing' | 'done';

/** A legal order to remove recordings (F41), from the request to its end. */
export interface RemovalRow {
  id: string;
  appId: string;
  scope: HoldScope;
  target: string;
  state: RemovalState;
  authority: string;
  reference: string;
  basis: string;
  orderSha256: string;
  orderMediaType: string;
  gag: boolean;
  notBefore: Date | null;
  expiresAt: Date;
  coolingOffMs: number;
  requestedBy: string;
  requestedAt: Date;
  /** Leaf hash (hex) of the request's entry; null while that is owed. */
  requestHash: string | null;
  approvedBy: string | null;
  approvedAt: Date | null;
  executedBy: string | null;
  executedAt: Date | null;
  doneAt: Date | null;
}

const COLUMNS = `id, app_id as "appId", scope, target, state, authority, reference, basis,
  order_sha256 as "orderSha256", order_media_type as "orderMediaType", gag, not_before as "notBefore",
  expires_at as "expiresAt", cooling_off_ms as "coolingOffMs", requested_by as "requestedBy",
  requested_at as "requestedAt", request_hash as "requestHash", approved_by as "approvedBy",
  approved_at as "approvedAt", executed_by as "executedBy", executed_at as "executedAt", done_at as "doneAt"`;

export type NewRemoval = Pick<
  RemovalRow,
  | 'id'
  | 'appId'
  | 'scope'
  | 'target'
  | 'authority'
  | 'reference'
  | 'basis'
  | 'orderSha256'
  | 'orderMediaType'
  | 'gag'
  | 'notBefore'
  | 'expiresAt'
  | 'coolingOffMs'
  | 'requestedBy'
  | 'requestedAt'
>;

/** The first with an id stays. Answers the one that is there. */
export async function insertRemoval(db: Database, row: NewRemoval): Promise<RemovalRow> {
  await db.sql`
    insert into removals (id, app_id, scope, target, authority, reference, basis, order_sha256, order_media_type, gag,
      not_before, expires_at, cooling_off_ms, requested_by, requested_at)
    values (${row.id}, ${row.appId}, ${row.scope}, ${row.target}, ${row.authority}, ${row.reference}, ${row.basis},
      ${row.orderSha256}, ${row.orderMediaType}, ${row.gag}, ${row.notBefore}, ${row.expiresAt}, ${row.coolingOffMs},
      ${row.requestedBy}, ${row.requestedAt})
    on conflict (id) do nothing`;
  const standing = await removalById(db, row.id);
  if (standing === null) throw new Error('a removal that was just made is not there');
  return standing;
}

export async function removalById(db: Database, id: string): Promise<RemovalRow | null> {
  const [row] = await db.sql<RemovalRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from removals where id = ${id}`;
  return row ?? null;
}

/** Newest first, of one app or of all. */
export async function listRemovals(db: Database, limit: number, appId?: string): Promise<RemovalRow[]> {
  return db.sql<RemovalRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from removals
    ${appId === undefined ? db.sql`` : db.sql`where app_id = ${appId}`}
    order by requested_at desc, id limit ${limit}`;
}

/** Removals that a crash may have left between two steps, oldest first. */
export async function unfinishedRemovals(db: Database, limit: number): Promise<RemovalRow[]> {
  return db.sql<RemovalRow[]>`
    select ${db.sql.unsafe(COLUMNS)} from removals where state <> 'done' order by requested_at, id limit ${limit}`;
}

export async function setRequestHash(db: Database, id: string, requestHash: string): Promise<void> {
  await db.sql`update removals set request_hash = ${requestHash} where id = ${id} and request_hash is null`;
}

export async function isAssertionUsed(db: Database, assertionId: string): Promise<boolean> {
  const rows = await db.sql`select 1 from step_up_assertions where id = ${assertionId}`;
  return rows.length > 0;
}

/** Takes the assertion and the step in one transaction. Null when either was taken before. */
export async function approveRemoval(
  db: Database,
  id: string,
  { approvedBy, approvedAt, assertionId }: { approvedBy: string; approvedAt: Date; assertionId: string },
): Promise<RemovalRow | null> {
  return db.sql.begin(async (sql) => {
    const used = await sql`
      insert into step_up_assertions (id, admin_id, removal_id, used_at)
      values (${assertionId}, ${approvedBy}, ${id}, ${approvedAt}) on conflict (id) do nothing returning id`;
    if (used.length === 0) return null;
    const [row] = await sql<RemovalRow[]>`
      update removals set state = 'approved', approved_by = ${approvedBy}, approved_at = ${approvedAt}
      where id = ${id} and state = 'requested' and requested_by <> ${approvedBy}
      returning ${sql.unsafe(COLUMNS)}`;
    return row ?? null;
  });
}

/**
 * Fixes what the order takes: every recording in its scope that is not gone. One transaction, with nobody setting a hold
 * meanwhile. Null when it is not approved (any more).
 */
export async function executeRemoval(
  db: Database,
  id: string,
  { executedBy, executedAt }: { executedBy: string; executedAt: Date },
): Promise<{ row: RemovalRow } | { held: HoldRow } | null> {
  return db.sql.begin(async (sql) => {
    await lockHolds(sql);
    const [before] = await sql<RemovalRow[]>`
      select ${sql.unsafe(COLUMNS)} from removals where id = ${id} and state = 'approved' for update`;
    if (before === undefined) return null;
    const [held] = await holdsWithin(sql, before);
    if (held !== undefined) return { held };
    const { scope, target, appId } = before;
    await sql`
      insert into removal_targets (removal_id, recording_id)
      select ${id}, r.id from recordings r
      where r.app_id = ${appId} and r.state not in ('removed', 'expired') and coalesce(r.reason, '') <> 'not_armed'
        and case ${scope}::text
          when 'recording' then r.id::text when 'call' then r.call_id::text else r.chat_id end = ${target}
      on conflict do nothing`;
    const [row] = await sql<RemovalRow[]>`
      update removals set state = 'executing', executed_by = ${executedBy}, executed_at = ${executedAt}
      where id = ${id} returning ${sql.unsafe(COLUMNS)}`;
    return row === undefined ? null : { row };
  });
}

export interface TargetRow {
  recordingId: string;
  callId: string;
  state: string;
  goneAt: Date | null;
}

/** What the order takes, in the order of the ids. */
export async function removalTargets(db: Database, id: string): Promise<TargetRow[]> {
  return db.sql<TargetRow[]>`
    select r.id as "recordingId", r.call_id as "callId", r.state,
      case when r.state in ('removed', 'expired') then r.updated_at end as "goneAt"
    from removal_targets t join recordings r on r.id = t.recording_id
    where t.removal_id = ${id} order by r.id`;
}

/** Null unless everything that it takes is gone. */
export async function finishRemoval(db: Database, id: string, doneAt: Date): Promise<RemovalRow | null> {
  const [row] = await db.sql<RemovalRow[]>`
    update removals set state = 'done', done_at = ${doneAt}
    where id = ${id} and state = 'executing' and not exists (
      select from removal_targets t join recordings r on r.id = t.recording_id
      where t.removal_id = removals.id and r.state not in ('removed', 'expired') and coalesce(r.reason, '') <> 'not_armed')
    returning ${db.sql.unsafe(COLUMNS)}`;
  return row ?? null;
}
