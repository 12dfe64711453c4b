import { Secret, TOTP } from 'otpauth';

/** RFC 6238 as every authenticator app has it: SHA-1, 6 digits, 30 s; the secret has the 160 bits of RFC 4226 §4. */
const FORM = { issuer: 'Verbatim', algorithm: 'SHA1', digits: 6, period: 30 } as const;
const SECRET_BYTES = 20;
/** One step to either side, for clocks that differ and codes that are typed slowly (RFC 6238 §5.2). */
const WINDOW = 1;

/** A new secret: its bytes, what a person types, and the address that a QR code holds. */
export function newTotp(login: string): { bytes: Buffer; secret: string; uri: string } {
  const secret = new Secret({ size: SECRET_BYTES });
  const uri = new TOTP({ ...FORM, label: login, secret }).toString();
  return { bytes: Buffer.from(secret.bytes), secret: secret.base32, uri };
}

/** The time step that a code belongs to, or undefined for a wrong one. Whether it was taken before is not asked here. */
export function totpStep(bytes: Uint8Array, code: string, nowMs: number): number | undefined {
  const totp = new TOTP({ ...FORM, secret: new Secret({ buffer: new Uint8Array(bytes).buffer }) });
  const delta = totp.validate({ token: code, timestamp: nowMs, window: WINDOW });
  return delta === null ? undefined : TOTP.counter({ period: FORM.period, timestamp: nowMs }) + delta;
}
