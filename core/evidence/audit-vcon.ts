import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { NoteVerifier } from '#ledger';
import type { Opening } from './opening.ts';

/** JWS in the general JSON serialization (RFC 7515 section 7.2.1), with one signature. */
const Jws = Type.Object({
  payload: Type.String(),
  signatures: Type.Tuple([
    Type.Object({
      protected: Type.String(),
      header: Type.Object({ uuid: Type.String() }),
      signature: Type.String(),
    }),
  ]),
});
/** What of a vCon is held against the opening; its signature covers the rest. */
const Vcon = Type.Object({
  uuid: Type.String(),
  parties: Type.Tuple([Type.Object({ name: Type.String() }), Type.Object({ name: Type.String() })]),
  dialog: Type.Tuple([Type.Object({ content_hash: Type.String() })]),
});

/** What is wrong with the signed vCon of an opening: its form, its signature, or what it is about. */
export function vconProblem(opening: Opening, verifiers: readonly NoteVerifier[]): string | undefined {
  const jws = parsed(opening.vcon);
  if (!Check(Jws, jws)) return 'its vCon is no signed vCon';
  const [{ protected: header, header: hint, signature }] = jws.signatures;
  const canonical = [jws.payload, header, signature].every(
    (text) => Buffer.from(text, 'base64url').toString('base64url') === text,
  );
  if (!canonical || `${JSON.stringify(jws)}\n` !== opening.vcon)
    return 'its vCon is not written in the one form that counts';
  const bytes = Buffer.from(signature, 'base64url');
  if (!verifiers.some((verifier) => verifier.verify(`${header}.${jws.payload}`, bytes)))
    return 'its vCon is not signed by a key of the log';
  const vcon = parsed(Buffer.from(jws.payload, 'base64url').toString('utf8'));
  if (!Check(Vcon, vcon)) return 'its vCon does not say what a vCon of a call says';
  const [caller, callee] = vcon.parties;
  const same =
    vcon.uuid === opening.recording &&
    hint.uuid === opening.recording &&
    caller.name === opening.caller &&
    callee.name === opening.callee &&
    vcon.dialog[0].content_hash === `sha512-${Buffer.from(opening.sha512, 'hex').toString('base64url')}`;
  return same ? undefined : 'its vCon is about another recording';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // No JSON is no vCon; the caller says so.
    return undefined;
  }
}
