import { randomBytes } from 'node:crypto';
import type { JWK } from 'jose';
import { VerbatimError } from '#protocol';
import type { NewAppKey } from '../db/index.ts';
import { sealSecret } from '../db/index.ts';

/** RFC 7518 §3.2: an HS256 key has at least the size of the hash. */
export const MIN_SECRET_BYTES = 32;

/**
 * Makes an HS256 key of an app. `secret` is shown once and is nowhere in the clear afterwards: 43 characters
 * (256 random bits in base64url), whose UTF-8 bytes are the HMAC key, as JWT libraries take a string.
 * `<kid>.<secret>` authenticates the server API.
 */
export function createSecretKey(appId: string, sealKey: Buffer): { row: NewAppKey; secret: string } {
  const kid = newKid();
  const secret = randomBytes(MIN_SECRET_BYTES).toString('base64url');
  const secretSealed = sealSecret(sealKey, kid, Buffer.from(secret, 'utf8'));
  return { row: { kid, appId, algorithm: 'HS256', secretSealed, publicJwk: null }, secret };
}

/**
 * Makes a key from an app's public JWK: an Ed25519 key signs EdDSA, a P-256 key ES256.
 * @throws VerbatimError `bad_request` when it is another kind of key, or a private one
 */
export function createPublicKey(appId: string, jwk: JWK): { row: NewAppKey } {
  if (jwk.d !== undefined) {
    throw new VerbatimError(
      'bad_request',
      'expected a public JWK, got a private key: keep that one at the app',
    );
  }
  const algorithm = algorithmOf(jwk);
  const { kty = '', crv = '', x = '', y } = jwk;
  // Only the members that make the key: a foreign `alg`, `use` or `kid` must not come along.
  const publicJwk: Record<string, string> = { kty, crv, x, ...(y === undefined ? {} : { y }) };
  return { row: { kid: newKid(), appId, algorithm, publicJwk, secretSealed: null } };
}

/** @throws VerbatimError `bad_request` for a key that is neither Ed25519 nor P-256 (RFC 8037, RFC 7518) */
export function algorithmOf(jwk: JWK): 'ES256' | 'EdDSA' {
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519' && jwk.x) return 'EdDSA';
  if (jwk.kty === 'EC' && jwk.crv === 'P-256' && jwk.x && jwk.y) return 'ES256';
  throw new VerbatimError('bad_request', 'expected an Ed25519 or a P-256 public key as JWK (RFC 7517)');
}

/** The kid travels in tokens and logs: short, without a dot (one joins it to the secret), not secret. */
function newKid(): string {
  return `vk_${randomBytes(9).toString('base64url')}`;
}
