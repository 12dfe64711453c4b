import type { FastifyRequest } from 'fastify';
import { VerbatimError } from '#protocol';
import { bearerOf, speaksForApp } from '../auth/index.ts';
import type { HttpApp, HttpDeps } from './deps.ts';
import { assertOperator } from './operator.ts';

/**
 * Who may use a route. Declared on each one; a route without a declaration cannot be registered.
 * - `app`: an app's server, by its key; `user`: a user, by a token; `either`: both
 * - `grant`: whoever has the address and the session that it is bound to; the handler checks both
 * - `first-message`: the WebSocket, whose first message is the token
 * - `operator`: the monitor of whoever runs the server (operator.ts)
 * - `admin`: an admin of the console who is signed in and has the route's `right`; `admin-half`: one who is on the way
 * - `none`: everybody
 */
export const ROUTE_AUTH = [
  'app',
  'user',
  'either',
  'grant',
  'first-message',
  'operator',
  'admin',
  'admin-half',
  'none',
] as const;
export type RouteAuth = (typeof ROUTE_AUTH)[number];

export type Caller =
  | { kind: 'app'; appId: string; kid: string }
  | { kind: 'user'; appId: string; userId: string; role?: string; kid: string };

declare module 'fastify' {
  interface FastifyContextConfig {
    auth?: RouteAuth;
  }
  interface FastifyRequest {
    /** Who was authenticated; null on routes that do not ask. */
    caller: Caller | null;
  }
}

/** Counts failed sign-ins by address. */
export interface FailedSignIns {
  /** @throws VerbatimError `rate_limited` when this was one too many */
  count(request: FastifyRequest): Promise<void>;
}

/** Signs in the caller of each route as the route declares it, and refuses routes that declare nothing. */
export function authenticateCallers(app: HttpApp, deps: HttpDeps, failures: FailedSignIns): void {
  app.decorateRequest('caller', null);
  app.addHook('onRequest', async (request) => {
    const auth = request.routeOptions.config.auth;
    if (auth !== 'app' && auth !== 'user' && auth !== 'either' && auth !== 'operator') return;
    try {
      if (auth === 'operator') return assertOperator(request, deps.metrics?.token);
      request.caller = await callerOf(deps, request, auth);
    } catch (error) {
      if (error instanceof VerbatimError && error.status === 401) await failures.count(request);
      throw error;
    }
    await checkOrigin(deps, request, request.caller);
  });
}

/** Fails the registration of a route that does not say who may use it. */
export function requireDeclaredAuth(app: HttpApp): void {
  app.addHook('onRoute', ({ method, url, config }) => {
    const auth = config?.auth;
    if (auth === undefined || !ROUTE_AUTH.includes(auth)) {
      throw new Error(`${String(method)} ${url}: declare config.auth (${ROUTE_AUTH.join(', ')})`);
    }
  });
}

/** The app whose server calls, on routes with `auth: 'app'`. */
export function appOf(request: FastifyRequest): { appId: string; kid: string } {
  if (request.caller?.kind !== 'app')
    throw new VerbatimError('internal', 'the route does not declare auth: app');
  return request.caller;
}

/** The user who calls, on routes with `auth: 'user'`. */
export function userOf(request: FastifyRequest): {
  appId: string;
  userId: string;
  role?: string;
  kid: string;
} {
  if (request.caller?.kind !== 'user')
    throw new VerbatimError('internal', 'the route does not declare auth: user');
  return request.caller;
}

/** As which viewer the caller sees recordings, on routes with `auth: 'either'`. */
export function viewerOf(request: FastifyRequest): { appId: string; userId?: string; role?: string } {
  const { caller } = request;
  if (caller === null) throw new VerbatimError('internal', 'the route does not declare auth: either');
  return caller.kind === 'user' ? caller : { appId: caller.appId };
}

/** Whose requests are counted together. The separator cannot occur in ids. */
export function callerKey(request: FastifyRequest): string {
  const { caller } = request;
  if (caller === null) return `ip ${request.ip}`;
  return caller.kind === 'app' ? `app ${caller.kid}` : `user ${caller.appId} ${caller.userId}`;
}

/**
 * Whether the page that sent a request is one of this server's own. The scheme is not compared, since TLS usually
 * ends at a proxy in front of this server.
 */
export function isOwnOrigin(request: FastifyRequest): boolean {
  const { origin } = request.headers;
  return origin !== undefined && URL.parse(origin)?.host === request.host.toLowerCase();
}

async function callerOf(
  { auth }: HttpDeps,
  request: FastifyRequest,
  wanted: 'app' | 'user' | 'either',
): Promise<Caller> {
  const { authorization } = request.headers;
  const token = bearerOf(authorization);
  if (wanted === 'app' || (wanted === 'either' && speaksForApp(token))) {
    return { kind: 'app', ...(await auth.authenticateApp(authorization)) };
  }
  const { appId, userId, role, kid } = await auth.verifyUserToken(token);
  return { kind: 'user', appId, userId, ...(role === undefined ? {} : { role }), kid };
}

/** A browser's page may use a token only where the token's own app allows its origin. */
async function checkOrigin({ origins }: HttpDeps, request: FastifyRequest, caller: Caller): Promise<void> {
  const { origin } = request.headers;
  if (origin === undefined || isOwnOrigin(request)) return;
  if (!(await origins.ofApp(caller.appId)).includes(origin)) {
    throw new VerbatimError(
      'origin_refused',
      'the origin of this page is not among the allowed origins of the app',
    );
  }
}
