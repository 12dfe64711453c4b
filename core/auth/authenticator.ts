import type { Database } from '../db/index.ts';
import { findAppKey } from '../db/index.ts';
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
}

export function createAuthenticator(options: {
  db: Database;
  /** 32 bytes: `secrets/seal.key`. */
  sealKey: Buffer;
  nowMs?: () => number;
}): Authenticator {
  const nowMs = options.nowMs ?? Date.now;
  const keys = new KeyRing({
    find: (kid) => findAppKey(options.db, kid),
    sealKey: options.sealKey,
    nowMs,
  });
  return {
    verifyUserToken: (token) => verifyUserToken(keys, token, nowMs()),
    authenticateApp: (header) => authenticateApp(keys, header, nowMs()),
  };
}
