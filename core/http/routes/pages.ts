import staticFiles from '@fastify/static';
import type { FastifyReply } from 'fastify';
import { Type } from 'typebox';
import type { HttpApp, HttpDeps } from '../deps.ts';

const params = Type.Object({ '*': Type.String() });

/** The built pages: the modules for messengers' pages, the admin console, and the demo messenger when it is on. */
export async function pageRoutes(app: HttpApp, deps: HttpDeps): Promise<void> {
  app.get('/v1/openapi.json', { config: { auth: 'none' }, schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/json').send(JSON.stringify(app.swagger())),
  );
  if (deps.clientDir === undefined) return;
  // The plugin only finds and sends files: the routes are ours, so that each says who may use it.
  await app.register(staticFiles, {
    root: deps.clientDir,
    serve: false,
    dotfiles: 'ignore',
    index: false,
    // By its ending alone a declaration file would be a film (MPEG transport stream).
    setHeaders: (reply, path) => {
      if (path.endsWith('.d.ts')) reply.header('content-type', 'text/plain; charset=utf-8');
    },
  });
  const config = { auth: 'none' } as const;
  const schema = { hide: true, params };
  for (const room of ['sdk', 'ui'] as const) {
    app.get(`/${room}/*`, { config, schema }, async (request, reply) => {
      // Pages of other sites import the modules.
      reply.header('cross-origin-resource-policy', 'cross-origin');
      return sendFile(reply, `${room}/${request.params['*']}`);
    });
  }
  app.get('/admin', { config, schema: { hide: true } }, async (_request, reply) => reply.redirect('/admin/'));
  app.get('/admin/*', { config, schema }, async (request, reply) => {
    return sendFile(reply, `admin/${request.params['*'] || 'index.html'}`);
  });
  if (deps.demo === undefined) return;
  app.get('/', { config, schema: { hide: true } }, async (_request, reply) => reply.redirect('/demo/'));
  app.get('/demo', { config, schema: { hide: true } }, async (_request, reply) => reply.redirect('/demo/'));
  app.get('/demo/*', { config, schema }, async (request, reply) => {
    return sendFile(reply, `demo/${request.params['*'] || 'index.html'}`);
  });
}

function sendFile(reply: FastifyReply, path: string): FastifyReply {
  // Asked anew each time: a page and its modules must not be of two versions after an update.
  return reply.header('cache-control', 'no-cache').sendFile(path, { cacheControl: false });
}
