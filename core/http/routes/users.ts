import { PutUserBody, User } from '#protocol';
import { appOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';
import { found, idParams as params } from './found.ts';

const tags = ['users'];

/** The messenger's users: names and pictures for the call screen, roles for what they may do. */
export function userRoutes(app: HttpApp, { directory }: HttpDeps): void {
  const config = { auth: 'app' } as const;
  app.put(
    '/v1/users/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Create or replace a user',
        params,
        body: PutUserBody,
        response: { 200: User, default: problems },
      },
    },
    async (request) => directory.putUser(appOf(request).appId, request.params.id, request.body),
  );
  app.get(
    '/v1/users/:id',
    {
      config,
      schema: { tags, summary: 'One user', params, response: { 200: User, default: problems } },
    },
    async (request) => found(await directory.findUser(appOf(request).appId, request.params.id)),
  );
}
