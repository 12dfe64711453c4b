import { Value } from 'typebox/value';
import type { Permissions, RolePolicy } from '#protocol';
import { Role } from '#protocol';
import { findPolicy, setPolicy } from '../../core/db/policies.ts';
import type { OperatorDatabase } from './operator-database.ts';
import { OperatorError } from './operator-error.ts';

/** What `scripts/app role` tells, for a person and as data. */
interface Told {
  lines: string[];
  data: RolePolicy;
}

/** The words for what a role may do, as options of the command. */
const RIGHTS = ['voice', 'secure', 'recordings'] as const;
/** Stands for the roles that are not named, and for users without one. */
const EVERYBODY_ELSE = 'default';

/** The policy of an app. @throws OperatorError when there is no such app */
export async function listRoles(db: OperatorDatabase, appId: string): Promise<Told> {
  return told(await policyOf(db, appId));
}

/** Changes what a role may do; what no option names stays as it is, or as it is for everybody else. */
export async function setRole(
  db: OperatorDatabase,
  appId: string,
  role: string,
  options: Partial<Record<keyof Permissions, string>>,
): Promise<Told> {
  if (!Value.Check(Role, role))
    throw new OperatorError(`Expected a role of up to 64 of a-z, 0-9, _ and -, got "${role}".`);
  const changes = RIGHTS.filter((right) => options[right] !== undefined);
  if (changes.length === 0)
    throw new OperatorError('Say what the role may do: --voice, --secure or --recordings, each on or off.');
  const policy = await policyOf(db, appId);
  const before = (role !== EVERYBODY_ELSE && policy.roles[role]) || policy.default;
  const after = { ...before };
  for (const right of changes) after[right] = onOff(right, options[right]);
  const roles = role === EVERYBODY_ELSE ? policy.roles : { ...policy.roles, [role]: after };
  return keep(db, appId, { default: role === EVERYBODY_ELSE ? after : policy.default, roles });
}

/** From then on the role may do what everybody else may. */
export async function removeRole(db: OperatorDatabase, appId: string, role: string): Promise<Told> {
  const policy = await policyOf(db, appId);
  if (!Object.hasOwn(policy.roles, role))
    throw new OperatorError(`The app "${appId}" has no rules for the role "${role}".`);
  const { [role]: _, ...roles } = policy.roles;
  return keep(db, appId, { ...policy, roles });
}

async function policyOf(db: OperatorDatabase, appId: string): Promise<RolePolicy> {
  const policy = await findPolicy(db, appId);
  if (policy === undefined)
    throw new OperatorError(`There is no app "${appId}": scripts/app list shows them.`);
  return policy;
}

async function keep(db: OperatorDatabase, appId: string, policy: RolePolicy): Promise<Told> {
  await setPolicy(db, appId, policy);
  return told(policy);
}

function told(policy: RolePolicy): Told {
  const line = (role: string, may: Permissions): string =>
    `${role}: ${RIGHTS.map((right) => `${right} ${may[right] ? 'on' : 'off'}`).join(', ')}`;
  return {
    lines: [
      ...Object.entries(policy.roles).map(([role, may]) => line(role, may)),
      line(EVERYBODY_ELSE, policy.default),
    ],
    data: policy,
  };
}

function onOff(right: string, value: string | undefined): boolean {
  if (value !== 'on' && value !== 'off')
    throw new OperatorError(`--${right}: expected on or off, got "${value}".`);
  return value === 'on';
}
