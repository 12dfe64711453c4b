import { RolePolicy } from '#protocol';
import { appOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';
import { found } from './found.ts';

const tags = ['policy'];

/** Which role of an app's users may place which calls, and read recordings (F12, F30). */
export function policyRoutes(app: HttpApp, { directory }: HttpDeps): void {
  const config = { auth: 'app' } as const;
  app.get(
    '/v1/policy',
    {
      config,
      schema: { tags, summary: 'The role policy in force', response: { 200: RolePolicy, default: problems } },
    },
    async (request) => found(await directory.findPolicy(appOf(request).appId)),
  );
  app.put(
    '/v1/policy',
    {
      config,
      schema: {
        tags,
        summary: 'Replace the role policy; it counts from the next thing that a user does',
        body: RolePolicy,
        response: { 200: RolePolicy, default: problems },
      },
    },
    async (request) => found(await directory.setPolicy(appOf(request).appId, request.body)),
  );
}
