import type { Database } from './database.ts';
import type { Queryable } from './sql.ts';

export interface EndpointRow {
  id: string;
  appId: string;
  url: string;
  events: string[];
  enabled: boolean;
  disabledReason: string | null;
  createdAt: Date;
}

/** A message that is due, with where it goes and what it is signed with. */
export interface DueDelivery {
  id: string;
  endpointId: string;
  eventId: string;
  appId: string;
  url: string;
  secretSealed: Buffer;
  /** Signs too, as long as it counts. */
  oldSecretSealed: Buffer | null;
  type: string;
  data: Record<string, unknown>;
  /** When it happened. */
  at: Date;
  /** The tries that were made before. */
  attempts: number;
}

export interface AttemptRow {
  at: Date;
  tookMs: number;
  status: number | null;
  error: string | null;
}

export interface DeliveryRow {
  id: string;
  eventId: string;
  type: string;
  state: 'pending' | 'delivered' | 'failed';
  createdAt: Date;
  nextAt: Date;
  attempts: { at: string; tookMs: number; status: number | null; error: string | null }[];
}

const columns = (sql: Queryable) => sql`
  id, app_id as "appId", url, events, enabled, disabled_reason as "disabledReason", created_at as "createdAt"`;

export async function listEndpoints(db: Database, appId: string): Promise<EndpointRow[]> {
  return db.sql<EndpointRow[]>`
    select ${columns(db.sql)} from webhook_endpoints where app_id = ${appId} order by created_at, id`;
}

/** Undefined when the app has `most` endpoints already. */
export async function insertEndpoint(
  db: Database,
  row: { id: string; appId: string; url: string; events: readonly string[]; secretSealed: Buffer },
  most: number,
): Promise<EndpointRow | undefined> {
  return db.sql.begin(async (sql) => {
    // Two at once must not both find room for the last one.
    await sql`select 1 from apps where id = ${row.appId} for update`;
    const [made] = await sql<EndpointRow[]>`
      insert into webhook_endpoints (id, app_id, url, events, secret_sealed)
      select ${row.id}, ${row.appId}, ${row.url}, ${[...row.events]}, ${row.secretSealed}
      where (select count(*) from webhook_endpoints where app_id = ${row.appId}) < ${most}
      returning ${columns(sql)}`;
    return made;
  });
}

export async function updateEndpoint(
  db: Database,
  appId: string,
  id: string,
  change: { url?: string; events?: readonly string[]; enabled?: boolean },
): Promise<EndpointRow | undefined> {
  const [row] = await db.sql<EndpointRow[]>`
    update webhook_endpoints set
      url = coalesce(${change.url ?? null}, url),
      events = coalesce(${change.events === undefined ? null : [...change.events]}::text[], events),
      enabled = coalesce(${change.enabled ?? null}::boolean, enabled),
      disabled_reason = case when ${change.enabled ?? null}::boolean then null else disabled_reason end
    where app_id = ${appId} and id = ${id}
    returning ${columns(db.sql)}`;
  return row;
}

/** Turned off by the server itself; what is pending for it waits until somebody turns it on. */
export async function disableEndpoint(db: Database, id: string, reason: string): Promise<void> {
  await db.sql`update webhook_endpoints set enabled = false, disabled_reason = ${reason} where id = ${id}`;
}

export async function deleteEndpoint(db: Database, appId: string, id: string): Promise<boolean> {
  const { count } = await db.sql`delete from webhook_endpoints where app_id = ${appId} and id = ${id}`;
  return count === 1;
}

/** The present secret becomes the old one, which counts until `oldUntil`. */
export async function replaceSecret(
  db: Database,
  appId: string,
  id: string,
  secret: { sealed: Buffer; oldUntil: Date },
): Promise<EndpointRow | undefined> {
  const [row] = await db.sql<EndpointRow[]>`
    update webhook_endpoints
    set old_secret_sealed = secret_sealed, old_secret_until = ${secret.oldUntil}, secret_sealed = ${secret.sealed}
    where app_id = ${appId} and id = ${id}
    returning ${columns(db.sql)}`;
  return row;
}

/** A message for one endpoint only, which an app asked for itself; its id. */
export async function insertMessage(
  db: Database,
  appId: string,
  endpointId: string,
  message: { type: string; data: Record<string, string> },
): Promise<string | undefined> {
  return db.sql.begin(async (sql) => {
    const known = await sql`
      select 1 from webhook_endpoints where app_id = ${appId} and id = ${endpointId} for key share`;
    if (known.length === 0) return undefined;
    const [event] = await sql<{ id: string }[]>`
      insert into webhook_events (app_id, type, data)
      values (${appId}, ${message.type}, ${sql.json(message.data)}) returning id`;
    const [delivery] = await sql<{ id: string }[]>`
      insert into webhook_deliveries (endpoint_id, event_id) values (${endpointId}, ${event?.id ?? ''}) returning id`;
    return delivery?.id;
  });
}

/** Due again at once, from the first try on. False when there is no such message. */
export async function replayDelivery(
  db: Database,
  appId: string,
  endpointId: string,
  id: string,
): Promise<boolean> {
  const { count } = await db.sql`
    update webhook_deliveries d set state = 'pending', attempts = 0, next_at = now()
    from webhook_endpoints e
    where d.id = ${id} and d.endpoint_id = ${endpointId} and e.id = d.endpoint_id and e.app_id = ${appId}`;
  return count === 1;
}

/**
 * Takes messages that are due, one for each endpoint at most, the longest due first, and puts them off until `until`:
 * should this process die, they are due again then. Tests of an endpoint go out though it is turned off.
 */
export async function takeDue(
  db: Database,
  options: { limit: number; until: Date; except: readonly string[]; now: Date },
): Promise<DueDelivery[]> {
  if (options.limit <= 0) return [];
  return db.sql<DueDelivery[]>`
    with due as (
      select distinct on (d.endpoint_id) d.id, d.next_at
      from webhook_deliveries d
      join webhook_endpoints e on e.id = d.endpoint_id
      join webhook_events v on v.id = d.event_id
      where d.state = 'pending' and d.next_at <= ${options.now} and (e.enabled or v.type = 'webhook.test')
        and d.endpoint_id <> all (${[...options.except]}::uuid[])
      order by d.endpoint_id, d.next_at, d.created_at, d.id
    ), chosen as (select id from due order by next_at limit ${options.limit})
    update webhook_deliveries d set next_at = ${options.until}
    from chosen, webhook_endpoints e, webhook_events v
    where d.id = chosen.id and e.id = d.endpoint_id and v.id = d.event_id
    returning d.id, d.endpoint_id as "endpointId", d.event_id as "eventId", e.app_id as "appId", e.url,
      e.secret_sealed as "secretSealed",
      case when e.old_secret_until > ${options.now} then e.old_secret_sealed end as "oldSecretSealed",
      v.type, v.data, v.at, d.attempts`;
}

/** What came of a try. `nextAt`: when to try again; without it the message has reached its end. */
export async function enterAttempt(
  db: Database,
  deliveryId: string,
  attempt: AttemptRow,
  outcome: { state: DeliveryRow['state']; nextAt?: Date },
): Promise<void> {
  await db.sql.begin(async (sql) => {
    const { count } = await sql`
      update webhook_deliveries
      set attempts = attempts + 1, state = ${outcome.state}, next_at = ${outcome.nextAt ?? attempt.at}
      where id = ${deliveryId}`;
    // Its endpoint was deleted meanwhile.
    if (count === 0) return;
    await sql`
      insert into webhook_attempts (delivery_id, at, took_ms, status, error)
      values (${deliveryId}, ${attempt.at}, ${attempt.tookMs}, ${attempt.status}, ${attempt.error})`;
  });
}

/** Newest first. Undefined when the app has no such endpoint. */
export async function listDeliveries(
  db: Database,
  appId: string,
  endpointId: string,
  page: { limit: number; cursor?: string; only?: string; attempts: number },
): Promise<DeliveryRow[] | undefined> {
  const known = await db.sql`select 1 from webhook_endpoints where app_id = ${appId} and id = ${endpointId}`;
  if (known.length === 0) return undefined;
  const after =
    page.cursor === undefined
      ? db.sql``
      : db.sql`and (d.created_at, d.id) < (
          select created_at, id from webhook_deliveries where id = ${page.cursor} and endpoint_id = ${endpointId})`;
  const only = page.only === undefined ? db.sql`` : db.sql`and d.id = ${page.only}`;
  return db.sql<DeliveryRow[]>`
    select d.id, d.event_id as "eventId", v.type, d.state, d.created_at as "createdAt", d.next_at as "nextAt",
      coalesce((
        select jsonb_agg(jsonb_build_object('at', webhook_time(a.at), 'tookMs', a.took_ms, 'status', a.status,
                                            'error', a.error) order by a.id desc)
        from (select * from webhook_attempts where delivery_id = d.id order by id desc limit ${page.attempts}) a
      ), '[]') as attempts
    from webhook_deliveries d join webhook_events v on v.id = d.event_id
    where d.endpoint_id = ${endpointId} ${only} ${after}
    order by d.created_at desc, d.id desc
    limit ${page.limit}`;
}

/** Deletes events of before `before` whose messages have all reached their end; at most `limit`, told back. */
export async function deleteOldEvents(db: Database, before: Date, limit: number): Promise<number> {
  const { count } = await db.sql`
    delete from webhook_events where id in (
      select v.id from webhook_events v
      where v.at < ${before}
        and not exists (select 1 from webhook_deliveries d where d.event_id = v.id and d.state = 'pending')
      limit ${limit})`;
  return count;
}

/** How many messages are to be delivered, and since when the oldest of them has been due. */
export async function pendingDeliveries(db: Database): Promise<{ count: number; oldestDue: Date | null }> {
  const [row] = await db.sql<{ count: number; oldestDue: Date | null }[]>`
    select count(*) as count, min(next_at) as "oldestDue" from webhook_deliveries where state = 'pending'`;
  return row ?? { count: 0, oldestDue: null };
}
