import { createHmac, randomBytes } from 'node:crypto';

/** Standard Webhooks: the secret's text form, and the signature over id, time and body (scheme v1, HMAC-SHA-256). */
const SECRET_BYTES = 32;

export function newSecret(): Buffer {
  return randomBytes(SECRET_BYTES);
}

export function secretText(secret: Buffer): string {
  return `whsec_${secret.toString('base64')}`;
}

/** The headers of a message. Each of `secrets` signs, so that a receiver may know the old or the new one. */
export function signedHeaders(
  message: { id: string; atSeconds: number; body: Buffer },
  secrets: readonly Buffer[],
): Record<string, string> {
  const signatures = secrets.map((secret) => {
    const hmac = createHmac('sha256', secret)
      .update(`${message.id}.${message.atSeconds}.`)
      .update(message.body);
    return `v1,${hmac.digest('base64')}`;
  });
  return {
    'webhook-id': message.id,
    'webhook-timestamp': String(message.atSeconds),
    'webhook-signature': signatures.join(' '),
  };
}
