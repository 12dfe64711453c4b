import type { CryptoKey } from 'jose';
import { importJWK } from 'jose';
import { VerbatimError } from '#protocol';
import type { AppKeyRow, KeyAlgorithm } from '../db/index.ts';
import { openSealedSecret } from '../db/index.ts';
import { algorithmOf, MIN_SECRET_BYTES } from './app-keys.ts';

/** A key ready for use. */
export interface AppKey {
  kid: string;
  appId: string;
  algorithm: KeyAlgorithm;
  /** The HMAC key's bytes, or the public key. */
  material: Uint8Array | CryptoKey;
}

export const KEY_RING_LIMITS = {
  /** A revocation takes effect at most this long after it is committed. */
  freshMs: 2_000,
  /** Entries kept, unknown kids included, so that invented kids neither fill memory nor hammer the database. */
  maxEntries: 1_000,
} as const;

const KID = /^[A-Za-z0-9_-]{1,64}$/;

interface Entry {
  key: Promise<AppKey | undefined>;
  loadedAtMs: number;
}

/** Keys of all apps by kid, kept for two seconds. One query at a time for each kid. */
export class KeyRing {
  readonly #find: (kid: string) => Promise<AppKeyRow | undefined>;
  readonly #sealKey: Buffer;
  readonly #nowMs: () => number;
  /** In order of loading, so the first entry is the oldest. */
  readonly #entries = new Map<string, Entry>();

  constructor(options: {
    find: (kid: string) => Promise<AppKeyRow | undefined>;
    sealKey: Buffer;
    nowMs: () => number;
  }) {
    this.#find = options.find;
    this.#sealKey = options.sealKey;
    this.#nowMs = options.nowMs;
  }

  /** The key, or nothing when the kid is malformed, unknown or revoked. */
  async get(kid: string): Promise<AppKey | undefined> {
    if (!KID.test(kid)) return undefined;
    const nowMs = this.#nowMs();
    const known = this.#entries.get(kid);
    if (known !== undefined && Math.abs(nowMs - known.loadedAtMs) < KEY_RING_LIMITS.freshMs) return known.key;
    const entry: Entry = { key: this.#load(kid), loadedAtMs: nowMs };
    this.#entries.delete(kid);
    this.#entries.set(kid, entry);
    if (this.#entries.size > KEY_RING_LIMITS.maxEntries) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    try {
      return await entry.key;
    } catch (error) {
      // A database that was away for a moment must not refuse this key for two seconds more.
      if (this.#entries.get(kid) === entry) this.#entries.delete(kid);
      throw error;
    }
  }

  /** A key that was revoked is asked for anew, also by those who wait for it now. */
  forget(kid: string): void {
    this.#entries.delete(kid);
  }

  forgetAll(): void {
    this.#entries.clear();
  }

  get size(): number {
    return this.#entries.size;
  }

  async #load(kid: string): Promise<AppKey | undefined> {
    const row = await this.#find(kid);
    if (row === undefined || row.revokedAt !== null) return undefined;
    return { kid, appId: row.appId, algorithm: row.algorithm, material: await this.#materialOf(row) };
  }

  async #materialOf(row: AppKeyRow): Promise<Uint8Array | CryptoKey> {
    if (row.algorithm === 'HS256') {
      if (row.secretSealed === null) throw new VerbatimError('corrupt', `key ${row.kid} has no secret`);
      const secret = openSealedSecret(this.#sealKey, row.kid, row.secretSealed);
      if (secret.length < MIN_SECRET_BYTES) throw new VerbatimError('corrupt', `key ${row.kid} is too short`);
      return secret;
    }
    if (row.publicJwk === null || algorithmOf(row.publicJwk) !== row.algorithm) {
      throw new VerbatimError('corrupt', `key ${row.kid} does not fit its algorithm`);
    }
    return importJWK(row.publicJwk, row.algorithm);
  }
}
