import type { FastifyReply, FastifyRequest } from 'fastify';
import { VerbatimError } from '#protocol';
import { isConsole } from './admin-caller.ts';
import { isOwnOrigin } from './caller.ts';
import type { HttpApp, HttpDeps } from './deps.ts';

const METHODS = 'GET, HEAD, POST, PUT, DELETE';
const REQUEST_HEADERS = 'authorization, content-type, range, if-range';
const ANSWER_HEADERS =
  'accept-ranges, content-disposition, content-length, content-range, etag, repr-digest, retry-after, x-request-id';
/** Browsers may keep the answer to a preflight this long; an origin taken off the list is refused by the request. */
const PREFLIGHT_MAX_AGE_S = 600;

/**
 * CORS (Fetch standard) for the origins that apps allow, with credentials: playback needs the session cookie.
 * Every other origin gets no permission; a request with a token from there is refused when it signs in.
 */
export function allowOrigins(app: HttpApp, { origins }: HttpDeps): void {
  app.addHook('onRequest', async (request, reply) => {
    const { origin } = request.headers;
    if (origin === undefined || isOwnOrigin(request)) return;
    // No app's page has any business at the console, whatever origins are allowed to it.
    if (isConsole(request)) throw new VerbatimError('origin_refused');
    reply.header('vary', 'Origin');
    const known = await origins.isKnown(origin);
    if (known) {
      reply.header('access-control-allow-origin', origin);
      reply.header('access-control-allow-credentials', 'true');
    }
    if (isPreflight(request)) return answerPreflight(reply, known);
    if (known) reply.header('access-control-expose-headers', ANSWER_HEADERS);
  });
}

/** Whether another site's page sent this request; its cookies then need another scope. */
export function isCrossSite(request: FastifyRequest): boolean {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined) return site === 'cross-site';
  return request.headers.origin !== undefined && !isOwnOrigin(request);
}

function isPreflight(request: FastifyRequest): boolean {
  return request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
}

function answerPreflight(reply: FastifyReply, known: boolean): FastifyReply {
  if (!known) throw new VerbatimError('origin_refused');
  return reply
    .code(204)
    .header('access-control-allow-methods', METHODS)
    .header('access-control-allow-headers', REQUEST_HEADERS)
    .header('access-control-max-age', PREFLIGHT_MAX_AGE_S)
    .send();
}
