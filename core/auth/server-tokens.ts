import { createHash, timingSafeEqual } from 'node:crypto';
import type { CryptoKey } from 'jose';
import { decodeJwt, SignJWT } from 'jose';
import type { KeyRing } from './key-ring.ts';
import { keyOfToken } from './token-header.ts';
import { refused, TOKEN_LIMITS } from './token-refusal.ts';
import { checkTimes, SERVER_AUDIENCE, verifiedPayload } from './user-tokens.ts';

/** Which app's server speaks, and by which key. */
export interface AppIdentity {
  appId: string;
  kid: string;
}

/** A server's JWT may live this long: enough for a clock that is off, short enough to be worth little in a log. */
export const SERVER_TOKEN_MAX_LIFETIME_MS = 10 * 60_000;

const BEARER = /^Bearer +([\x21-\x7e]+)$/i;
const KID_AND_SECRET = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;

/** The token of an `Authorization: Bearer` header (RFC 6750 §2.1). @throws VerbatimError `unauthorized` */
export function bearerOf(header: string | undefined): string {
  const token =
    header === undefined || header.length > TOKEN_LIMITS.maxLength + 16 ? null : BEARER.exec(header);
  if (token?.[1] === undefined) throw refused('no bearer token');
  return token[1];
}

/**
 * Authenticates an app's server: `Bearer <kid>.<secret>` for an HS256 key; for ES256 and EdDSA a JWT signed by the
 * key with `aud: "verbatim-server"` and at most ten minutes to live.
 * @throws VerbatimError `token_expired` or `unauthorized`, in the same words for every reason
 */
export async function authenticateApp(
  keys: KeyRing,
  header: string | undefined,
  nowMs: number,
): Promise<AppIdentity> {
  const token = bearerOf(header);
  const pair = KID_AND_SECRET.exec(token);
  return pair?.[1] !== undefined && pair[2] !== undefined
    ? bySecret(keys, pair[1], pair[2])
    : byToken(keys, token, nowMs);
}

async function bySecret(keys: KeyRing, kid: string, secret: string): Promise<AppIdentity> {
  const key = await keys.get(kid);
  if (key === undefined) throw refused('no such key, or revoked');
  if (!(key.material instanceof Uint8Array)) throw refused('this key signs, it has no secret');
  // Hashed first, so that the comparison has one length and its time says nothing about the secret.
  if (!timingSafeEqual(sha256(Buffer.from(secret, 'utf8')), sha256(key.material)))
    throw refused('wrong secret');
  return { appId: key.appId, kid };
}

async function byToken(keys: KeyRing, token: string, nowMs: number): Promise<AppIdentity> {
  const key = await keyOfToken(keys, token);
  if (key.algorithm === 'HS256') throw refused('this key authenticates by its secret');
  const payload = await verifiedPayload(key, token, nowMs);
  if (payload.aud !== SERVER_AUDIENCE) throw refused('the audience is another one');
  checkTimes(payload, nowMs, SERVER_TOKEN_MAX_LIFETIME_MS);
  return { appId: key.appId, kid: key.kid };
}

/** Signs the token of an app's server, as an app with an asymmetric key does it: for tests and tools. */
export async function signServerToken(
  key: { kid: string; algorithm: 'ES256' | 'EdDSA'; material: CryptoKey },
  options: { nowMs: number; lifetimeMs: number },
): Promise<string> {
  return new SignJWT()
    .setProtectedHeader({ alg: key.algorithm, kid: key.kid, typ: 'JWT' })
    .setAudience(SERVER_AUDIENCE)
    .setIssuedAt(Math.floor(options.nowMs / 1000))
    .setExpirationTime(Math.floor((options.nowMs + options.lifetimeMs) / 1000))
    .sign(key.material);
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/**
 * As whom a token wants to be taken, where both are accepted. Only a hint for the choice of the check: nothing here
 * is verified.
 */
export function speaksForApp(token: string): boolean {
  if (KID_AND_SECRET.test(token)) return true;
  try {
    return decodeJwt(token).aud === SERVER_AUDIENCE;
  } catch {
    // Not a JWT at all: either check refuses it in the same words.
    return false;
  }
}
