import type { HttpApp, HttpDeps } from './deps.ts';
import { pathOf } from './errors.ts';

/** What must never be in a log line, wherever an object brings it along. */
export const REDACTED_PATHS = [
  'authorization',
  'cookie',
  'token',
  'secret',
  '*.authorization',
  '*.cookie',
  '*.token',
  '*.secret',
  '*.headers.authorization',
  '*.headers.cookie',
  '*.headers["set-cookie"]',
  'req.headers',
  'res.headers',
] as const;

/**
 * One line for each answered request: the path without its query (a playback address has its signature there), no
 * headers, no bodies.
 */
export function logRequests(app: HttpApp, { metrics }: Pick<HttpDeps, 'metrics'>): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  app.addHook('onResponse', async (request, reply) => {
    const { caller } = request;
    metrics?.answered({
      method: request.method,
      route: request.is404 ? undefined : request.routeOptions.url,
      status: reply.statusCode,
      tookMs: reply.elapsedTime,
    });
    request.log.info(
      {
        method: request.method,
        path: pathOf(request),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        ...(caller === null ? {} : { appId: caller.appId }),
      },
      'request answered',
    );
  });
  app.addHook('onRequestAbort', async (request) => {
    request.log.debug({ method: request.method, path: pathOf(request) }, 'the client went away');
  });
}
