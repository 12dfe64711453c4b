import { VerbatimError } from '#protocol';

export const TOKEN_LIMITS = {
  /** As in the signaling contract: `session.start` takes no longer token. */
  maxLength: 8_192,
  maxLifetimeMs: 24 * 3_600_000,
  /** How far the app's clock may run ahead of ours (`iat`, `nbf`, and the 24 hours). `exp` has no tolerance. */
  toleranceMs: 60_000,
} as const;

/** One answer for every token that is not good: what exactly was wrong helps only who is guessing. */
export function refused(reason: string, cause?: unknown): VerbatimError {
  return new VerbatimError('unauthorized', undefined, { cause: new Error(reason, { cause }) });
}

/** Told apart from the others because a client acts on it: it asks its app for a new token. */
export function expired(cause?: unknown): VerbatimError {
  return new VerbatimError('token_expired', undefined, { cause });
}
