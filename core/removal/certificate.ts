import type { JsonObject } from '#ledger';
import type { LedgerPort } from './destroyer.ts';

/**
 * A statement of the server, signed with its ledger's key: JSON Web Signature, general JSON serialization (RFC 7515), EdDSA
 * (RFC 8037), like the vCon of an evidence bundle. `kid` begins the verifier key that signed.
 */
export function signedStatement(statement: JsonObject, ledger: Pick<LedgerPort, 'jwsSigner'>): string {
  const signer = ledger.jwsSigner();
  const payload = Buffer.from(JSON.stringify(statement)).toString('base64url');
  const header = Buffer.from(
    JSON.stringify({ alg: 'EdDSA', kid: signer.kid, typ: 'verbatim-removal+json' }),
  ).toString('base64url');
  const signature = signer.sign(`${header}.${payload}`).toString('base64url');
  return `${JSON.stringify({ payload, signatures: [{ protected: header, signature }] })}\n`;
}
