import type { Permissions, RolePolicy } from '#protocol';
import { OPEN_POLICY, permissionsOf } from '#protocol';
import type { Database } from './database.ts';

/** Whose permissions are asked for; the role of the token counts before the one that the app's server stored. */
export interface RoleBearer {
  appId: string;
  userId: string;
  role?: string;
}

/** The policy of an app; undefined when there is no such app. */
export async function findPolicy(db: Database, appId: string): Promise<RolePolicy | undefined> {
  const [row] = await db.sql<{ policy: RolePolicy | null }[]>`
    select role_policy as policy from apps where id = ${appId}`;
  return row === undefined ? undefined : (row.policy ?? OPEN_POLICY);
}

/** Replaces the policy; false when there is no such app. It counts from the next thing that a user does. */
export async function setPolicy(db: Database, appId: string, policy: RolePolicy): Promise<boolean> {
  const { count } = await db.sql`
    update apps set role_policy = ${db.sql.json(policy)} where id = ${appId}`;
  return count === 1;
}

/** What a user may do now: the permissions of their role, secure calls only where the app records (F12, F28). */
export async function permissionsFor(db: Database, who: RoleBearer): Promise<Permissions> {
  const { granted, recordingEnabled } = await lookUp(db, who);
  return { ...granted, secure: granted.secure && recordingEnabled };
}

/** What the user's role grants, whatever the app has turned on. */
export async function rolePermissions(db: Database, who: RoleBearer): Promise<Permissions> {
  return (await lookUp(db, who)).granted;
}

async function lookUp(db: Database, { appId, userId, role }: RoleBearer) {
  const [row] = await db.sql<
    { policy: RolePolicy | null; recordingEnabled: boolean; storedRole: string | null }[]
  >`
    select a.role_policy as policy, a.recording_enabled as "recordingEnabled", u.role as "storedRole"
    from apps a left join users u on u.app_id = a.id and u.id = ${userId}
    where a.id = ${appId}`;
  if (row === undefined)
    return { granted: { voice: false, secure: false, recordings: false }, recordingEnabled: false };
  const granted = permissionsOf(row.policy ?? OPEN_POLICY, role ?? row.storedRole ?? undefined);
  return { granted, recordingEnabled: row.recordingEnabled };
}
