import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { Database } from '../db/index.ts';
import {
  deleteOldSessions,
  endSessions,
  findSessions,
  insertSession,
  touchSession,
} from '../db/sessions-grants.ts';

/** `__Host-`: only from this host, only when secure, never set by a neighbouring subdomain (RFC 6265bis §4.1.3.2). */
export const SESSION_COOKIE = '__Host-verbatim-session';

export const SESSION_LIMITS = {
  lifetimeMs: 24 * 3_600_000,
  /** People signed in from one browser at the same time; the oldest makes room. Each keeps a session of its own. */
  maxPerBrowser: 4,
  /** Cookies of our name that are looked at: a browser may hold one per partition. */
  maxCookies: 4,
  maxHeaderLength: 8_192,
  /** Sessions that were over this long ago are deleted, this many in one statement. */
  keepMs: 24 * 3_600_000,
  sweepBatch: 1_000,
} as const;

const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** A session that a request may use, because it carries its token. */
export interface ViewerSession {
  id: string;
  appId: string;
  userId: string;
}

/**
 * Viewers' sessions: what playback addresses are bound to. The cookie holds up to four tokens, joined by dots,
 * newest first; the database holds their hashes only.
 */
export class Sessions {
  readonly #db: Database;
  readonly #nowMs: () => number;

  constructor(db: Database, nowMs: () => number = Date.now) {
    this.#db = db;
    this.#nowMs = nowMs;
  }

  /** The living sessions of the browser that sent this `Cookie` header. */
  async of(cookieHeader: string | undefined): Promise<ViewerSession[]> {
    const tokens = tokensOf(cookieHeader);
    if (tokens.length === 0) return [];
    return findSessions(this.#db, tokens.map(hashOf), new Date(this.#nowMs()));
  }

  /**
   * The session of this user in this browser, made when there is none, and kept at least until `untilMs`.
   * `setCookie` is the value of the answer's `Set-Cookie` header.
   */
  async open(request: {
    cookieHeader: string | undefined;
    appId: string;
    userId: string;
    crossSite: boolean;
    untilMs: number;
  }): Promise<{ session: ViewerSession; setCookie: string }> {
    const { appId, userId } = request;
    const nowMs = this.#nowMs();
    const expiresAt = new Date(Math.max(nowMs + SESSION_LIMITS.lifetimeMs, request.untilMs));
    const tokens = tokensOf(request.cookieHeader);
    const living = await findSessions(this.#db, tokens.map(hashOf), new Date(nowMs));
    const kept = tokens.filter((token) => living.some((one) => one.tokenSha256.equals(hashOf(token))));
    const known = living.find((one) => one.appId === appId && one.userId === userId);
    if (known !== undefined && (await touchSession(this.#db, known.id, expiresAt))) {
      return { session: known, setCookie: cookieOf(kept, request.crossSite, expiresAt.getTime() - nowMs) };
    }
    const token = randomBytes(32).toString('base64url');
    const session = { id: randomUUID(), appId, userId };
    await insertSession(this.#db, { ...session, tokenSha256: hashOf(token), expiresAt });
    const all = [token, ...kept].slice(0, SESSION_LIMITS.maxPerBrowser);
    return { session, setCookie: cookieOf(all, request.crossSite, expiresAt.getTime() - nowMs) };
  }

  /** Signs this user off in this browser; gives back the ids of the sessions that ended with it. */
  async end(cookieHeader: string | undefined, appId: string, userId: string): Promise<string[]> {
    const mine = (await this.of(cookieHeader)).filter((one) => one.appId === appId && one.userId === userId);
    if (mine.length === 0) return [];
    const ids = mine.map((one) => one.id);
    await endSessions(this.#db, ids, new Date(this.#nowMs()));
    return ids;
  }

  /** Deletes what has been over for a day, grants included; gives back how many sessions went. */
  async sweep(): Promise<number> {
    const before = new Date(this.#nowMs() - SESSION_LIMITS.keepMs);
    let total = 0;
    for (;;) {
      const deleted = await deleteOldSessions(this.#db, before, SESSION_LIMITS.sweepBatch);
      total += deleted;
      if (deleted < SESSION_LIMITS.sweepBatch) return total;
    }
  }
}

/** The session tokens of a `Cookie` header (RFC 6265 §4.2.1); what is not one of ours is passed over. */
export function tokensOf(cookieHeader: string | undefined): string[] {
  if (cookieHeader === undefined || cookieHeader.length > SESSION_LIMITS.maxHeaderLength) return [];
  const tokens = new Set<string>();
  let cookies = 0;
  for (const pair of cookieHeader.split(';')) {
    const at = pair.indexOf('=');
    if (at < 0 || pair.slice(0, at).trim() !== SESSION_COOKIE) continue;
    cookies += 1;
    if (cookies > SESSION_LIMITS.maxCookies) break;
    const parts = pair
      .slice(at + 1)
      .trim()
      .split('.', SESSION_LIMITS.maxPerBrowser);
    for (const part of parts) if (TOKEN.test(part)) tokens.add(part);
  }
  return [...tokens];
}

function cookieOf(tokens: readonly string[], crossSite: boolean, maxAgeMs: number): string {
  // Across sites the cookie travels only as None, and browsers that keep third-party cookies apart want it
  // partitioned (CHIPS); on the same site Lax is the narrower choice.
  const scope = crossSite ? 'SameSite=None; Partitioned' : 'SameSite=Lax';
  const value = tokens.slice(0, SESSION_LIMITS.maxPerBrowser).join('.');
  return `${SESSION_COOKIE}=${value}; Path=/; Max-Age=${Math.floor(maxAgeMs / 1000)}; Secure; HttpOnly; ${scope}`;
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token, 'utf8').digest();
}
