import type { AdminRole } from '#protocol';

/** What each role is called, and what it may do. */
export const ROLES: Readonly<Record<AdminRole, { name: string; may: string }>> = {
  viewer: { name: 'viewer', may: 'sees every page, never audio' },
  operator: { name: 'operator', may: 'also repairs recordings and manages apps, keys and webhooks' },
  legal_officer: { name: 'legal officer', may: 'sees every page; sets holds and carries out removals' },
  owner: { name: 'owner', may: 'may do everything, and manages the admins' },
};

/** With its article, for a sentence. */
export function roleName(role: AdminRole): string {
  const { name } = ROLES[role];
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`;
}
