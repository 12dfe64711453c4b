import swagger from '@fastify/swagger';
import { ProblemDetails } from '#protocol';
import { describeOperation } from './api/describe.ts';
import type { HttpApp } from './deps.ts';

/** The answer of every route that is not a good one. */
export const problems = {
  description: 'An error of the one table, as problem details (RFC 9457)',
  content: { 'application/problem+json': { schema: ProblemDetails } },
} as const;

const SECURITY: Readonly<Record<string, readonly Record<string, string[]>[]>> = {
  app: [{ appKey: [] }],
  user: [{ userToken: [] }],
  either: [{ appKey: [] }, { userToken: [] }],
  grant: [{ session: [] }],
  operator: [{ monitor: [] }],
};

/** Describes the routes as OpenAPI 3.1 from the schemas that check them. Register before the routes. */
export async function describeApi(app: HttpApp, version: string): Promise<void> {
  /** Who may use each route, by method and pattern. */
  const auths = new Map<string, { url: string; auth: string }>();
  app.addHook('onRoute', ({ method, url, config }) => {
    for (const one of [method].flat())
      auths.set(`${one} ${pathOf(url)}`, { url, auth: String(config?.auth ?? 'none') });
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Verbatim',
        version,
        description:
          'Voice calls for messenger apps; secure calls are recorded with the consent of both sides. Times are ISO 8601 in UTC, durations milliseconds. Every error is a problem (RFC 9457) whose `code` is one of a fixed table.',
      },
      components: {
        schemas: { ProblemDetails },
        securitySchemes: {
          appKey: {
            type: 'http',
            scheme: 'bearer',
            description: '`<kid>.<secret>` of an HS256 key, or a JWT for the audience `verbatim-server`.',
          },
          userToken: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description: 'Signed by the app.',
          },
          monitor: {
            type: 'http',
            scheme: 'bearer',
            description:
              'The token in the file of `metrics.tokenFile`. Without that setting: programs on the server’s own machine.',
          },
          session: { type: 'apiKey', in: 'cookie', name: '__Host-verbatim-session' },
        },
      },
    },
    transformObject: (document) => {
      if (!('openapiObject' in document)) return document.swaggerObject;
      return described(document.openapiObject, auths);
    },
    // Only the API: pages and the WebSocket are described elsewhere.
    hideUntagged: true,
    transform: ({ schema, url, route }) => {
      const security = SECURITY[route.config?.auth ?? 'none'];
      return { schema: { ...schema, ...(security === undefined ? {} : { security }) }, url };
    },
  });
}

/** A pattern as OpenAPI writes it. */
function pathOf(url: string): string {
  return url.replace(/:(\w+)/g, '{$1}').replace('*', '{*}');
}

function described<D extends { paths?: object | undefined }>(
  document: D,
  auths: ReadonlyMap<string, { url: string; auth: string }>,
): D {
  for (const [path, operations] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(Object(operations))) {
      const route = auths.get(`${method.toUpperCase()} ${path}`);
      if (route !== undefined && operation instanceof Object)
        describeOperation(operation, method.toUpperCase(), route.url, route.auth);
    }
  }
  return document;
}
