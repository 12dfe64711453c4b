import type { FastifyRequest } from 'fastify';
import { DemoToken, PostDemoTokenBody, VerbatimError } from '#protocol';
import { isOwnOrigin } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

/**
 * Signs in the two people of the demo messenger without a password. Only there when the configuration says so, and
 * even then only for programs and pages on this very machine.
 */
export function demoRoutes(app: HttpApp, { demo }: HttpDeps): void {
  if (demo === undefined) return;
  app.post(
    '/demo/token',
    {
      config: { auth: 'none' },
      schema: { hide: true, body: PostDemoTokenBody, response: { 200: DemoToken, default: problems } },
      onRequest: async (request) => {
        if (!isLocal(request)) throw new VerbatimError('forbidden', 'the demo works on this machine only');
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store');
      return demo.token(request.body.as);
    },
  );
}

const LOCAL_HOSTS = ['localhost', '127.0.0.1', '[::1]'];
const LOCAL_ADDRESSES = ['127.0.0.1', '::1', '::ffff:127.0.0.1'];

/**
 * Three conditions, each closing a way in: the peer's address (a proxy on this machine would pass it on, so no
 * forwarded header may be there), the Host (a foreign name that resolves to this machine), the Origin (a page of
 * another site in a browser on this machine).
 */
function isLocal(request: FastifyRequest): boolean {
  const { origin, host, forwarded, 'x-forwarded-for': forwardedFor } = request.headers;
  const hostname = URL.parse(`http://${host ?? ''}`)?.hostname ?? '';
  return (
    LOCAL_ADDRESSES.includes(request.raw.socket.remoteAddress ?? '') &&
    forwarded === undefined &&
    forwardedFor === undefined &&
    LOCAL_HOSTS.includes(hostname) &&
    (origin === undefined || isOwnOrigin(request))
  );
}
