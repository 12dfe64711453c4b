import type { FastifyRequest, HTTPMethods } from 'fastify';
import { VerbatimError } from '#protocol';
import type { HttpApp } from './deps.ts';

const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/** One registered route, as the list of routes shows it. */
export interface RouteEntry {
  method: string;
  url: string;
  auth: string;
}

/** Notes every route as it is registered. */
export function listRoutes(app: HttpApp): RouteEntry[] {
  const routes: RouteEntry[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    for (const one of [method].flat()) routes.push({ method: one, url, auth: String(config?.auth) });
  });
  return routes;
}

/** Answers 405 with `Allow` for the other methods of known paths (RFC 9110 §15.5.6), and OPTIONS with `Allow`. */
export function guardMethods(app: HttpApp, routes: readonly RouteEntry[]): void {
  const allowed = new Map<string, Set<string>>();
  for (const { method, url } of routes) {
    allowed.set(url, (allowed.get(url) ?? new Set(['OPTIONS'])).add(method));
  }
  for (const [url, methods] of allowed) {
    const allow = METHODS.filter((method) => methods.has(method)).join(', ');
    app.route({
      url,
      method: METHODS.filter((method) => method === 'OPTIONS' || !methods.has(method)),
      config: { auth: 'none' },
      schema: { hide: true },
      // Before the body is read: a wrong method must not answer with a complaint about a body.
      onRequest: async (request: FastifyRequest, reply) => {
        reply.header('allow', allow);
        if (request.method === 'OPTIONS') return reply.code(204).send();
        throw new VerbatimError('method_not_allowed', `expected ${allow}, got ${request.method}`);
      },
      handler: async () => undefined,
    });
  }
}
