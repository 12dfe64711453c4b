import { randomUUID } from 'node:crypto';
import { VerbatimError } from '#protocol';
import type { AdminRow, AdminSessionRow } from '../db/admins.ts';
import { findAdmin, insertAdminSession, rotateAdminSession, useAdminSession } from '../db/admins.ts';
import type { Database } from '../db/index.ts';
import { ADMIN_LIMITS } from './limits.ts';
import { hashOf, newToken } from './tokens.ts';

/** A living session together with its admin as they are now. */
export interface Seat {
  session: AdminSessionRow;
  admin: AdminRow;
  tokenSha256: Buffer;
}

const MAX_AGENT = 200;

/** Sessions of the console. A token is good until the next step: signing in and every proof give a new one. */
export class Seats {
  readonly #db: Database;
  readonly #nowMs: () => number;

  constructor(db: Database, nowMs: () => number) {
    this.#db = db;
    this.#nowMs = nowMs;
  }

  /** The session of a token, when it is alive; it counts as seen. */
  async find(token: string): Promise<Seat | undefined> {
    const nowMs = this.#nowMs();
    const tokenSha256 = hashOf(token);
    const session = await useAdminSession(this.#db, tokenSha256, {
      now: new Date(nowMs),
      idleSince: new Date(nowMs - ADMIN_LIMITS.idleMs),
    });
    const admin = session === undefined ? undefined : await findAdmin(this.#db, session.adminId);
    return session === undefined || admin === undefined ? undefined : { session, admin, tokenSha256 };
  }

  async open(
    admin: AdminRow,
    stage: 'half' | 'enrol',
    from: { address: string; agent: string },
  ): Promise<{ token: string; seat: Seat }> {
    const token = newToken();
    const nowMs = this.#nowMs();
    const session: AdminSessionRow = {
      id: randomUUID(),
      adminId: admin.id,
      stage,
      address: from.address,
      agent: from.agent.slice(0, MAX_AGENT),
      createdAt: new Date(nowMs),
      seenAt: new Date(nowMs),
      provenAt: null,
      expiresAt: new Date(nowMs + (stage === 'half' ? ADMIN_LIMITS.halfMs : ADMIN_LIMITS.enrolMs)),
    };
    const tokenSha256 = hashOf(token);
    await insertAdminSession(this.#db, { ...session, tokenSha256 });
    return { token, seat: { session, admin, tokenSha256 } };
  }

  /**
   * Signed in, or proven anew: under another token, so that one that was known before is worth nothing.
   * @throws VerbatimError `unauthorized` when the session ended meanwhile
   */
  async prove({ session, admin, tokenSha256 }: Seat): Promise<{ token: string; seat: Seat }> {
    const token = newToken();
    const nowMs = this.#nowMs();
    const state = {
      stage: 'full' as const,
      provenAt: new Date(nowMs),
      expiresAt: session.stage === 'full' ? session.expiresAt : new Date(nowMs + ADMIN_LIMITS.lifetimeMs),
    };
    const to = hashOf(token);
    if (!(await rotateAdminSession(this.#db, session.id, { from: tokenSha256, to }, state))) {
      throw new VerbatimError('unauthorized', 'this session has ended');
    }
    const now = (await findAdmin(this.#db, admin.id)) ?? admin;
    return { token, seat: { session: { ...session, ...state }, admin: now, tokenSha256: to } };
  }
}
