import { base64, fromBase64, utf8 } from './encoding.ts';
import { VerbatimServerError } from './error.ts';

/** A message that Verbatim sent, once its signature is checked. */
export interface WebhookMessage {
  /** The same for every try: keep those that you have dealt with. */
  id: string;
  type: string;
  /** When it happened, ISO 8601. */
  timestamp: string;
  data: Record<string, unknown>;
  /** The newest head of the server's ledger, a signed note. */
  checkpoint?: string;
}

const TOLERANCE_S = 300;
const PREFIX = 'whsec_';

/**
 * Checks a request of a webhook (Standard Webhooks) and reads it.
 * @param body the exact bytes or text that came, before any JSON parser
 * @param headers of the request, by lower-case names
 * @throws VerbatimServerError `webhook_invalid` for a message that was not signed with this secret, was changed, or is
 * older or newer than five minutes
 */
export async function verifyWebhook(
  secret: string,
  headers: Readonly<Record<string, string | string[] | undefined>> | Headers,
  body: string | Uint8Array,
  { nowMs = Date.now() }: { nowMs?: number } = {},
): Promise<WebhookMessage> {
  const id = headerOf(headers, 'webhook-id');
  const at = headerOf(headers, 'webhook-timestamp');
  const text = typeof body === 'string' ? body : new TextDecoder().decode(body);
  if (!/^\d{1,12}$/.test(at) || Math.abs(nowMs / 1_000 - Number(at)) > TOLERANCE_S)
    throw invalid('its time is missing, or more than five minutes away');
  if (!secret.startsWith(PREFIX)) throw new TypeError(`expected a secret that begins with ${PREFIX}`);
  const hmac = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', fromBase64(secret.slice(PREFIX.length)), hmac, false, [
    'sign',
  ]);
  const signed = await crypto.subtle.sign('HMAC', key, utf8(`${id}.${at}.${text}`));
  const expected = `v1,${base64(new Uint8Array(signed))}`;
  const given = headerOf(headers, 'webhook-signature').split(' ');
  // Every one is compared to its end, so that the time tells nothing.
  const matches = given.map((one) => isEqual(one, expected));
  if (!matches.includes(true)) throw invalid('no signature of it is by this secret');
  const message: Record<string, unknown> = JSON.parse(text);
  return {
    id,
    type: String(message.type),
    timestamp: String(message.timestamp),
    data: Object(message.data),
    ...(typeof message.checkpoint === 'string' ? { checkpoint: message.checkpoint } : {}),
  };
}

function headerOf(
  headers: Readonly<Record<string, string | string[] | undefined>> | Headers,
  name: string,
): string {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  return typeof value === 'string' ? value : '';
}

function isEqual(one: string, other: string): boolean {
  let difference = one.length ^ other.length;
  for (let at = 0; at < other.length; at += 1) difference |= (one.charCodeAt(at) || 0) ^ other.charCodeAt(at);
  return difference === 0;
}

function invalid(why: string): VerbatimServerError {
  return new VerbatimServerError(0, 'webhook_invalid', `this message is not to be trusted: ${why}`);
}
