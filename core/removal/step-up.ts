import { createHash } from 'node:crypto';
import type { JsonObject } from '#ledger';
import { VerbatimError } from '#protocol';
import type { RemovalRow } from '../db/removals.ts';

/**
 * That an admin proved a moment ago to be there, for this one act: a passkey assertion (WebAuthn) whose challenge was
 * `challengeOf` the removal. Whoever made it has verified the signature; here it is held against the act.
 */
export interface StepUpAssertion {
  /** Unique for ever, such as a hash of the signature. */
  id: string;
  adminId: string;
  /** `challengeOf` the removal that it approves, hex. */
  over: string;
  at: Date;
  /** `passkey`. */
  method: string;
  /** What anybody needs to verify it again: credential, client data, authenticator data, signature. Goes into the ledger. */
  proof: JsonObject;
}

/** Between a person's touch and the act lies a request, not a coffee. */
export const FRESH_MS = 5 * 60_000;
const SKEW_MS = 30_000;
/** An assertion of a passkey has about a kilobyte; an entry of the ledger at most 16. */
const MAX_PROOF_CHARS = 8 * 1024;

/**
 * What an approval is over (hex): this removal, this order document, and the request's entry with everything it says. An
 * order or a word that changes afterwards makes another challenge.
 */
export function challengeOf({ id, orderSha256, requestHash }: RemovalRow): string {
  if (requestHash === null) throw new VerbatimError('conflict', 'the request is not in the ledger yet');
  return createHash('sha256')
    .update(`verbatim/removal-approve/v1\n${id}\n${orderSha256}\n${requestHash}\n`)
    .digest('hex');
}

/** @throws VerbatimError `forbidden`: of somebody else, over something else, too old, or of before the request */
export function assertFresh(
  assertion: StepUpAssertion,
  { actor, row, now }: { actor: string; row: RemovalRow; now: Date },
): void {
  const refuse = (why: string): never => {
    throw new VerbatimError('forbidden', `the step-up ${why}`);
  };
  if (assertion.id === '' || assertion.id.length > 256) refuse('has no usable id');
  if (assertion.adminId !== actor) refuse('is another admin’s');
  if (assertion.over !== challengeOf(row)) refuse('is over something else than this order');
  const ageMs = now.getTime() - assertion.at.getTime();
  if (!(ageMs <= FRESH_MS && ageMs >= -SKEW_MS)) refuse('is not fresh');
  if (assertion.at.getTime() < row.requestedAt.getTime() - SKEW_MS) refuse('is older than the request');
  if (JSON.stringify(assertion.proof).length > MAX_PROOF_CHARS) refuse('has too long a proof');
}
