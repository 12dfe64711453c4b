const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Named bounds of the console's sign-in. */
export const ADMIN_LIMITS = {
  /** Signed in and quiet for this long means signed out; signed in for `lifetimeMs` as well, however busy. */
  idleMs: 30 * MINUTE_MS,
  lifetimeMs: 12 * HOUR_MS,
  /** From the right password to the second factor. */
  halfMs: 10 * MINUTE_MS,
  /** From a new account's first password to its second factor. */
  enrolMs: 30 * MINUTE_MS,
  /** How long a proof counts as fresh for acts that ask for one. */
  provenMs: 5 * MINUTE_MS,
  challengeMs: 5 * MINUTE_MS,
  inviteMs: 72 * HOUR_MS,
  recoverMs: HOUR_MS,
  /** Sessions and links that were over this long ago are deleted. */
  keepMs: 90 * 24 * HOUR_MS,
  /** Failures are counted in this window. */
  windowMs: 15 * MINUTE_MS,
  /** Wrong passwords for one login from one network, and from one network altogether; then it waits. */
  failuresPerLogin: 10,
  failuresPerNetwork: 50,
  /** Wrong codes of one session, after which it is over. */
  codesPerSession: 5,
  /** Wrong codes of one admin in a window, after which codes count only from networks they were signed in from. */
  codesPerAdmin: 20,
  /** Networks and logins whose failures are kept in memory; the quietest is forgotten first. */
  tracked: 10_000,
  maxPasskeys: 10,
  /** Hashing takes 64 MiB for each; more at once wait, and more than these are told to come back. */
  hashesAtOnce: 2,
  hashesWaiting: 20,
} as const;
