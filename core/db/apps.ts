import { createHash } from 'node:crypto';
import type { AppIce } from '#protocol';
import type { Database, Queryable } from './database.ts';

/** Apps (workspaces), their keys, and the disclosure texts that their users agree to. */
export interface AppRow {
  id: string;
  name: string;
  recordingEnabled: boolean;
  ringTimeoutMs: number;
  allowedOrigins: string[];
  /** F32: after so many days a recording expires; null: it is kept for ever. */
  retentionDays: number | null;
  /** In place of the server's own; the relays' secret is read by findAppIce alone. */
  ice: AppIce | null;
  createdAt: Date;
}

export const KEY_ALGORITHMS = ['HS256', 'ES256', 'EdDSA'] as const;
export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number];

export interface AppKeyRow {
  kid: string;
  appId: string;
  algorithm: KeyAlgorithm;
  /** HS256 only: see sealSecret. */
  secretSealed: Uint8Array | null;
  /** ES256 and EdDSA only: the members of the public key, RFC 7517. */
  publicJwk: Record<string, string> | null;
  createdAt: Date;
  revokedAt: Date | null;
  /** To the minute; null when it was never used. */
  lastUsedAt: Date | null;
}

export interface DisclosureRow {
  appId: string;
  locale: string;
  version: number;
  body: string;
  sha256: string;
}

const appColumns = (sql: Queryable) => sql`
  id, name, recording_enabled as "recordingEnabled", ring_timeout_ms as "ringTimeoutMs",
  allowed_origins as "allowedOrigins", retention_days as "retentionDays", ice, created_at as "createdAt"`;
const keyColumns = (sql: Queryable) => sql`
  kid, app_id as "appId", algorithm, secret_sealed as "secretSealed", public_jwk as "publicJwk",
  created_at as "createdAt", revoked_at as "revokedAt", last_used_at as "lastUsedAt"`;

export interface NewApp {
  id: string;
  name: string;
  recordingEnabled: boolean;
}

/** Creates an app; undefined when the id is taken. */
export async function insertApp(db: Database, app: NewApp): Promise<AppRow | undefined> {
  const [row] = await db.sql<AppRow[]>`
    insert into apps (id, name, recording_enabled) values (${app.id}, ${app.name}, ${app.recordingEnabled})
    on conflict (id) do nothing returning ${appColumns(db.sql)}`;
  return row;
}

export async function findApp(db: Database, id: string): Promise<AppRow | undefined> {
  const [row] = await db.sql<AppRow[]>`select ${appColumns(db.sql)} from apps where id = ${id}`;
  return row;
}

export function listApps(db: Database): Promise<AppRow[]> {
  return db.sql<AppRow[]>`select ${appColumns(db.sql)} from apps order by id`;
}

/** What is left out stays. `ice` has the sealed secret of its relays beside it; null takes both away. */
export interface AppChange {
  name?: string;
  /** F28: applies to calls started from now on. */
  recordingEnabled?: boolean;
  ringTimeoutMs?: number;
  allowedOrigins?: readonly string[];
  /** F32: null keeps recordings for ever. */
  retentionDays?: number | null;
  ice?: { settings: AppIce; secretSealed: Uint8Array | null } | null;
}

/** Undefined when there is no such app. */
export async function updateApp(
  { sql }: { sql: Queryable },
  id: string,
  change: AppChange,
): Promise<AppRow | undefined> {
  const { name, recordingEnabled, ringTimeoutMs, allowedOrigins, retentionDays, ice } = change;
  const days = retentionDays === undefined ? sql`retention_days` : sql`${retentionDays}`;
  const servers = ice === undefined ? sql`ice` : sql`${ice === null ? null : sql.json(ice.settings)}`;
  const secret = ice === undefined ? sql`ice_secret_sealed` : sql`${ice?.secretSealed ?? null}`;
  const [row] = await sql<AppRow[]>`
    update apps set
      name = coalesce(${name ?? null}, name),
      recording_enabled = coalesce(${recordingEnabled ?? null}::boolean, recording_enabled),
      ring_timeout_ms = coalesce(${ringTimeoutMs ?? null}::integer, ring_timeout_ms),
      allowed_origins = coalesce(${allowedOrigins === undefined ? null : [...allowedOrigins]}::text[], allowed_origins),
      retention_days = ${days}, ice = ${servers}, ice_secret_sealed = ${secret}
    where id = ${id}
    returning ${appColumns(sql)}`;
  return row;
}

/** F28: applies to calls started from now on. False when there is no such app. */
export async function setAppRecording(db: Database, id: string, enabled: boolean): Promise<boolean> {
  return (await updateApp(db, id, { recordingEnabled: enabled })) !== undefined;
}

/** The origins whose pages may open a signaling socket for this app. False when there is no such app. */
export async function setAppOrigins(db: Database, id: string, origins: readonly string[]): Promise<boolean> {
  return (await updateApp(db, id, { allowedOrigins: origins })) !== undefined;
}

/** F32: null keeps recordings for ever. False when there is no such app. */
export async function setAppRetention(db: Database, id: string, days: number | null): Promise<boolean> {
  return (await updateApp(db, id, { retentionDays: days })) !== undefined;
}

/** The app's own ICE servers with what opens its relays; undefined when it has none of its own. */
export async function findAppIce(
  { sql }: { sql: Queryable },
  id: string,
): Promise<{ settings: AppIce; secretSealed: Uint8Array | null } | undefined> {
  const [row] = await sql<{ settings: AppIce; secretSealed: Uint8Array | null }[]>`
    select ice as settings, ice_secret_sealed as "secretSealed" from apps where id = ${id} and ice is not null`;
  return row;
}

export type NewAppKey = Pick<AppKeyRow, 'kid' | 'appId' | 'algorithm' | 'secretSealed' | 'publicJwk'>;

export async function insertAppKey({ sql }: { sql: Queryable }, key: NewAppKey): Promise<void> {
  const jwk = key.publicJwk === null ? null : sql.json(key.publicJwk);
  await sql`
    insert into app_keys (kid, app_id, algorithm, secret_sealed, public_jwk)
    values (${key.kid}, ${key.appId}, ${key.algorithm}, ${key.secretSealed}, ${jwk})`;
}

/** A key by its id, revoked ones included: the caller decides and says why. */
export async function findAppKey(db: Database, kid: string): Promise<AppKeyRow | undefined> {
  const [row] = await db.sql<AppKeyRow[]>`select ${keyColumns(db.sql)} from app_keys where kid = ${kid}`;
  return row;
}

export async function listAppKeys({ sql }: { sql: Queryable }, appId: string): Promise<AppKeyRow[]> {
  return sql<AppKeyRow[]>`
    select ${keyColumns(sql)} from app_keys where app_id = ${appId} order by created_at, kid`;
}

/** Revokes for ever; a repeated call keeps the first time. False when there is no such key. */
export async function revokeAppKey(
  { sql }: { sql: Queryable },
  appId: string,
  kid: string,
): Promise<boolean> {
  const { count } = await sql`
    update app_keys set revoked_at = coalesce(revoked_at, now()) where app_id = ${appId} and kid = ${kid}`;
  return count === 1;
}

/** Notes that a key was used; a time within the last minute stays. */
export async function noteKeyUse(db: Database, kid: string, now: Date): Promise<void> {
  await db.sql`
    update app_keys set last_used_at = ${now}
    where kid = ${kid} and (last_used_at is null or last_used_at <= ${now}::timestamptz - interval '1 minute')`;
}

/** Of these keys, those that are revoked, or not there at all. */
export async function findDeadKeys(db: Database, kids: readonly string[]): Promise<string[]> {
  const rows = await db.sql<{ kid: string }[]>`
    select kid from unnest(${[...kids]}::text[]) as given (kid)
    where not exists (select from app_keys k where k.kid = given.kid and k.revoked_at is null)`;
  return rows.map((row) => row.kid);
}

/** Takes the app's row, so that those who change its keys take turns. */
export async function lockApp(sql: Queryable, appId: string): Promise<void> {
  await sql`select 1 from apps where id = ${appId} for update`;
}

/**
 * Tells of each key that is revoked from now on, by whichever process. `onGap` is called whenever revocations may
 * have been missed: at the beginning, and when a connection that was lost is there again. Ends with the database.
 */
export async function watchRevocations(
  db: Database,
  onRevoked: (kid: string) => void,
  onGap: () => void,
): Promise<void> {
  await db.sql.listen('app_key_revoked', onRevoked, onGap);
}

/** The text of the newest version for a locale; exact match only, choosing a locale is the caller's matter. */
export async function findDisclosure(
  db: Database,
  appId: string,
  locale: string,
): Promise<DisclosureRow | undefined> {
  return newestDisclosure(db.sql, appId, locale);
}

async function newestDisclosure(
  sql: Queryable,
  appId: string,
  locale: string,
): Promise<DisclosureRow | undefined> {
  const [row] = await sql<DisclosureRow[]>`
    select app_id as "appId", locale, version, body, sha256 from disclosures
    where app_id = ${appId} and locale = ${locale} order by version desc limit 1`;
  return row;
}

/** The newest text of every locale of an app. */
export function listDisclosures(db: Database, appId: string): Promise<DisclosureRow[]> {
  return db.sql<DisclosureRow[]>`
    select distinct on (locale) app_id as "appId", locale, version, body, sha256 from disclosures
    where app_id = ${appId} order by locale, version desc`;
}

/**
 * Puts a text in force for a locale as the next version; the same text again changes nothing.
 * The app's row is locked, so two of these at once get two versions.
 */
export async function addDisclosure(
  db: Database,
  { appId, locale, body }: Pick<DisclosureRow, 'appId' | 'locale' | 'body'>,
): Promise<DisclosureRow> {
  const sha256 = createHash('sha256').update(body).digest('hex');
  return db.sql.begin(async (tx) => {
    await tx`select 1 from apps where id = ${appId} for update`;
    const newest = await newestDisclosure(tx, appId, locale);
    if (newest?.sha256 === sha256) return newest;
    const row = { appId, locale, version: (newest?.version ?? 0) + 1, body, sha256 };
    await tx`
      insert into disclosures (app_id, locale, version, body, sha256)
      values (${appId}, ${locale}, ${row.version}, ${body}, ${sha256})`;
    return row;
  });
}
