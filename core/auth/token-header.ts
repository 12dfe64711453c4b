import { decodeProtectedHeader } from 'jose';
import type { AppKey, KeyRing } from './key-ring.ts';
import { refused, TOKEN_LIMITS } from './token-refusal.ts';

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/**
 * Finds the key that a token names. The header is not trusted for anything else: its `alg` must be the key's own,
 * and a key that it carries or points to (`jwk`, `jku`, `x5u`, RFC 8725 §3.10) is never looked at.
 * @throws VerbatimError `unauthorized`
 */
export async function keyOfToken(keys: KeyRing, token: string): Promise<AppKey> {
  if (token.length > TOKEN_LIMITS.maxLength) throw refused('the token is too long');
  if (!COMPACT_JWS.test(token)) throw refused('not a JWS in compact form');
  const { kid, alg, typ } = headerOf(token);
  if (typeof kid !== 'string') throw refused('no kid');
  // RFC 8725 §3.11: a token of another type, signed by the same key, must not pass for this one.
  if (typ !== undefined && (typeof typ !== 'string' || typ.toUpperCase() !== 'JWT'))
    throw refused('another typ');
  const key = await keys.get(kid);
  if (key === undefined) throw refused('no such key, or revoked');
  if (alg !== key.algorithm) throw refused('the algorithm is not the one of the key');
  return key;
}

function headerOf(token: string): { kid?: unknown; alg?: unknown; typ?: unknown } {
  try {
    return decodeProtectedHeader(token);
  } catch (cause) {
    throw refused('the header is not JSON', cause);
  }
}
