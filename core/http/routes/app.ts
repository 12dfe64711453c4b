import { Type } from 'typebox';
import { App, AppKeyList, AppKeyWithSecret, KeyId, PatchAppBody, PostAppKeyBody } from '#protocol';
import { appOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';
import { found } from './found.ts';

const tags = ['app'];
const config = { auth: 'app' } as const;

/** The app whose key asks: its settings, and its keys with their rotation (F50). No other app can be named. */
export function appRoutes(app: HttpApp, { apps }: HttpDeps): void {
  app.get(
    '/v1/app',
    { config, schema: { tags, summary: 'The app’s settings', response: { 200: App, default: problems } } },
    async (request) => found(await apps.find(appOf(request).appId)),
  );
  app.patch(
    '/v1/app',
    {
      config,
      schema: {
        tags,
        summary: 'Change settings; they count for calls that start from now on',
        body: PatchAppBody,
        response: { 200: App, default: problems },
      },
    },
    async (request) => found(await apps.change(appOf(request).appId, request.body)),
  );
  app.get(
    '/v1/app/keys',
    {
      config,
      schema: {
        tags,
        summary: 'The app’s keys, revoked ones too, without their secrets',
        response: { 200: AppKeyList, default: problems },
      },
    },
    async (request) => apps.keys(appOf(request).appId),
  );
  app.post(
    '/v1/app/keys',
    {
      config,
      schema: {
        tags,
        summary: 'A new key beside those in force; a secret that the server makes is told this once',
        body: PostAppKeyBody,
        response: { 201: AppKeyWithSecret, default: problems },
      },
    },
    async (request, reply) =>
      reply
        .code(201)
        .header('cache-control', 'no-store')
        .send(await apps.addKey(appOf(request).appId, request.body.publicJwk)),
  );
  app.delete(
    '/v1/app/keys/:kid',
    {
      config,
      schema: {
        tags,
        summary: 'Revoke a key at once, with every token that it signed; a key does not revoke itself',
        params: Type.Object({ kid: KeyId }),
        response: { 204: Type.Null(), default: problems },
      },
    },
    async (request, reply) => {
      const { appId, kid } = appOf(request);
      found((await apps.revokeKey(appId, request.params.kid, kid)) || undefined);
      return reply.code(204).send(null);
    },
  );
}
