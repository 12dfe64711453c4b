import type { App, AppIce, AppKey, AppKeyList, AppKeyWithSecret, PatchAppBody, PutAppIce } from '#protocol';
import { APP_LIMITS, VerbatimError } from '#protocol';
import type { AppKeyRow, AppRow, Database, NewAppKey, Queryable } from '../db/index.ts';
import {
  findApp,
  findAppIce,
  insertAppKey,
  listAppKeys,
  lockApp,
  openSealedSecret,
  revokeAppKey,
  sealSecret,
  updateApp,
} from '../db/index.ts';
import { createPublicKey, createSecretKey } from './app-keys.ts';

const DEFAULT_CREDENTIAL_SECONDS = 3_600;

/** Settings and keys of apps, as their own servers and the operator's commands change them. */
export class Apps {
  readonly #db: Database;
  readonly #sealKey: Buffer;
  readonly #onRevoked: (kid: string) => void;

  /** @param sealKey 32 bytes: `secrets/seal.key` */
  constructor(db: Database, sealKey: Buffer, onRevoked: (kid: string) => void = () => undefined) {
    this.#db = db;
    this.#sealKey = sealKey;
    this.#onRevoked = onRevoked;
  }

  /** Undefined when there is no such app, here and below. */
  async find(appId: string): Promise<App | undefined> {
    const row = await findApp(this.#db, appId);
    return row && appOf(row);
  }

  /** @throws VerbatimError `bad_request` for an origin or ICE servers that cannot work */
  async change(appId: string, { ice, ...rest }: PatchAppBody): Promise<App | undefined> {
    const allowedOrigins = rest.allowedOrigins && checkedOrigins(rest.allowedOrigins);
    return this.#db.sql.begin(async (sql) => {
      // A secret that stays is read and written under this lock.
      await lockApp(sql, appId);
      const row = await updateApp({ sql }, appId, {
        ...rest,
        ...(allowedOrigins === undefined ? {} : { allowedOrigins }),
        ...(ice === undefined ? {} : { ice: ice === null ? null : await this.#iceOf(sql, appId, ice) }),
      });
      return row && appOf(row);
    });
  }

  /** What calls of this app use in place of the server's own ICE servers. */
  async ice(appId: string): Promise<(AppIce & { secret?: string }) | undefined> {
    const found = await findAppIce(this.#db, appId);
    if (found === undefined) return undefined;
    const { settings, secretSealed } = found;
    if (secretSealed === null) return settings;
    return { ...settings, secret: openSealedSecret(this.#sealKey, sealName(appId), secretSealed).toString() };
  }

  // Keys

  /** In the order in which they were made, revoked ones included. */
  async keys(appId: string): Promise<AppKeyList> {
    return { keys: (await listAppKeys(this.#db, appId)).map(keyOf) };
  }

  /**
   * Adds a key; without a public one the server makes a secret, which is told this once.
   * @throws VerbatimError `bad_request` for a public key of another kind, or a private one; `conflict` for one too many
   */
  async addKey(appId: string, publicJwk?: Readonly<Record<string, string>>): Promise<AppKeyWithSecret> {
    const made: { row: NewAppKey; secret?: string } =
      publicJwk === undefined
        ? createSecretKey(appId, this.#sealKey)
        : createPublicKey(appId, { kty: '', ...publicJwk });
    return this.#db.sql.begin(async (sql) => {
      await lockApp(sql, appId);
      const living = (await listAppKeys({ sql }, appId)).filter((key) => key.revokedAt === null);
      if (living.length >= APP_LIMITS.maxKeys)
        throw new VerbatimError('conflict', `an app has ${APP_LIMITS.maxKeys} keys in force at most`);
      await insertAppKey({ sql }, made.row);
      const row = (await listAppKeys({ sql }, appId)).find((key) => key.kid === made.row.kid);
      if (row === undefined) throw new VerbatimError('internal', 'the key that was made is not there');
      return { key: keyOf(row), ...(made.secret === undefined ? {} : { secret: made.secret }) };
    });
  }

  /**
   * Revokes a key by word of another key of the same app. No key revokes itself: who replaces one shows that the new
   * one works, and an app never locks itself out. False when the app has no such key.
   * @throws VerbatimError `conflict` for its own key, `unauthorized` when the asking key was revoked meanwhile
   */
  async revokeKey(appId: string, kid: string, askingKid: string): Promise<boolean> {
    const revoked = await this.#db.sql.begin(async (sql) => {
      // Two keys that revoke each other at once: the second one finds itself revoked.
      await lockApp(sql, appId);
      const keys = await listAppKeys({ sql }, appId);
      const asking = keys.find((key) => key.kid === askingKid);
      if (asking === undefined || asking.revokedAt !== null) throw new VerbatimError('unauthorized');
      if (!keys.some((key) => key.kid === kid)) return false;
      if (kid === askingKid)
        throw new VerbatimError(
          'conflict',
          'a key does not revoke itself: ask with the one that replaces it',
        );
      return revokeAppKey({ sql }, appId, kid);
    });
    if (revoked) this.#onRevoked(kid);
    return revoked;
  }

  async #iceOf(sql: Queryable, appId: string, given: PutAppIce) {
    const { stunUrls = [], turnUrls = [], relayOnly = false, secret } = given;
    const { credentialSeconds = DEFAULT_CREDENTIAL_SECONDS } = given;
    const wrongPort = [...stunUrls, ...turnUrls].find(
      (url) => Number(/:(\d+)(\?|$)/.exec(url)?.[1] ?? 1) > 65_535,
    );
    if (wrongPort !== undefined)
      throw new VerbatimError('bad_request', `body/ice: expected a port up to 65535, got ${wrongPort}`);
    const hasRelays = turnUrls.length > 0;
    if (relayOnly && !hasRelays)
      throw new VerbatimError('bad_request', 'body/ice: relayOnly needs a relay in turnUrls');
    if (secret !== undefined && !hasRelays)
      throw new VerbatimError('bad_request', 'body/ice: a secret is for the relays in turnUrls');
    const before = (await findAppIce({ sql }, appId))?.secretSealed ?? null;
    const secretSealed = !hasRelays
      ? null
      : secret === undefined
        ? before
        : sealSecret(this.#sealKey, sealName(appId), Buffer.from(secret));
    if (hasRelays && secretSealed === null)
      throw new VerbatimError('bad_request', 'body/ice: relays in turnUrls need the secret that they know');
    return { settings: { stunUrls, turnUrls, credentialSeconds, relayOnly }, secretSealed };
  }
}

/** @throws VerbatimError `bad_request` for one that no browser would send, which would never be met */
export function checkedOrigins(origins: readonly string[]): string[] {
  for (const origin of origins) {
    if (URL.parse(origin)?.origin !== origin || !/^https?:/.test(origin))
      throw new VerbatimError(
        'bad_request',
        `expected an origin such as https://chat.example.org, got "${origin}"`,
      );
  }
  return [...new Set(origins)];
}

function appOf({ createdAt, ...row }: AppRow): App {
  return { ...row, createdAt: createdAt.toISOString() };
}

function keyOf({ kid, algorithm, createdAt, lastUsedAt, revokedAt }: AppKeyRow): AppKey {
  return {
    kid,
    algorithm,
    createdAt: createdAt.toISOString(),
    ...(lastUsedAt === null ? {} : { lastUsedAt: lastUsedAt.toISOString() }),
    ...(revokedAt === null ? {} : { revokedAt: revokedAt.toISOString() }),
  };
}

function sealName(appId: string): string {
  return `ice/${appId}`;
}
