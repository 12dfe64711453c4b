import type { IncomingMessage } from 'node:http';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { BlockList, LookupFunction } from 'node:net';
import { allowedAddresses, ForbiddenAddress, isAllowedAddress } from './guard.ts';

export interface PostResult {
  status?: number;
  /** Why there was no answer, in words for the app's log. */
  error?: string;
  /** It was stopped, and nobody knows whether it was heard. */
  broken?: true;
}

export interface PostLimits {
  /** Breaks off; then `broken` is the answer. */
  stop?: AbortSignal;
  /** For everything, from the name's lookup to the last byte of the answer that is read. */
  timeoutMs: number;
  /** Of an answer are read and dropped; a longer one is cut off. */
  maxAnswerBytes: number;
}

/**
 * Sends a message and tells how it was answered. No redirect is followed, nothing of the answer is kept, no connection
 * is used twice. Never rejects.
 */
export async function post(
  address: string,
  message: { headers: Record<string, string>; body: Buffer },
  { allowed, timeoutMs, maxAnswerBytes, stop }: PostLimits & { allowed: BlockList },
): Promise<PostResult> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = stop === undefined ? timeout : AbortSignal.any([timeout, stop]);
  try {
    const url = new URL(address);
    const addresses = await Promise.race([allowedAddresses(url.hostname, allowed), aborted(signal)]);
    // Without TLS anybody on the way reads it: for the operator's own networks only.
    if (
      url.protocol !== 'https:' &&
      !addresses.every((one) => allowed.check(one.address, one.family === 6 ? 'ipv6' : 'ipv4'))
    )
      return { error: 'the address must begin with https://' };
    const answer = await exchange(url, message, { addresses, allowed, signal });
    await drop(answer, maxAnswerBytes);
    return { status: answer.statusCode ?? 0 };
  } catch (error) {
    if (stop?.aborted) return { broken: true };
    if (signal.aborted) return { error: `no answer within ${timeoutMs / 1000} s` };
    return { error: error instanceof ForbiddenAddress ? error.message : reasonOf(error) };
  }
}

function exchange(
  url: URL,
  { headers, body }: { headers: Record<string, string>; body: Buffer },
  options: { addresses: { address: string; family: number }[]; allowed: BlockList; signal: AbortSignal },
): Promise<IncomingMessage> {
  const { addresses, allowed, signal } = options;
  // What was looked at is what is connected to: the name is not looked up again.
  const lookup: LookupFunction = (_host, { all }, callback) => {
    const [first] = addresses;
    if (all) callback(null, addresses);
    else callback(null, first?.address ?? '', first?.family ?? 4);
  };
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const request = send(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': body.length },
        lookup,
        signal,
        agent: false,
      },
      resolve,
    );
    request.once('socket', (socket) => {
      socket.once('connect', () => {
        if (!isAllowedAddress(socket.remoteAddress ?? '', allowed))
          request.destroy(
            new ForbiddenAddress('the address is not a public one, and the operator does not allow it'),
          );
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** Reads the answer to its end, or gives it up. */
async function drop(answer: IncomingMessage, maxBytes: number): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of answer) {
      bytes += (chunk as Buffer).length;
      if (bytes > maxBytes) break;
    }
  } catch {
    // The status is known, and the rest of the answer means nothing here.
  } finally {
    answer.destroy();
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'the connection failed';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  const words: Record<string, string> = {
    ECONNREFUSED: 'the connection was refused',
    ECONNRESET: 'the connection was reset',
    ENOTFOUND: 'the name is not known',
    EAI_AGAIN: 'the name could not be looked up',
    EHOSTUNREACH: 'the host cannot be reached',
    CERT_HAS_EXPIRED: 'the certificate has expired',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is signed by itself',
    ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is of another name',
  };
  return words[code] ?? `the connection failed (${code})`;
}
