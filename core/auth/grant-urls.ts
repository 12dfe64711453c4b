import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Disposition } from '#protocol';

/** What a playback address stands for. Everything but the id and the end is known to the server alone. */
export interface GrantFacts {
  grantId: string;
  /** Unix seconds, whole. */
  endsAtS: number;
  sessionId: string;
  appId: string;
  userId: string;
  disposition: Disposition;
}

/** The query of a playback address: end, key id, signature. */
export interface GrantQuery {
  e: string;
  k: string;
  s: string;
}

/** Signs playback addresses with the server's grant key (formats, §6). */
export class GrantSigner {
  readonly #key: Uint8Array;
  /** Names the key without showing it, so that addresses of a replaced key are told apart at once. */
  readonly kid: string;

  /** @param key at least 32 bytes: `secrets/grant.key` */
  constructor(key: Uint8Array) {
    if (key.length < 32) throw new TypeError('a grant key has at least 32 bytes');
    this.#key = key;
    this.kid = createHash('sha256').update('verbatim/grant-kid/v1\n').update(key).digest('hex').slice(0, 8);
  }

  /** `/media/<grantId>?e=&k=&s=`, relative to the server's origin. */
  url(facts: GrantFacts): string {
    const signature = this.#signatureOf(facts).toString('base64url');
    return `${pathOf(facts.grantId)}?e=${facts.endsAtS}&k=${this.kid}&s=${signature}`;
  }

  verify(facts: GrantFacts, query: GrantQuery): boolean {
    // The one canonical spelling: no signs, zeros or spaces that would make two addresses of one grant.
    if (query.e !== String(facts.endsAtS) || query.k !== this.kid) return false;
    const given = Buffer.from(query.s, 'base64url');
    const expected = this.#signatureOf(facts);
    // Base64 has spare bits in its last character; only the exact spelling counts.
    return (
      given.length === expected.length &&
      timingSafeEqual(given, expected) &&
      query.s === expected.toString('base64url')
    );
  }

  #signatureOf(facts: GrantFacts): Buffer {
    const { grantId, endsAtS, sessionId, appId, userId, disposition } = facts;
    // No part can hold a line feed, so the lines cannot be shifted against each other. HEAD asks for what GET
    // would give (RFC 9110 §9.3.2), so it uses the same signature.
    const lines = [
      'verbatim/grant/v1',
      'GET',
      pathOf(grantId),
      endsAtS,
      sessionId,
      appId,
      userId,
      disposition,
    ];
    return createHmac('sha256', this.#key).update(lines.join('\n')).digest();
  }
}

function pathOf(grantId: string): string {
  return `/media/${grantId}`;
}
