import { createHash, timingSafeEqual } from 'node:crypto';
import { BlockList } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { VerbatimError } from '#protocol';
import { bearerOf } from '../auth/index.ts';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** What proxies add: a request with one of these came from elsewhere, whoever opened the connection. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'] as const;

/**
 * Whether this is the operator's own monitor: with a token, whoever shows it; without one, a program on this machine that
 * asks directly. A page in a browser of this machine is none, whatever name it was given for this address.
 * @throws VerbatimError `unauthorized` for a missing or wrong token, `not_found` for who is not on this machine
 */
export function assertOperator(request: FastifyRequest, token: string | undefined): void {
  if (token !== undefined) {
    const shown = bearerOf(request.headers.authorization);
    // Digests are equally long, so that the comparison tells nothing of the token.
    if (!timingSafeEqual(digest(shown), digest(token)))
      throw new VerbatimError('unauthorized', 'expected the token of metrics.tokenFile');
    return;
  }
  const { remoteAddress = '' } = request.raw.socket;
  const address = remoteAddress.replace(/^::ffff:/, '');
  const isHere = LOOPBACK.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
  const isDirect = FORWARDED.every((name) => request.headers[name] === undefined);
  const isLocalName = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(request.hostname);
  if (isHere && isDirect && isLocalName) return;
  throw new VerbatimError('not_found', 'there is no /metrics');
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
