import { createHash, randomBytes, randomUUID } from 'node:crypto';
import {
  generateAuthenticationOptions,
  generateRegistrationOptions,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from '@simplewebauthn/server';
import type { AssertionAnswer, PasskeyChallenge, RegistrationAnswer } from '#protocol';
import { VerbatimError } from '#protocol';
import type { AdminRow, ChallengePurpose, PasskeyRow } from '../db/admins.ts';
import { insertChallenge, insertPasskey, passkeysOf, takeChallenge, usePasskey } from '../db/admins.ts';
import type { Database } from '../db/index.ts';
import { ADMIN_LIMITS } from './limits.ts';

const RP_NAME = 'Verbatim';
const CHALLENGE_BYTES = 32;
/** EdDSA, ES256 and RS256 (RFC 9053, RFC 8812): one of them is in every authenticator. */
const ALGORITHMS = [-8, -7, -257];

/** An assertion that was checked, with everything that somebody else needs to check it again (WebAuthn §7.2). */
export interface Assertion {
  passkeyId: string;
  /** Base64url, as the browser gave them. */
  credentialId: string;
  clientDataJSON: string;
  authenticatorData: string;
  signature: string;
  /** COSE key, base64url. */
  publicKey: string;
  /** What was signed for, and what made the challenge of it: see `challengeAbout`. */
  about: string | null;
  nonce: string;
}

/** Where a page is that asks: `https://calls.example.org`, and the host that passkeys are bound to. */
export interface RelyingParty {
  origin: string;
  id: string;
}

/**
 * The challenge that stands for a thing: SHA-256 over a word, what it is about, and 32 random bytes. Who has these can
 * tell from the signed client data what the admin agreed to.
 */
export function challengeAbout(about: string, nonce: Uint8Array): Buffer {
  return createHash('sha256').update(`verbatim/approve/v1\n${about}\n`, 'utf8').update(nonce).digest();
}

/** Passkeys of admins (WebAuthn Level 3): enrolment and proofs. Every challenge is answered once at most. */
export class Passkeys {
  readonly #db: Database;
  readonly #nowMs: () => number;

  constructor(db: Database, nowMs: () => number) {
    this.#db = db;
    this.#nowMs = nowMs;
  }

  /** @throws VerbatimError `conflict` when there are as many as one may have */
  async enrolOptions(sessionId: string, admin: AdminRow, rp: RelyingParty): Promise<PasskeyChallenge> {
    const known = await passkeysOf(this.#db, admin.id);
    if (known.length >= ADMIN_LIMITS.maxPasskeys) {
      throw new VerbatimError('conflict', `an account has at most ${ADMIN_LIMITS.maxPasskeys} passkeys`);
    }
    const challenge = randomBytes(CHALLENGE_BYTES);
    const options = await generateRegistrationOptions({
      rpName: RP_NAME,
      rpID: rp.id,
      userName: admin.login,
      userDisplayName: admin.name,
      userID: bytesOf(Buffer.from(admin.id)),
      challenge: bytesOf(challenge),
      attestationType: 'none',
      timeout: ADMIN_LIMITS.challengeMs,
      supportedAlgorithmIDs: ALGORITHMS,
      excludeCredentials: known.map(({ credentialId }) => ({ id: credentialId.toString('base64url') })),
      authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
    });
    return { challengeId: await this.#keep(sessionId, 'enrol', challenge, null), options };
  }

  /** @throws VerbatimError `bad_request` for what no authenticator answered to this challenge; `conflict` for a known key */
  async enrol(
    sessionId: string,
    admin: AdminRow,
    rp: RelyingParty,
    { challengeId, answer, name }: { challengeId: string; answer: RegistrationAnswer; name: string },
  ): Promise<string> {
    const { challenge } = await this.#take(challengeId, sessionId, 'enrol');
    const { verified, registrationInfo } = await refusing(() =>
      verifyRegistrationResponse({
        // The library reads other members of the answer when they are there; ours has none of them.
        response: { ...answer, response: { ...answer.response } },
        expectedChallenge: challenge,
        expectedOrigin: rp.origin,
        expectedRPID: rp.id,
        requireUserVerification: true,
        supportedAlgorithmIDs: ALGORITHMS,
      }),
    );
    if (!verified) throw new VerbatimError('bad_request', 'the authenticator’s answer does not verify');
    const { credential } = registrationInfo;
    const id = randomUUID();
    const isNew = await insertPasskey(this.#db, {
      id,
      adminId: admin.id,
      credentialId: Buffer.from(credential.id, 'base64url'),
      publicKey: Buffer.from(credential.publicKey),
      counter: credential.counter,
      transports: credential.transports ?? [],
      name,
      createdAt: new Date(this.#nowMs()),
    });
    if (!isNew) throw new VerbatimError('conflict', 'this passkey is known already');
    return id;
  }

  /** @throws VerbatimError `conflict` for an admin without a passkey */
  async proofOptions(
    sessionId: string,
    admin: AdminRow,
    rp: RelyingParty,
    purpose: Exclude<ChallengePurpose, 'enrol'>,
    about: string | null = null,
  ): Promise<PasskeyChallenge> {
    const known = await passkeysOf(this.#db, admin.id);
    if (known.length === 0) throw new VerbatimError('conflict', 'this account has no passkey');
    const nonce = randomBytes(CHALLENGE_BYTES);
    const challenge = about === null ? nonce : challengeAbout(about, nonce);
    const options = await generateAuthenticationOptions({
      rpID: rp.id,
      challenge: bytesOf(challenge),
      userVerification: 'required',
      timeout: ADMIN_LIMITS.challengeMs,
      allowCredentials: known.map(({ credentialId }) => ({ id: credentialId.toString('base64url') })),
    });
    return { challengeId: await this.#keep(sessionId, purpose, nonce, about), options };
  }

  /** @throws VerbatimError `unauthorized` for a foreign, replayed, changed or late answer, in the same words */
  async prove(
    sessionId: string,
    admin: AdminRow,
    rp: RelyingParty,
    purpose: Exclude<ChallengePurpose, 'enrol'>,
    { challengeId, answer }: { challengeId: string; answer: AssertionAnswer },
  ): Promise<Assertion> {
    const { challenge: nonce, about } = await this.#take(challengeId, sessionId, purpose);
    const passkey = (await passkeysOf(this.#db, admin.id)).find(
      ({ credentialId }) => credentialId.toString('base64url') === answer.id,
    );
    if (passkey === undefined) throw refusal();
    const nonceBytes = Buffer.from(nonce, 'base64url');
    const challenge = about === null ? nonce : challengeAbout(about, nonceBytes).toString('base64url');
    const { verified, authenticationInfo } = await refusing(() =>
      verifyAuthenticationResponse({
        response: answer,
        expectedChallenge: challenge,
        expectedOrigin: rp.origin,
        expectedRPID: rp.id,
        requireUserVerification: true,
        credential: credentialOf(passkey),
      }),
    );
    const now = new Date(this.#nowMs());
    if (!verified || !(await usePasskey(this.#db, passkey.id, authenticationInfo.newCounter, now)))
      throw refusal();
    const { clientDataJSON, authenticatorData, signature } = answer.response;
    return {
      passkeyId: passkey.id,
      credentialId: answer.id,
      clientDataJSON,
      authenticatorData,
      signature,
      publicKey: passkey.publicKey.toString('base64url'),
      about,
      nonce,
    };
  }

  async #keep(
    sessionId: string,
    purpose: ChallengePurpose,
    challenge: Buffer,
    about: string | null,
  ): Promise<string> {
    const id = randomUUID();
    const nowMs = this.#nowMs();
    await insertChallenge(this.#db, {
      id,
      sessionId,
      purpose,
      challenge: challenge.toString('base64url'),
      about,
      createdAt: new Date(nowMs),
      expiresAt: new Date(nowMs + ADMIN_LIMITS.challengeMs),
    });
    return id;
  }

  async #take(challengeId: string, sessionId: string, purpose: ChallengePurpose) {
    const row = await takeChallenge(this.#db, challengeId, {
      sessionId,
      purpose,
      now: new Date(this.#nowMs()),
    });
    if (row === undefined) throw refusal();
    return row;
  }
}

function credentialOf({ credentialId, publicKey, counter, transports }: PasskeyRow) {
  return { id: credentialId.toString('base64url'), publicKey: bytesOf(publicKey), counter, transports };
}

/** The library wants arrays on a buffer of their own. */
function bytesOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

function refusal(cause?: unknown): VerbatimError {
  return new VerbatimError('unauthorized', 'the proof does not verify: begin again', { cause });
}

/** What the library throws are its words for a bad answer. */
async function refusing<T>(verify: () => Promise<T>): Promise<T> {
  try {
    return await verify();
  } catch (error) {
    throw refusal(error);
  }
}
