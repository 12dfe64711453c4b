import type { AdminRole, SessionStage } from '#protocol';
import type { Database, Queryable } from './database.ts';

/** Admins of the console, what they prove themselves with, their one-time links and their sessions. */
export interface AdminRow {
  id: string;
  login: string;
  name: string;
  role: AdminRole;
  passwordHash: string | null;
  createdAt: Date;
  disabledAt: Date | null;
  /** How many passkeys, and whether an authenticator app was confirmed. */
  passkeys: number;
  totp: boolean;
  lastSeenAt: Date | null;
}

const adminColumns = (sql: Queryable) => sql`
  a.id, a.login, a.name, a.role, a.password_hash as "passwordHash", a.created_at as "createdAt",
  a.disabled_at as "disabledAt",
  (select count(*)::int from admin_passkeys p where p.admin_id = a.id) as passkeys,
  exists (select 1 from admin_totp t where t.admin_id = a.id and t.confirmed_at is not null) as totp,
  (select max(seen_at) from admin_sessions s where s.admin_id = a.id and s.stage = 'full') as "lastSeenAt"`;

export async function listAdmins(db: Database): Promise<AdminRow[]> {
  return db.sql<AdminRow[]>`select ${adminColumns(db.sql)} from admins a order by a.created_at, a.id`;
}

export async function findAdmin(db: Database, id: string): Promise<AdminRow | undefined> {
  const [row] = await db.sql<AdminRow[]>`select ${adminColumns(db.sql)} from admins a where a.id = ${id}`;
  return row;
}

export async function findAdminByLogin(db: Database, login: string): Promise<AdminRow | undefined> {
  const [row] = await db.sql<
    AdminRow[]
  >`select ${adminColumns(db.sql)} from admins a where a.login = ${login}`;
  return row;
}

/** Whether anybody can sign in as owner. */
export async function hasOwner(db: Database): Promise<boolean> {
  const rows = await db.sql`
    select 1 from admins where role = 'owner' and disabled_at is null and password_hash is not null limit 1`;
  return rows.length > 0;
}

/**
 * Changes an admin's role, or whether they may sign in; false when the last owner would go. Everybody who changes
 * owners waits for the one before, so that two owners cannot remove each other at once.
 */
export async function changeAdmin(
  db: Database,
  id: string,
  change: { role?: AdminRole; disabledAt?: Date | null },
): Promise<boolean> {
  const { role, disabledAt } = change;
  try {
    await db.sql.begin(async (tx) => {
      await tx`lock table admins in share row exclusive mode`;
      if (role !== undefined) await tx`update admins set role = ${role} where id = ${id}`;
      if (disabledAt !== undefined) await tx`update admins set disabled_at = ${disabledAt} where id = ${id}`;
      const owners = await tx`select 1 from admins where role = 'owner' and disabled_at is null limit 1`;
      if (owners.length === 0) throw new LastOwner();
    });
  } catch (error) {
    if (error instanceof LastOwner) return false;
    throw error;
  }
  return true;
}

class LastOwner extends Error {}

export async function setAdminPassword(db: Database, id: string, hash: string): Promise<void> {
  await db.sql`update admins set password_hash = ${hash} where id = ${id}`;
}

// One-time links

export interface AdminLinkRow {
  id: string;
  purpose: 'invite' | 'recover';
  role: AdminRole | null;
  adminId: string | null;
  expiresAt: Date;
}

export async function insertAdminLink(
  db: Database,
  link: AdminLinkRow & { tokenSha256: Buffer; createdBy: string | null; createdAt: Date },
): Promise<void> {
  const { id, tokenSha256, purpose, role, adminId, createdBy, createdAt, expiresAt } = link;
  await db.sql`
    insert into admin_links (id, token_sha256, purpose, role, admin_id, created_by, created_at, expires_at)
    values (${id}, ${tokenSha256}, ${purpose}, ${role}, ${adminId}, ${createdBy}, ${createdAt}, ${expiresAt})`;
}

export async function findAdminLink(
  db: Database,
  tokenSha256: Buffer,
  now: Date,
): Promise<AdminLinkRow | undefined> {
  const [row] = await db.sql<AdminLinkRow[]>`
    select id, purpose, role, admin_id as "adminId", expires_at as "expiresAt" from admin_links
    where token_sha256 = ${tokenSha256} and used_at is null and expires_at > ${now}`;
  return row;
}

/** Links of the command line for the first owner that were never used: a new one replaces them. */
export async function endUnusedOwnerLinks(db: Database, now: Date): Promise<void> {
  await db.sql`
    update admin_links set expires_at = ${now}
    where purpose = 'invite' and role = 'owner' and created_by is null and used_at is null and expires_at > ${now}`;
}

/** Makes the admin of an invitation; undefined when the link was used meanwhile, `taken` when the login is. */
export async function acceptInvite(
  db: Database,
  link: { tokenSha256: Buffer; now: Date },
  admin: { id: string; login: string; name: string; passwordHash: string },
): Promise<AdminRole | 'taken' | undefined> {
  return db.sql.begin(async (tx) => {
    const [used] = await tx<{ role: AdminRole }[]>`
      update admin_links set used_at = ${link.now}
      where token_sha256 = ${link.tokenSha256} and purpose = 'invite' and used_at is null and expires_at > ${link.now}
      returning role`;
    if (used === undefined) return undefined;
    const made = await tx`
      insert into admins (id, login, name, role, password_hash, created_at)
      values (${admin.id}, ${admin.login}, ${admin.name}, ${used.role}, ${admin.passwordHash}, ${link.now})
      on conflict (login) do nothing returning id`;
    if (made.length === 1) return used.role;
    // The link stays good: its holder chooses another login.
    await tx`update admin_links set used_at = null where token_sha256 = ${link.tokenSha256}`;
    return 'taken';
  });
}

/**
 * Lets an admin begin anew: another password, no second factor, signed in nowhere. Undefined when the link was used
 * meanwhile.
 */
export async function recoverAdmin(
  db: Database,
  link: { tokenSha256: Buffer; now: Date },
  passwordHash: string,
): Promise<string | undefined> {
  return db.sql.begin(async (tx) => {
    const [used] = await tx<{ adminId: string }[]>`
      update admin_links set used_at = ${link.now}
      where token_sha256 = ${link.tokenSha256} and purpose = 'recover' and used_at is null and expires_at > ${link.now}
      returning admin_id as "adminId"`;
    if (used === undefined) return undefined;
    const { adminId } = used;
    await tx`update admins set password_hash = ${passwordHash} where id = ${adminId}`;
    await tx`delete from admin_passkeys where admin_id = ${adminId}`;
    await tx`delete from admin_totp where admin_id = ${adminId}`;
    await tx`update admin_sessions set ended_at = ${link.now} where admin_id = ${adminId} and ended_at is null`;
    await tx`
      update admin_links set expires_at = ${link.now}
      where admin_id = ${adminId} and used_at is null and expires_at > ${link.now}`;
    return adminId;
  });
}

// Passkeys

export interface PasskeyRow {
  id: string;
  adminId: string;
  credentialId: Buffer;
  publicKey: Buffer;
  counter: number;
  transports: string[];
  name: string;
  createdAt: Date;
  lastUsedAt: Date | null;
}

const passkeyColumns = (sql: Queryable) => sql`
  id, admin_id as "adminId", credential_id as "credentialId", public_key as "publicKey", counter, transports, name,
  created_at as "createdAt", last_used_at as "lastUsedAt"`;

export async function passkeysOf(db: Database, adminId: string): Promise<PasskeyRow[]> {
  return db.sql<PasskeyRow[]>`
    select ${passkeyColumns(db.sql)} from admin_passkeys where admin_id = ${adminId} order by created_at, id`;
}

/** False when this credential is known already. */
export async function insertPasskey(db: Database, row: Omit<PasskeyRow, 'lastUsedAt'>): Promise<boolean> {
  const rows = await db.sql`
    insert into admin_passkeys (id, admin_id, credential_id, public_key, counter, transports, name, created_at)
    values (${row.id}, ${row.adminId}, ${row.credentialId}, ${row.publicKey}, ${row.counter}, ${row.transports},
      ${row.name}, ${row.createdAt})
    on conflict (credential_id) do nothing returning id`;
  return rows.length === 1;
}

/** Notes a use; false when the counter did not grow, which a copy of the authenticator would show (WebAuthn §6.1.1). */
export async function usePasskey(db: Database, id: string, counter: number, now: Date): Promise<boolean> {
  const rows = await db.sql`
    update admin_passkeys set counter = ${counter}, last_used_at = ${now}
    where id = ${id} and (counter < ${counter} or (counter = 0 and ${counter} = 0)) returning id`;
  return rows.length === 1;
}

/** False for the last one of an admin without an authenticator app, and for one that is not theirs. */
export async function deletePasskey(db: Database, adminId: string, id: string): Promise<boolean> {
  return db.sql.begin(async (tx) => {
    await tx`select 1 from admins where id = ${adminId} for update`;
    const rows = await tx`
      delete from admin_passkeys where id = ${id} and admin_id = ${adminId} and (
        exists (select 1 from admin_totp where admin_id = ${adminId} and confirmed_at is not null)
        or (select count(*) from admin_passkeys where admin_id = ${adminId}) > 1)
      returning id`;
    return rows.length === 1;
  });
}

// Authenticator apps

export interface TotpRow {
  secretSealed: Buffer;
  confirmedAt: Date | null;
  lastStep: number;
}

export async function findTotp(db: Database, adminId: string): Promise<TotpRow | undefined> {
  const [row] = await db.sql<TotpRow[]>`
    select secret_sealed as "secretSealed", confirmed_at as "confirmedAt", last_step as "lastStep"
    from admin_totp where admin_id = ${adminId}`;
  return row;
}

/** A secret that is not confirmed yet; false when one is in use. */
export async function beginTotp(db: Database, adminId: string, secretSealed: Buffer): Promise<boolean> {
  const rows = await db.sql`
    insert into admin_totp (admin_id, secret_sealed) values (${adminId}, ${secretSealed})
    on conflict (admin_id) do update set secret_sealed = excluded.secret_sealed, last_step = 0
    where admin_totp.confirmed_at is null returning admin_id`;
  return rows.length === 1;
}

/** Takes the code of a time step, once: false when this one or a later one was taken. Confirms the secret. */
export async function takeTotpStep(db: Database, adminId: string, step: number, now: Date): Promise<boolean> {
  const rows = await db.sql`
    update admin_totp set last_step = ${step}, confirmed_at = coalesce(confirmed_at, ${now})
    where admin_id = ${adminId} and last_step < ${step} returning admin_id`;
  return rows.length === 1;
}

/** False when it is the only thing that this admin proves themselves with. */
export async function deleteTotp(db: Database, adminId: string): Promise<boolean> {
  return db.sql.begin(async (tx) => {
    await tx`select 1 from admins where id = ${adminId} for update`;
    const rows = await tx`
      delete from admin_totp where admin_id = ${adminId}
      and exists (select 1 from admin_passkeys where admin_id = ${adminId}) returning admin_id`;
    return rows.length === 1;
  });
}

// Sessions

export interface AdminSessionRow {
  id: string;
  adminId: string;
  stage: SessionStage;
  address: string;
  agent: string;
  createdAt: Date;
  seenAt: Date;
  provenAt: Date | null;
  expiresAt: Date;
}

const sessionColumns = (sql: Queryable) => sql`
  id, admin_id as "adminId", stage, address, agent, created_at as "createdAt", seen_at as "seenAt",
  proven_at as "provenAt", expires_at as "expiresAt"`;

export async function insertAdminSession(
  db: Database,
  row: AdminSessionRow & { tokenSha256: Buffer },
): Promise<void> {
  await db.sql`
    insert into admin_sessions
      (id, token_sha256, admin_id, stage, address, agent, created_at, seen_at, proven_at, expires_at)
    values (${row.id}, ${row.tokenSha256}, ${row.adminId}, ${row.stage}, ${row.address}, ${row.agent},
      ${row.createdAt}, ${row.seenAt}, ${row.provenAt}, ${row.expiresAt})`;
}

/** A living session of an admin who is not disabled, seen again now. `idleSince`: quiet since then means over. */
export async function useAdminSession(
  db: Database,
  tokenSha256: Buffer,
  { now, idleSince }: { now: Date; idleSince: Date },
): Promise<AdminSessionRow | undefined> {
  const [row] = await db.sql<AdminSessionRow[]>`
    update admin_sessions s set seen_at = greatest(seen_at, ${now})
    where token_sha256 = ${tokenSha256} and ended_at is null and expires_at > ${now} and seen_at > ${idleSince}
      and exists (select 1 from admins a where a.id = s.admin_id and a.disabled_at is null)
    returning ${sessionColumns(db.sql)}`;
  return row;
}

/**
 * Another token for a session, as it goes on: signed in, or newly proven. False when it ended meanwhile or its token
 * was replaced by another request.
 */
export async function rotateAdminSession(
  db: Database,
  id: string,
  tokens: { from: Buffer; to: Buffer },
  state: { stage: SessionStage; provenAt: Date | null; expiresAt: Date },
): Promise<boolean> {
  const rows = await db.sql`
    update admin_sessions
    set token_sha256 = ${tokens.to}, stage = ${state.stage}, proven_at = ${state.provenAt}, expires_at = ${state.expiresAt}
    where id = ${id} and token_sha256 = ${tokens.from} and ended_at is null returning id`;
  return rows.length === 1;
}

/** The living ones, newest first. */
export async function adminSessionsOf(db: Database, adminId: string, now: Date): Promise<AdminSessionRow[]> {
  return db.sql<AdminSessionRow[]>`
    select ${sessionColumns(db.sql)} from admin_sessions
    where admin_id = ${adminId} and ended_at is null and expires_at > ${now} order by created_at desc, id`;
}

/** Ends one session of an admin, or all of them, or all but one. */
export async function endAdminSessions(
  db: Database,
  adminId: string,
  which: { id?: string; except?: string },
  now: Date,
): Promise<number> {
  const { count } = await db.sql`
    update admin_sessions set ended_at = ${now}
    where admin_id = ${adminId} and ended_at is null
      and (${which.id ?? null}::uuid is null or id = ${which.id ?? null})
      and (${which.except ?? null}::uuid is null or id <> ${which.except ?? null})`;
  return count;
}

/** Whether this admin was signed in from this address before. */
export async function knowsAddress(db: Database, adminId: string, address: string): Promise<boolean> {
  const rows = await db.sql`
    select 1 from admin_sessions where admin_id = ${adminId} and address = ${address} and stage = 'full' limit 1`;
  return rows.length > 0;
}

/** Deletes sessions and links that were over before this time. */
export async function deleteOldAdminSessions(db: Database, before: Date): Promise<void> {
  await db.sql`delete from admin_sessions where coalesce(ended_at, expires_at) < ${before}`;
  await db.sql`delete from admin_links where coalesce(used_at, expires_at) < ${before}`;
}

// What an authenticator is asked to sign

export const CHALLENGE_PURPOSES = ['enrol', 'sign-in', 'step-up', 'approve'] as const;
export type ChallengePurpose = (typeof CHALLENGE_PURPOSES)[number];

export interface ChallengeRow {
  id: string;
  sessionId: string;
  purpose: ChallengePurpose;
  challenge: string;
  about: string | null;
}

export async function insertChallenge(
  db: Database,
  row: ChallengeRow & { createdAt: Date; expiresAt: Date },
): Promise<void> {
  await db.sql.begin(async (tx) => {
    // One open question of each kind for a session.
    await tx`delete from admin_challenges where session_id = ${row.sessionId} and purpose = ${row.purpose}`;
    await tx`
      insert into admin_challenges (id, session_id, purpose, challenge, about, created_at, expires_at)
      values (${row.id}, ${row.sessionId}, ${row.purpose}, ${row.challenge}, ${row.about}, ${row.createdAt}, ${row.expiresAt})`;
  });
}

/** Takes a challenge out: whatever the answer to it is, there is no second one. */
export async function takeChallenge(
  db: Database,
  id: string,
  of: { sessionId: string; purpose: ChallengePurpose; now: Date },
): Promise<ChallengeRow | undefined> {
  const [row] = await db.sql<(ChallengeRow & { expiresAt: Date })[]>`
    delete from admin_challenges where id = ${id} and session_id = ${of.sessionId} and purpose = ${of.purpose}
    returning id, session_id as "sessionId", purpose, challenge, about, expires_at as "expiresAt"`;
  return row === undefined || row.expiresAt <= of.now ? undefined : row;
}
