import { isIP } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AdminRight, AdminSession } from '#protocol';
import { VerbatimError } from '#protocol';
import type { Seat, SignedIn, Visitor } from '../admins/index.ts';
import { cookieOfAdmin, tokenOfAdmin } from '../admins/index.ts';
import { isOwnOrigin } from './caller.ts';
import type { HttpApp, HttpDeps } from './deps.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What an admin needs for a route with `auth: 'admin'`. */
    right?: AdminRight;
    /** Whether they must have proven themselves within the last minutes. */
    fresh?: boolean;
  }
  interface FastifyRequest {
    /** The admin who is signed in; null on routes that do not ask. */
    seat: Seat | null;
  }
}

const PREFIX = '/admin';

/** Whether a request is for the console or its interface. */
export function isConsole(request: FastifyRequest): boolean {
  return request.url === PREFIX || /^\/admin[/?#]/.test(request.url);
}

/**
 * Signs in admins by their cookie. Everything under `/admin/api` answers to the console's own pages only: the cookie is
 * `SameSite=Strict`, and a page of a neighbouring subdomain, which is the same site, is told from ours by its origin.
 */
export function authenticateAdmins(app: HttpApp, { admins }: HttpDeps): void {
  app.decorateRequest('seat', null);
  app.addHook('onRequest', async (request, reply) => {
    if (!isConsole(request)) return;
    reply.header('cache-control', 'no-store');
    if (request.url.startsWith(`${PREFIX}/api/`)) assertOwnPage(request);
    const { auth, right = 'own', fresh = false } = request.routeOptions.config;
    if (auth !== 'admin' && auth !== 'admin-half') return;
    const seat = await admins.seat(tokenOfAdmin(request.headers.cookie));
    if (seat === undefined) throw new VerbatimError('unauthorized', 'sign in to the console');
    if (auth === 'admin') admins.assertMay(seat, right, fresh);
    request.seat = seat;
  });
}

/** Who is signed in, on routes with `auth: 'admin'` or `'admin-half'`. */
export function seatOf({ seat }: FastifyRequest): Seat {
  if (seat === null) throw new VerbatimError('internal', 'the route does not declare auth: admin');
  return seat;
}

/** Where a request comes from, and which site passkeys belong to. */
export function visitorOf(request: FastifyRequest, publicUrl: string | undefined): Visitor {
  const origin = publicUrl ?? `${request.protocol}://${request.host}`;
  return {
    address: request.ip,
    agent: request.headers['user-agent'] ?? '',
    rp: { origin, id: new URL(origin).hostname },
  };
}

/** @throws VerbatimError `conflict` where browsers offer no passkeys (WebAuthn Level 3 §5.1.3: the host is a domain) */
export function assertPasskeysWork({ rp }: Visitor): void {
  if (isIP(rp.id.replace(/^\[|\]$/g, '')) === 0) return;
  throw new VerbatimError(
    'conflict',
    'browsers offer passkeys for host names only: open the console as localhost or by its name',
  );
}

/** Sends a session together with the cookie's new token. */
export function answerSignedIn(reply: FastifyReply, { token, session }: SignedIn): AdminSession {
  reply.header('set-cookie', cookieOfAdmin(token));
  return session;
}

/** Browsers name the origin of everything but plain GETs; what changes something comes with ours, or not at all. */
function assertOwnPage(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site'];
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  const isForeign = site !== undefined && site !== 'same-origin' && !(isRead && site === 'none');
  if (isForeign || (!isRead && !isOwnOrigin(request))) throw new VerbatimError('origin_refused');
}
