import type { Coverage } from './coverage.ts';

/** What the recording is called beside the vCon, in an evidence bundle. */
export const RECORDING_FILE = 'recording.webm';

/** What a vCon says about one recorded call. */
export interface VconFacts {
  recordingId: string;
  callId: string;
  caller: string;
  callee: string;
  /** Of the file, hex. */
  sha512: string;
  coverage: Coverage;
  /** The name of the file, relative to the vCon. */
  file: string;
}

/** The log's key, for JSON Web Signatures. */
export interface JwsSigner {
  /** `<name>+<hash>`, as its verifier key begins. */
  readonly kid: string;
  sign(signingInput: string): Buffer;
}

/**
 * The call as a vCon in its signed form (draft-ietf-vcon-vcon-core, JWS general JSON serialization of RFC 7515 with
 * EdDSA of RFC 8037). It names the recording by SHA-512 and the people by their ids in the messenger. The same facts give
 * the same bytes: Ed25519 has no random part.
 */
export function signedVcon(facts: VconFacts, signer: JwsSigner): Buffer {
  const { coverage } = facts;
  const vcon = {
    vcon: '0.3.0',
    uuid: facts.recordingId,
    created_at: coverage.endedAt,
    subject: `Secure call ${facts.callId}`,
    parties: [
      { name: facts.caller, role: 'caller' },
      { name: facts.callee, role: 'callee' },
    ],
    dialog: [
      {
        type: 'recording',
        start: coverage.startedAt,
        duration: coverage.durationMs / 1000,
        parties: [0, 1],
        originator: 0,
        mediatype: coverage.format.split(';', 1)[0],
        filename: facts.file,
        url: facts.file,
        content_hash: `sha512-${Buffer.from(facts.sha512, 'hex').toString('base64url')}`,
      },
    ],
  };
  const payload = Buffer.from(JSON.stringify(vcon)).toString('base64url');
  const header = Buffer.from(JSON.stringify({ alg: 'EdDSA', kid: signer.kid })).toString('base64url');
  const signature = signer.sign(`${header}.${payload}`).toString('base64url');
  const jws = {
    payload,
    signatures: [{ protected: header, header: { uuid: facts.recordingId }, signature }],
  };
  return Buffer.from(`${JSON.stringify(jws)}\n`);
}
