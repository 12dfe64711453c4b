import { Type } from 'typebox';
import { userOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

/** Sign-out: the viewer's session in this browser ends, and every playback address with it. */
export function sessionRoutes(app: HttpApp, { library }: HttpDeps): void {
  app.delete(
    '/v1/session',
    {
      config: { auth: 'user' },
      schema: {
        tags: ['sessions'],
        summary: 'End this user’s playback session in this browser',
        response: { 204: Type.Null(), default: problems },
      },
    },
    async (request, reply) => {
      const { appId, userId } = userOf(request);
      await library.signOut(appId, userId, request.headers.cookie);
      return reply.code(204).send(null);
    },
  );
}
