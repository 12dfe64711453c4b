import { base64Url, utf8 } from './encoding.ts';

/** What Web Crypto signs with. */
export type PrivateKey = Parameters<typeof crypto.subtle.sign>[1];

/**
 * A key of the app. With `secret` as `scripts/app` printed it; or the private half of a key whose public half the app
 * registered: Ed25519 or ECDSA P-256, as Web Crypto imports it.
 */
export type AppKey = { kid: string; secret: string } | { kid: string; privateKey: PrivateKey };

/** Who a user token is for, and what is shown of them. */
export interface UserClaims {
  userId: string;
  name?: string;
  picture?: string;
  role?: string;
}

const SERVER_AUDIENCE = 'verbatim-server';
const SERVER_TOKEN_S = 300;
const USER_TOKEN_MAX_S = 86_400;
const SECOND = 1_000;

/** A token for a page of this person (JWT). @throws RangeError for a lifetime that Verbatim refuses */
export async function signUserToken(
  key: AppKey,
  { userId, name, picture, role }: UserClaims,
  lifetimeSeconds: number,
  nowMs: number,
): Promise<string> {
  if (!(lifetimeSeconds > 0 && lifetimeSeconds <= USER_TOKEN_MAX_S))
    throw new RangeError(`a user token lives from 1 s to ${USER_TOKEN_MAX_S} s, not ${lifetimeSeconds}`);
  const iat = Math.floor(nowMs / SECOND);
  return signJwt(key, {
    sub: userId,
    ...(name === undefined ? {} : { name }),
    ...(picture === undefined ? {} : { picture }),
    ...(role === undefined ? {} : { role }),
    iat,
    exp: iat + Math.floor(lifetimeSeconds),
  });
}

/** What this server shows for itself: the secret, or a fresh token by the private key. */
export async function serverBearer(key: AppKey, nowMs: number): Promise<string> {
  if ('secret' in key) return `${key.kid}.${key.secret}`;
  const iat = Math.floor(nowMs / SECOND);
  return signJwt(key, { aud: SERVER_AUDIENCE, iat, exp: iat + SERVER_TOKEN_S });
}

async function signJwt(key: AppKey, claims: object): Promise<string> {
  const { alg, sign } = await signerOf(key);
  const input = [{ alg, typ: 'JWT', kid: key.kid }, claims]
    .map((part) => base64Url(utf8(JSON.stringify(part))))
    .join('.');
  return `${input}.${base64Url(new Uint8Array(await sign(utf8(input))))}`;
}

async function signerOf(
  key: AppKey,
): Promise<{ alg: string; sign: (bytes: Uint8Array<ArrayBuffer>) => Promise<ArrayBuffer> }> {
  if ('secret' in key) {
    const hmac = { name: 'HMAC', hash: 'SHA-256' };
    const imported = await crypto.subtle.importKey('raw', utf8(key.secret), hmac, false, ['sign']);
    return { alg: 'HS256', sign: (bytes) => crypto.subtle.sign('HMAC', imported, bytes) };
  }
  const { privateKey } = key;
  const { name } = privateKey.algorithm;
  if (name === 'Ed25519')
    return { alg: 'EdDSA', sign: (bytes) => crypto.subtle.sign('Ed25519', privateKey, bytes) };
  if (name === 'ECDSA')
    return {
      alg: 'ES256',
      sign: (bytes) => crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, privateKey, bytes),
    };
  throw new TypeError(`expected a key of Ed25519 or ECDSA, got ${name}`);
}
