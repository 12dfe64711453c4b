import { randomUUID } from 'node:crypto';
import type { AdminLink, AdminRole } from '#protocol';
import { insertAdminLink } from '../db/admins.ts';
import type { Database } from '../db/index.ts';
import { ADMIN_LIMITS } from './limits.ts';
import { hashOf, newToken } from './tokens.ts';

/** What a one-time link is to be for. */
export type LinkFor = { purpose: 'invite'; role: AdminRole } | { purpose: 'recover'; adminId: string };

/** Makes a one-time link. The token is in the answer and nowhere else; `createdBy` is null for the command line. */
export async function newLink(
  db: Database,
  link: LinkFor,
  { createdBy, nowMs }: { createdBy: string | null; nowMs: number },
): Promise<AdminLink> {
  const token = newToken();
  const isInvite = link.purpose === 'invite';
  const expiresAt = new Date(nowMs + (isInvite ? ADMIN_LIMITS.inviteMs : ADMIN_LIMITS.recoverMs));
  await insertAdminLink(db, {
    id: randomUUID(),
    tokenSha256: hashOf(token),
    purpose: link.purpose,
    role: isInvite ? link.role : null,
    adminId: isInvite ? null : link.adminId,
    createdBy,
    createdAt: new Date(nowMs),
    expiresAt,
  });
  return { token, expiresAt: expiresAt.toISOString() };
}
