import type { AdminRole } from '#protocol';
import { newLink } from '../../core/admins/index.ts';
import { endUnusedOwnerLinks } from '../../core/db/admins.ts';
import type { Database } from '../../core/db/index.ts';

/** A one-time link, with the token in the fragment: it goes to no server, proxy or log. */
export interface PrintedLink {
  url: string;
  expiresAt: string;
}

/** An invitation of the command line. Of those for owners only the newest is good. */
export async function inviteLink(db: Database, base: string, role: AdminRole): Promise<PrintedLink> {
  const nowMs = Date.now();
  if (role === 'owner') await endUnusedOwnerLinks(db, new Date(nowMs));
  return printed(base, await newLink(db, { purpose: 'invite', role }, { createdBy: null, nowMs }));
}

/** The way back in for an admin who lost what they prove themselves with. */
export async function recoveryLink(db: Database, base: string, adminId: string): Promise<PrintedLink> {
  return printed(
    base,
    await newLink(db, { purpose: 'recover', adminId }, { createdBy: null, nowMs: Date.now() }),
  );
}

function printed(base: string, { token, expiresAt }: { token: string; expiresAt: string }): PrintedLink {
  return { url: `${base}/admin/#/link/${token}`, expiresAt };
}

/** Until when, for a person: to the minute, in UTC. */
export function untilText(expiresAt: string): string {
  return `${expiresAt.slice(0, 16).replace('T', ' ')} UTC`;
}
