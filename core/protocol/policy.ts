import { Type } from 'typebox';

/** Who of an app's users may do what, by their role (F12, F30). */
const closed = { additionalProperties: false };

/** A role as user tokens and `PUT /v1/users/:id` name it. */
export const Role = Type.String({ minLength: 1, maxLength: 64, pattern: '^[a-z0-9_-]+$' });

export const Permissions = Type.Object(
  {
    /** Place voice calls. Being called needs no permission. */
    voice: Type.Boolean(),
    /** Place secure calls. */
    secure: Type.Boolean(),
    /** List and play the recordings of one's own calls. */
    recordings: Type.Boolean(),
  },
  closed,
);
export type Permissions = Type.Static<typeof Permissions>;

/** `PUT /v1/policy`: the permissions of each role; `default` is for roles that are not named, and for users without one. */
export const RolePolicy = Type.Object(
  { default: Permissions, roles: Type.Record(Role, Permissions, { ...closed, maxProperties: 100 }) },
  closed,
);
export type RolePolicy = Type.Static<typeof RolePolicy>;

/** What an app begins with: everybody may do everything that the app itself has turned on. */
export const OPEN_POLICY: RolePolicy = {
  default: { voice: true, secure: true, recordings: true },
  roles: {},
};

/** What this role may do under a policy. */
export function permissionsOf(policy: RolePolicy, role: string | undefined): Permissions {
  return (role !== undefined && Object.hasOwn(policy.roles, role) && policy.roles[role]) || policy.default;
}
