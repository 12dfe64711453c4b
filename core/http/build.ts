import { randomUUID } from 'node:crypto';
import { createServer } from 'node:https';
import type { FastifyServerFactory, RawServerDefault } from 'fastify';
import Fastify, { LogController } from 'fastify';
import { VerbatimError } from '#protocol';
import { authenticateAdmins } from './admin-caller.ts';
import { authenticateCallers, requireDeclaredAuth } from './caller.ts';
import { allowOrigins } from './cors.ts';
import type { HttpApp, HttpDeps } from './deps.ts';
import { answerClientError, answerError, answerErrors } from './errors.ts';
import { HTTP_LIMITS } from './limits.ts';
import type { RouteEntry } from './method-guard.ts';
import { guardMethods, listRoutes } from './method-guard.ts';
import { describeApi } from './openapi.ts';
import { limitFailedSignIns, limitRates } from './rates.ts';
import { logRequests } from './request-log.ts';
import { adminSessionRoutes } from './routes/admin-session.ts';
import { adminRoutes } from './routes/admins.ts';
import { appRoutes } from './routes/app.ts';
import { callRoutes } from './routes/calls.ts';
import { chatRoutes } from './routes/chats.ts';
import { demoRoutes } from './routes/demo.ts';
import { disclosureRoutes } from './routes/disclosures.ts';
import { evidenceRoutes } from './routes/evidence.ts';
import { healthRoutes } from './routes/health.ts';
import { ledgerRoutes } from './routes/ledger.ts';
import { mediaRoutes } from './routes/media.ts';
import { pageRoutes } from './routes/pages.ts';
import { policyRoutes } from './routes/policy.ts';
import { recordingRoutes } from './routes/recordings.ts';
import { sessionRoutes } from './routes/session.ts';
import { transcriptRoutes } from './routes/transcripts.ts';
import { userRoutes } from './routes/users.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { setSecurityHeaders } from './security-headers.ts';
import { compileSchema } from './validation.ts';

/**
 * Builds the HTTP server, not yet listening: call `listen` on it, or `inject` in tests. Closing it ends the streams
 * in progress. The order below is the order that a request goes through.
 */
export async function buildHttp(deps: HttpDeps): Promise<HttpApp & { routes: readonly RouteEntry[] }> {
  const app = createApp(deps);
  requireDeclaredAuth(app);
  const routes = listRoutes(app);
  app.setValidatorCompiler(compileSchema);
  // Bodies are JSON or nothing.
  app.removeContentTypeParser('text/plain');
  refuseWhileClosing(app, deps);
  logRequests(app, deps);
  await setSecurityHeaders(app);
  allowOrigins(app, deps);
  await limitRates(app, deps.settings.requestsPerMinute);
  authenticateCallers(app, deps, limitFailedSignIns(app));
  authenticateAdmins(app, deps);
  answerErrors(app);
  await describeApi(app, deps.version);
  await deps.signaling?.(app);

  healthRoutes(app, deps);
  appRoutes(app, deps);
  userRoutes(app, deps);
  chatRoutes(app, deps);
  policyRoutes(app, deps);
  webhookRoutes(app, deps);
  disclosureRoutes(app, deps);
  callRoutes(app, deps);
  await transcriptRoutes(app, deps);
  recordingRoutes(app, deps);
  evidenceRoutes(app, deps);
  ledgerRoutes(app, deps);
  sessionRoutes(app, deps);
  mediaRoutes(app, deps);
  demoRoutes(app, deps);
  adminSessionRoutes(app, deps);
  adminRoutes(app, deps);
  await pageRoutes(app, deps);
  const declared = [...routes];
  guardMethods(app, declared);
  return Object.assign(app, { routes: declared });
}

function createApp({ log, settings }: HttpDeps): HttpApp {
  const { tls } = settings;
  return Fastify({
    loggerInstance: log,
    // Our own line for each request leaves out what theirs has: the query.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    trustProxy: settings.trustProxy.length === 0 ? false : [...settings.trustProxy],
    bodyLimit: HTTP_LIMITS.bodyBytes,
    requestTimeout: HTTP_LIMITS.requestMs,
    keepAliveTimeout: HTTP_LIMITS.keepAliveMs,
    http: { maxHeaderSize: HTTP_LIMITS.headerBytes },
    return503OnClosing: false,
    routerOptions: { maxParamLength: HTTP_LIMITS.paramLength },
    frameworkErrors: (error, request, reply) => answerError(error, request, reply),
    clientErrorHandler: answerClientError,
    ...(tls === undefined ? {} : { serverFactory: tlsServer(tls) }),
  });
}

/** The framework sets these limits on servers of its own making only. */
function tlsServer(tls: { cert: string; key: string }): FastifyServerFactory<RawServerDefault> {
  return (handler) => {
    const server = createServer({ ...tls, maxHeaderSize: HTTP_LIMITS.headerBytes }, handler);
    server.requestTimeout = HTTP_LIMITS.requestMs;
    server.keepAliveTimeout = HTTP_LIMITS.keepAliveMs;
    return server;
  };
}

/** From the first moment of closing, new requests are refused and streams end, so that closing has an end. */
function refuseWhileClosing(app: HttpApp, { library }: HttpDeps): void {
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
    await library.close();
    // Browsers keep connections ready on which they have not asked anything yet; the server would wait for those.
    setTimeout(() => app.server.closeAllConnections(), HTTP_LIMITS.closeMs).unref();
  });
  app.addHook('onRequest', async () => {
    if (closing) throw new VerbatimError('shutting_down');
  });
}
