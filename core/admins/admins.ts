import { randomUUID } from 'node:crypto';
import type {
  Account,
  Admin,
  AdminLink,
  AdminRight,
  AdminRole,
  AdminSession,
  AssertionBody,
  EnrolPasskeyBody,
  OpenedLink,
  PasskeyChallenge,
  SignInBody,
  TotpSetup,
  UseLinkBody,
} from '#protocol';
import { RIGHTS_OF, VerbatimError } from '#protocol';
import type { AdminRow, AdminSessionRow } from '../db/admins.ts';
import {
  acceptInvite,
  adminSessionsOf,
  beginTotp,
  changeAdmin,
  deleteOldAdminSessions,
  deletePasskey,
  deleteTotp,
  endAdminSessions,
  findAdmin,
  findAdminByLogin,
  findAdminLink,
  findTotp,
  knowsAddress,
  listAdmins,
  passkeysOf,
  recoverAdmin,
  setAdminPassword,
  takeTotpStep,
} from '../db/admins.ts';
import type { Database } from '../db/index.ts';
import { openSealedSecret, sealSecret } from '../db/index.ts';
import { ADMIN_LIMITS } from './limits.ts';
import { newLink } from './links.ts';
import type { Assertion, RelyingParty } from './passkeys.ts';
import { Passkeys } from './passkeys.ts';
import type { PasswordCost } from './passwords.ts';
import { Passwords } from './passwords.ts';
import type { Seat } from './seats.ts';
import { Seats } from './seats.ts';
import { networkOf, Throttle } from './throttle.ts';
import { hashOf } from './tokens.ts';
import { newTotp, totpStep } from './totp.ts';
import { assertStrong } from './weak-passwords.ts';

/** Where a request comes from, as far as the console needs it. */
export interface Visitor {
  address: string;
  agent: string;
  rp: RelyingParty;
}

/** Enters what an admin did; it is durable when this resolves, and what it is about happens only then. */
export type AdminAudit = (act: {
  act: string;
  /** Who did it; undefined for somebody who is not signed in, and for the command line. */
  adminId?: string;
  /** What it was done to. */
  about?: string;
  detail?: Record<string, string | number | boolean>;
}) => Promise<void>;

export interface AdminsOptions {
  db: Database;
  sealKey: Buffer;
  audit: AdminAudit;
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void };
  nowMs?: () => number;
  /** Of hashing passwords; for tests, which hash many. */
  passwordCost?: PasswordCost;
}

/** What a sign-in or a proof gives: the cookie's new token, and how far it has come. */
export interface SignedIn {
  token: string;
  session: AdminSession;
}

/** Accounts of the console (F43): invitation, sign-in with a second factor, fresh proofs, recovery. */
export class Admins {
  readonly #db: Database;
  readonly #sealKey: Buffer;
  readonly #audit: AdminAudit;
  readonly #log: AdminsOptions['log'];
  readonly #nowMs: () => number;
  readonly #passwords: Passwords;
  readonly #passkeys: Passkeys;
  readonly #seats: Seats;
  readonly #throttle: Throttle;

  constructor({ db, sealKey, audit, log, nowMs = Date.now, passwordCost }: AdminsOptions) {
    this.#db = db;
    this.#sealKey = sealKey;
    this.#audit = audit;
    this.#log = log;
    this.#nowMs = nowMs;
    this.#passwords = new Passwords(passwordCost);
    this.#passkeys = new Passkeys(db, nowMs);
    this.#seats = new Seats(db, nowMs);
    this.#throttle = new Throttle(nowMs);
  }

  // Links

  /** What a one-time link is for. @throws VerbatimError `not_found` for one that is used, over or unknown */
  async openLink(token: string): Promise<OpenedLink> {
    const link = await findAdminLink(this.#db, hashOf(token), this.#now);
    const admin = link?.adminId == null ? undefined : await findAdmin(this.#db, link.adminId);
    const role = link?.role ?? admin?.role;
    if (link === undefined || role === undefined) throw goneLink();
    return {
      purpose: link.purpose,
      role,
      ...(admin === undefined ? {} : { login: admin.login, name: admin.name }),
      expiresAt: link.expiresAt.toISOString(),
    };
  }

  /**
   * Makes the account of an invitation, or lets its owner begin anew, and signs in as far as the second factor.
   * @throws VerbatimError `not_found` as `openLink`; `bad_request` for a weak password or missing names; `conflict` for
   * a login that is taken
   */
  async useLink(body: UseLinkBody, visitor: Visitor): Promise<SignedIn> {
    const opened = await this.openLink(body.token);
    const login = opened.login ?? body.login;
    const name = opened.name ?? body.name;
    if (login === undefined || name === undefined) {
      throw new VerbatimError('bad_request', 'body: an invitation needs login and name');
    }
    assertStrong(body.password, [login, name]);
    const passwordHash = await this.#passwords.hash(body.password);
    const link = { tokenSha256: hashOf(body.token), now: this.#now };
    let adminId: string | undefined;
    if (opened.purpose === 'invite') {
      adminId = randomUUID();
      await this.#audit({ act: 'admin.join', about: adminId, detail: { role: opened.role } });
      const role = await acceptInvite(this.#db, link, { id: adminId, login, name, passwordHash });
      if (role === 'taken') throw new VerbatimError('conflict', 'this login is taken: choose another one');
      if (role === undefined) throw goneLink();
    } else {
      await this.#audit({ act: 'admin.recover', about: login });
      adminId = await recoverAdmin(this.#db, link, passwordHash);
      if (adminId === undefined) throw goneLink();
    }
    return this.#signedIn(await this.#admin(adminId), 'enrol', visitor);
  }

  // Signing in

  /**
   * The first half: login and password. An unknown login, a wrong password and a disabled account answer alike, in
   * words and in work.
   * @throws VerbatimError `unauthorized`; `rate_limited` for who failed too often from this network
   */
  async signIn({ login, password }: SignInBody, visitor: Visitor): Promise<SignedIn> {
    const network = networkOf(visitor.address);
    const keys = [
      { key: `login ${network} ${login}`, limit: ADMIN_LIMITS.failuresPerLogin },
      { key: `network ${network}`, limit: ADMIN_LIMITS.failuresPerNetwork },
    ];
    for (const { key, limit } of keys) this.#mayTry(key, limit);
    const admin = await findAdminByLogin(this.#db, login);
    const hash = admin?.disabledAt === null ? (admin.passwordHash ?? undefined) : undefined;
    const isRight = await this.#passwords.verify(password, hash);
    if (!isRight || admin === undefined) {
      for (const { key } of keys) this.#throttle.fail(key);
      this.#log.warn({ network }, 'a sign-in to the console failed');
      throw new VerbatimError('unauthorized', 'login and password do not belong together');
    }
    this.#throttle.forget(`login ${network} ${login}`);
    return this.#signedIn(admin, hasFactor(admin) ? 'half' : 'enrol', visitor);
  }

  /** What a cookie stands for; undefined for one that is over or unknown. */
  async seat(token: string | undefined): Promise<Seat | undefined> {
    return token === undefined ? undefined : this.#seats.find(token);
  }

  /** Whether a seat may do this now. @throws VerbatimError `unauthorized`, `forbidden`, `proof_required` */
  assertMay({ session, admin }: Seat, right: AdminRight, fresh: boolean): void {
    if (session.stage !== 'full') throw new VerbatimError('unauthorized', 'the second factor is missing');
    if (!RIGHTS_OF[admin.role].includes(right)) {
      throw new VerbatimError('forbidden', `this needs the right to ${right}`);
    }
    if (fresh && !this.#isFresh(session)) throw new VerbatimError('proof_required');
  }

  describe({ session, admin }: Seat): AdminSession {
    const provenUntilMs = (session.provenAt?.getTime() ?? 0) + ADMIN_LIMITS.provenMs;
    return {
      stage: session.stage,
      admin: { id: admin.id, login: admin.login, name: admin.name, role: admin.role },
      rights: session.stage === 'full' ? [...RIGHTS_OF[admin.role]] : [],
      factors: { passkeys: admin.passkeys, totp: admin.totp },
      ...(provenUntilMs > this.#nowMs() ? { provenUntil: new Date(provenUntilMs).toISOString() } : {}),
      expiresAt: session.expiresAt.toISOString(),
    };
  }

  async signOut(seat: Seat): Promise<void> {
    await endAdminSessions(this.#db, seat.admin.id, { id: seat.session.id }, this.#now);
  }

  /** Ends one session of this admin, or all but the one that asks. */
  async endSessions(seat: Seat, id?: string): Promise<number> {
    const which = id === undefined ? { except: seat.session.id } : { id };
    return endAdminSessions(this.#db, seat.admin.id, which, this.#now);
  }

  // Second factor: the other half of signing in, and fresh proofs later

  /** @throws VerbatimError `conflict` for an account without a passkey */
  proofOptions(seat: Seat, visitor: Visitor): Promise<PasskeyChallenge> {
    return this.#passkeys.proofOptions(seat.session.id, seat.admin, visitor.rp, purposeOf(seat));
  }

  /** @throws VerbatimError `unauthorized` for an answer that does not verify */
  async proveByPasskey(seat: Seat, body: AssertionBody, visitor: Visitor): Promise<SignedIn> {
    await this.#passkeys.prove(seat.session.id, seat.admin, visitor.rp, purposeOf(seat), body);
    return this.#proven(seat, 'passkey');
  }

  /** @throws VerbatimError `unauthorized` for a wrong or used code; `rate_limited` after too many wrong ones */
  async proveByCode(seat: Seat, code: string, visitor: Visitor): Promise<SignedIn> {
    await this.#takeCode(seat, code, visitor);
    return this.#proven(seat, 'code');
  }

  /** Asks for a signature that stands for one thing, such as the hash of an order. */
  approvalOptions(seat: Seat, about: string, visitor: Visitor): Promise<PasskeyChallenge> {
    return this.#passkeys.proofOptions(seat.session.id, seat.admin, visitor.rp, 'approve', about);
  }

  /** The signature over what `approvalOptions` named. @throws VerbatimError `unauthorized` */
  async approve(seat: Seat, about: string, body: AssertionBody, visitor: Visitor): Promise<Assertion> {
    const assertion = await this.#passkeys.prove(seat.session.id, seat.admin, visitor.rp, 'approve', body);
    if (assertion.about !== about)
      throw new VerbatimError('unauthorized', 'the signature is for something else');
    return assertion;
  }

  // Enrolment

  enrolPasskeyOptions(seat: Seat, visitor: Visitor): Promise<PasskeyChallenge> {
    this.#mayEnrol(seat);
    return this.#passkeys.enrolOptions(seat.session.id, seat.admin, visitor.rp);
  }

  async enrolPasskey(seat: Seat, body: EnrolPasskeyBody, visitor: Visitor): Promise<SignedIn> {
    this.#mayEnrol(seat);
    await this.#audit({ act: 'admin.passkey.add', adminId: seat.admin.id });
    await this.#passkeys.enrol(seat.session.id, seat.admin, visitor.rp, body);
    return this.#proven(seat, 'passkey');
  }

  /** @throws VerbatimError `conflict` while one is in use */
  async beginTotp(seat: Seat): Promise<TotpSetup> {
    this.#mayEnrol(seat);
    const { bytes, secret, uri } = newTotp(seat.admin.login);
    if (
      !(await beginTotp(this.#db, seat.admin.id, sealSecret(this.#sealKey, totpName(seat.admin.id), bytes)))
    ) {
      throw new VerbatimError('conflict', 'an authenticator app is set up already: remove it first');
    }
    return { secret, uri };
  }

  async confirmTotp(seat: Seat, code: string, visitor: Visitor): Promise<SignedIn> {
    this.#mayEnrol(seat);
    await this.#audit({ act: 'admin.totp.add', adminId: seat.admin.id });
    await this.#takeCode(seat, code, visitor);
    return this.#proven(seat, 'code');
  }

  // One's own account

  async account({ admin, session }: Seat): Promise<Account> {
    const [passkeys, sessions] = await Promise.all([
      passkeysOf(this.#db, admin.id),
      adminSessionsOf(this.#db, admin.id, this.#now),
    ]);
    return {
      passkeys: passkeys.map(({ id, name, createdAt, lastUsedAt }) => ({
        id,
        name,
        createdAt: createdAt.toISOString(),
        ...(lastUsedAt === null ? {} : { lastUsedAt: lastUsedAt.toISOString() }),
      })),
      totp: admin.totp,
      sessions: sessions.map(({ id, address, agent, createdAt, seenAt }) => ({
        id,
        own: id === session.id,
        address,
        agent,
        createdAt: createdAt.toISOString(),
        seenAt: seenAt.toISOString(),
      })),
    };
  }

  /** Signs the account out everywhere else. @throws VerbatimError `bad_request` for a weak one */
  async changePassword(seat: Seat, password: string): Promise<void> {
    assertStrong(password, [seat.admin.login, seat.admin.name]);
    const hash = await this.#passwords.hash(password);
    await this.#audit({ act: 'admin.password', adminId: seat.admin.id });
    await setAdminPassword(this.#db, seat.admin.id, hash);
    await this.endSessions(seat);
  }

  /** @throws VerbatimError `conflict` for the last thing that this account proves itself with */
  async removePasskey(seat: Seat, id: string): Promise<void> {
    await this.#audit({ act: 'admin.passkey.remove', adminId: seat.admin.id, about: id });
    if (!(await deletePasskey(this.#db, seat.admin.id, id))) throw lastFactor();
  }

  /** @throws VerbatimError `conflict` as `removePasskey` */
  async removeTotp(seat: Seat): Promise<void> {
    await this.#audit({ act: 'admin.totp.remove', adminId: seat.admin.id });
    if (!(await deleteTotp(this.#db, seat.admin.id))) throw lastFactor();
  }

  // Other admins

  async list(): Promise<Admin[]> {
    return (await listAdmins(this.#db)).map((row) => ({
      id: row.id,
      login: row.login,
      name: row.name,
      role: row.role,
      factors: { passkeys: row.passkeys, totp: row.totp },
      createdAt: row.createdAt.toISOString(),
      ...(row.lastSeenAt === null ? {} : { lastSeenAt: row.lastSeenAt.toISOString() }),
      ...(row.disabledAt === null ? {} : { disabledAt: row.disabledAt.toISOString() }),
    }));
  }

  async invite(seat: Seat, role: AdminRole): Promise<AdminLink> {
    await this.#audit({ act: 'admin.invite', adminId: seat.admin.id, detail: { role } });
    return newLink(this.#db, { purpose: 'invite', role }, { createdBy: seat.admin.id, nowMs: this.#nowMs() });
  }

  /** A link with which another admin begins anew. @throws VerbatimError `not_found`; `forbidden` for oneself */
  async recoveryLink(seat: Seat, adminId: string): Promise<AdminLink> {
    if (adminId === seat.admin.id)
      throw new VerbatimError('forbidden', 'nobody recovers their own account here');
    await this.#admin(adminId);
    await this.#audit({ act: 'admin.recovery-link', adminId: seat.admin.id, about: adminId });
    return newLink(
      this.#db,
      { purpose: 'recover', adminId },
      { createdBy: seat.admin.id, nowMs: this.#nowMs() },
    );
  }

  /** @throws VerbatimError `not_found`; `conflict` when no owner would be left; `forbidden` for oneself */
  async change(
    seat: Seat,
    adminId: string,
    { role, disabled }: { role?: AdminRole; disabled?: boolean },
  ): Promise<void> {
    if (adminId === seat.admin.id) throw new VerbatimError('forbidden', 'another owner changes your account');
    await this.#admin(adminId);
    await this.#audit({
      act: 'admin.change',
      adminId: seat.admin.id,
      about: adminId,
      detail: { ...(role === undefined ? {} : { role }), ...(disabled === undefined ? {} : { disabled }) },
    });
    const isDone = await changeAdmin(this.#db, adminId, {
      ...(role === undefined ? {} : { role }),
      ...(disabled === undefined ? {} : { disabledAt: disabled ? this.#now : null }),
    });
    if (!isDone) throw new VerbatimError('conflict', 'the last owner stays one');
    if (disabled === true) await endAdminSessions(this.#db, adminId, {}, this.#now);
  }

  /** Deletes what has been over for long. */
  async sweep(): Promise<void> {
    await deleteOldAdminSessions(this.#db, new Date(this.#nowMs() - ADMIN_LIMITS.keepMs));
  }

  get #now(): Date {
    return new Date(this.#nowMs());
  }

  async #admin(id: string): Promise<AdminRow> {
    const admin = await findAdmin(this.#db, id);
    if (admin === undefined) throw new VerbatimError('not_found');
    return admin;
  }

  #mayTry(key: string, limit: number): void {
    const waitMs = this.#throttle.waitMs(key, limit);
    if (waitMs === 0) return;
    throw new VerbatimError(
      'rate_limited',
      `too many failures: try again in ${Math.ceil(waitMs / 60_000)} minutes`,
    );
  }

  /** Who has no second factor yet sets one up; who has one proves it first. */
  #mayEnrol({ session }: Seat): void {
    if (session.stage === 'half') throw new VerbatimError('unauthorized', 'the second factor is missing');
    if (session.stage === 'full' && !this.#isFresh(session)) throw new VerbatimError('proof_required');
  }

  #isFresh({ provenAt }: AdminSessionRow): boolean {
    return provenAt !== null && provenAt.getTime() + ADMIN_LIMITS.provenMs > this.#nowMs();
  }

  /**
   * A code is tried a few times only. Somebody who knows the password and tries codes from many networks does not keep
   * the admin out: from networks where they were signed in before their codes still count.
   */
  async #takeCode({ session, admin }: Seat, code: string, visitor: Visitor): Promise<void> {
    const ofSession = `code ${session.id}`;
    const ofAdmin = `codes ${admin.id}`;
    this.#mayTry(ofSession, ADMIN_LIMITS.codesPerSession);
    if (this.#throttle.waitMs(ofAdmin, ADMIN_LIMITS.codesPerAdmin) > 0) {
      if (!(await knowsAddress(this.#db, admin.id, networkOf(visitor.address)))) {
        this.#mayTry(ofAdmin, ADMIN_LIMITS.codesPerAdmin);
      }
    }
    const totp = await findTotp(this.#db, admin.id);
    const isUsable = totp !== undefined && (totp.confirmedAt !== null || session.stage !== 'half');
    const step = isUsable
      ? totpStep(openSealedSecret(this.#sealKey, totpName(admin.id), totp.secretSealed), code, this.#nowMs())
      : undefined;
    if (step !== undefined && (await takeTotpStep(this.#db, admin.id, step, this.#now))) return;
    this.#throttle.fail(ofSession);
    this.#throttle.fail(ofAdmin);
    this.#log.warn({ adminId: admin.id }, 'a code of the console was wrong');
    throw new VerbatimError('unauthorized', 'this code is wrong, or it was used already');
  }

  async #signedIn(admin: AdminRow, stage: 'half' | 'enrol', visitor: Visitor): Promise<SignedIn> {
    const { token, seat } = await this.#seats.open(admin, stage, {
      address: networkOf(visitor.address),
      agent: visitor.agent,
    });
    return { token, session: this.describe(seat) };
  }

  async #proven(seat: Seat, by: 'passkey' | 'code'): Promise<SignedIn> {
    const isSignIn = seat.session.stage !== 'full';
    await this.#audit({
      act: isSignIn ? 'admin.sign-in' : 'admin.prove',
      adminId: seat.admin.id,
      detail: { by },
    });
    const { token, seat: next } = await this.#seats.prove(seat);
    return { token, session: this.describe(next) };
  }
}

function hasFactor({ passkeys, totp }: AdminRow): boolean {
  return passkeys > 0 || totp;
}

function purposeOf({ session }: Seat): 'sign-in' | 'step-up' {
  return session.stage === 'full' ? 'step-up' : 'sign-in';
}

/** What a sealed secret is bound to. */
function totpName(adminId: string): string {
  return `admin-totp ${adminId}`;
}

function goneLink(): VerbatimError {
  return new VerbatimError('not_found', 'this link was used, or its time is over: ask for a new one');
}

function lastFactor(): VerbatimError {
  return new VerbatimError('conflict', 'set up another passkey or an authenticator app first');
}
