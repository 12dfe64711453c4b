import swagger from '@fastify/swagger';
import { ProblemDetails } from '#protocol';
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
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Verbatim',
        version,
        description:
          'Voice calls for messenger apps; secure calls are recorded with the consent of both sides.',
      },
      components: {
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
    // Only the API: pages and the WebSocket are described elsewhere.
    hideUntagged: true,
    transform: ({ schema, url, route }) => {
      const security = SECURITY[route.config?.auth ?? 'none'];
      return { schema: { ...schema, ...(security === undefined ? {} : { security }) }, url };
    },
  });
}
