import type { Database } from '../db/index.ts';
import { findAppKey, findDeadKeys, noteKeyUse, watchRevocations } from '../db/index.ts';
import { KeyRing } from './key-ring.ts';
import type { AppIdentity } from './server-tokens.ts';
import { authenticateApp } from './server-tokens.ts';
import type { UserIdentity } from './user-tokens.ts';
import { verifyUserToken } from './user-tokens.ts';

/** Who speaks: an app's server by one of its keys, or a user by a token that the app signed. */
export interface Authenticator {
  /**
   * Reads a user token (formats, §6).
   * @throws VerbatimError `token_expired` when only the time is over, else `unauthorized`, always the same words
   */
  verifyUserToken(token: string): Promise<UserIdentity>;
  /**
   * Reads the value of an `Authorization` header of an app's server.
   * @throws VerbatimError `token_expired` or `unauthorized`
   */
  authenticateApp(header: string | undefined): Promise<AppIdentity>;
  /** A key that was revoked in this process counts for nothing from the next request on. */
  forgetKey(kid: string): void;
  /**
   * Tells of keys that are revoked, so that what they let in can be closed. `inUse` says by which keys somebody is
   * connected now: they are asked for whenever a revocation may have been missed. Once for each authenticator.
   */
  watchRevocations(watcher: { inUse(): readonly string[]; onRevoked(kid: string): void }): Promise<void>;
}

/** How exact the time of a key's last use is. */
const NOTE_USE_MS = 60_000;
/** Kids whose last note is remembered; each is a real key, so this is never reached by guessing. */
const MAX_NOTED = 10_000;

export function createAuthenticator(options: {
  db: Database;
  /** 32 bytes: `secrets/seal.key`. */
  sealKey: Buffer;
  nowMs?: () => number;
  log?: { warn(fields: object, message: string): void };
}): Authenticator {
  const nowMs = options.nowMs ?? Date.now;
  const keys = new KeyRing({
    find: (kid) => findAppKey(options.db, kid),
    sealKey: options.sealKey,
    nowMs,
  });
  const notedAtMs = new Map<string, number>();
  /** In the database once a minute for each key, by whichever of its uses comes first. */
  const used = async <T extends { kid: string }>(identity: T): Promise<T> => {
    const { kid } = identity;
    const now = nowMs();
    if (Math.abs(now - (notedAtMs.get(kid) ?? Number.NEGATIVE_INFINITY)) < NOTE_USE_MS) return identity;
    if (notedAtMs.size >= MAX_NOTED) notedAtMs.clear();
    notedAtMs.set(kid, now);
    await noteKeyUse(options.db, kid, new Date(now));
    return identity;
  };
  return {
    verifyUserToken: async (token) => used(await verifyUserToken(keys, token, nowMs())),
    authenticateApp: async (header) => used(await authenticateApp(keys, header, nowMs())),
    forgetKey: (kid) => keys.forget(kid),
    watchRevocations: (watcher) => {
      const revoked = (kid: string): void => {
        keys.forget(kid);
        watcher.onRevoked(kid);
      };
      const catchUp = async (): Promise<void> => {
        keys.forgetAll();
        for (const kid of await findDeadKeys(options.db, watcher.inUse())) revoked(kid);
      };
      return watchRevocations(options.db, revoked, () => {
        // Requests are held to the database within two seconds even so; only open sockets would wait for the next gap.
        catchUp().catch((error: unknown) => {
          options.log?.warn({ err: error }, 'keys that were revoked meanwhile could not be looked up');
        });
      });
    },
  };
}
