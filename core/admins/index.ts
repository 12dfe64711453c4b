// admins: who runs this server: accounts, passwords, second factors, one-time links, sessions of the console.
// Not here: routes and cookies' headers (core/http), what an admin's acts do (the rooms that they are about).
// Imported by: core/http, core/app.ts, scripts.

export type { AdminAudit, AdminsOptions, SignedIn, Visitor } from './admins.ts';
export { Admins } from './admins.ts';
export { cookieOfAdmin, endedAdminCookie, tokenOfAdmin } from './cookie.ts';
export { ADMIN_LIMITS } from './limits.ts';
export { newLink } from './links.ts';
export type { Assertion } from './passkeys.ts';
export type { Seat } from './seats.ts';
