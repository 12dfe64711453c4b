import type { CryptoKey, JWTPayload } from 'jose';
import { errors, jwtVerify, SignJWT } from 'jose';
import { Compile } from 'typebox/compile';
import { UserTokenClaims } from '#protocol';
import type { KeyAlgorithm } from '../db/index.ts';
import type { AppKey, KeyRing } from './key-ring.ts';
import { keyOfToken } from './token-header.ts';
import { expired, refused, TOKEN_LIMITS } from './token-refusal.ts';

/** The audience of tokens that speak for an app's server; such a token never speaks for a user. */
export const SERVER_AUDIENCE = 'verbatim-server';
/** The audience that a user token may name. Naming none is allowed. */
export const USER_AUDIENCE = 'verbatim';

/** Who a user token speaks for. */
export interface UserIdentity {
  appId: string;
  userId: string;
  /** The token's `name`; the user id where it has none. */
  name: string;
  role?: string;
  picture?: string;
  /** Unix ms. */
  expiresAtMs: number;
  kid: string;
}

const claims = Compile(UserTokenClaims);

/**
 * Checks a user token: RFC 7519 in the JWS compact form, with the limits of RFC 8725.
 * @throws VerbatimError `token_expired` for a good token whose time is over; everything else is `unauthorized`
 * with one and the same message, and the reason as `cause` for the log.
 */
export async function verifyUserToken(keys: KeyRing, token: string, nowMs: number): Promise<UserIdentity> {
  const key = await keyOfToken(keys, token);
  const payload = await verifiedPayload(key, token, nowMs);
  if (!claims.Check(payload)) throw refused('the claims are not those of a user token');
  if (!audienceFits(payload)) throw refused('the audience is another one');
  checkTimes(payload, nowMs, TOKEN_LIMITS.maxLifetimeMs);
  const { sub, name, role, picture, exp } = payload;
  return {
    appId: key.appId,
    userId: sub,
    name: name ?? sub,
    ...(role === undefined ? {} : { role }),
    ...(picture === undefined ? {} : { picture }),
    expiresAtMs: Math.floor(exp * 1000),
    kid: key.kid,
  };
}

/** The payload, once the signature by exactly this key and algorithm holds. */
export async function verifiedPayload(key: AppKey, token: string, nowMs: number): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key.material, {
      algorithms: [key.algorithm],
      requiredClaims: ['exp'],
      currentDate: new Date(nowMs),
      // The library has one tolerance for all times; `exp` is checked again below without any.
      clockTolerance: TOKEN_LIMITS.toleranceMs / 1000,
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw expired(error);
    throw refused('the token does not verify', error);
  }
}

/** @throws VerbatimError for a token that is over, lives too long, or was made in the future */
export function checkTimes(payload: JWTPayload, nowMs: number, maxLifetimeMs: number): void {
  const expMs = (payload.exp ?? 0) * 1000;
  if (expMs <= nowMs) throw expired();
  if (expMs > nowMs + maxLifetimeMs + TOKEN_LIMITS.toleranceMs) throw refused('exp lies too far ahead');
  if (payload.iat !== undefined && payload.iat * 1000 > nowMs + TOKEN_LIMITS.toleranceMs) {
    throw refused('iat lies in the future');
  }
}

function audienceFits(payload: JWTPayload): boolean {
  if (payload.aud === undefined) return true;
  const audience = [payload.aud].flat();
  // RFC 7519 §4.1.3: who does not find itself in `aud` must refuse.
  return audience.includes(USER_AUDIENCE) && !audience.includes(SERVER_AUDIENCE);
}

/** Signs a user token as an app does it: for the demo, tests and tools. `lifetimeMs` is at most 24 hours. */
export async function signUserToken(
  key: { kid: string; algorithm: KeyAlgorithm; material: string | Uint8Array | CryptoKey },
  user: { userId: string; name?: string; role?: string; picture?: string },
  options: { nowMs: number; lifetimeMs: number },
): Promise<string> {
  const { userId, ...rest } = user;
  const material = typeof key.material === 'string' ? Buffer.from(key.material, 'utf8') : key.material;
  return new SignJWT(rest)
    .setProtectedHeader({ alg: key.algorithm, kid: key.kid, typ: 'JWT' })
    .setSubject(userId)
    .setIssuedAt(Math.floor(options.nowMs / 1000))
    .setExpirationTime(Math.floor((options.nowMs + options.lifetimeMs) / 1000))
    .sign(material);
}
