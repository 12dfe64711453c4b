import type { Bytes } from './bytes.ts';
import { EvidenceError, fromBase64Url, toHex, utf8 } from './bytes.ts';
import { JsonReader } from './json.ts';
import type { LogKey } from './note.ts';

/** What a signed vCon says about the one recording that it names. */
export interface VconFacts {
  uuid: string;
  /** SHA-512 of the file, hex. */
  sha512: string;
  /** The caller and the callee, as it names them. */
  people: string[];
  signedBy: LogKey[];
}

/**
 * A vCon in its signed form (draft-ietf-vcon-vcon-core: JWS general JSON serialization, RFC 7515 section 7.2.1), signed
 * with EdDSA (RFC 8037) by one of these keys, whose hash is the `kid`.
 */
export async function openVcon(bytes: Bytes, keys: readonly LogKey[]): Promise<VconFacts> {
  const jws = JsonReader.parse(bytes, 'vcon.json');
  const payload = jws.text('payload');
  const [signature, ...more] = jws.objects('signatures');
  if (signature === undefined || more.length > 0)
    throw new EvidenceError('vcon.json: expected one signature');
  const protectedHeader = signature.text('protected');
  const header = JsonReader.parse(fromBase64Url(protectedHeader, 'vcon.json'), 'header of vcon.json');
  const kid = header.text('kid');
  const key = keys.find((each) => `${each.name}+${each.keyHash}` === kid);
  if (header.text('alg') !== 'EdDSA' || key === undefined) {
    throw new EvidenceError('vcon.json: expected a signature by the log’s key');
  }
  const raw = fromBase64Url(signature.text('signature'), 'vcon.json');
  if (!(await crypto.subtle.verify('Ed25519', key.key, raw, utf8(`${protectedHeader}.${payload}`)))) {
    throw new EvidenceError('vcon.json: the signature is wrong');
  }
  const vcon = JsonReader.parse(fromBase64Url(payload, 'vcon.json'), 'payload of vcon.json');
  const [dialog, ...others] = vcon.objects('dialog');
  const hash = /^sha512-(.+)$/.exec(dialog?.text('content_hash') ?? '')?.[1];
  if (dialog?.text('type') !== 'recording' || others.length > 0 || hash === undefined) {
    throw new EvidenceError('vcon.json: expected one recording with its SHA-512');
  }
  const people = vcon.objects('parties').map((party) => party.text('name'));
  return {
    uuid: vcon.text('uuid'),
    people,
    sha512: toHex(fromBase64Url(hash, 'content_hash')),
    signedBy: [key],
  };
}
