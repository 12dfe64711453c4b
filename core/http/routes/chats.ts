import { Type } from 'typebox';
import { Chat, PutChatBody, VerbatimError } from '#protocol';
import { appOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { HTTP_LIMITS } from '../limits.ts';
import { problems } from '../openapi.ts';
import { found, idParams as params } from './found.ts';

const tags = ['chats'];

/** The messenger's chats: who may call whom. Calls exist in direct chats only (F2). */
export function chatRoutes(app: HttpApp, { directory }: HttpDeps): void {
  const config = { auth: 'app' } as const;
  app.put(
    '/v1/chats/:id',
    {
      config,
      bodyLimit: HTTP_LIMITS.chatBodyBytes,
      schema: {
        tags,
        summary: 'Create or replace a chat and its members; a direct chat has exactly two',
        params,
        body: PutChatBody,
        response: { 200: Chat, default: problems },
      },
    },
    async (request) => directory.putChat(appOf(request).appId, request.params.id, request.body),
  );
  app.get(
    '/v1/chats/:id',
    {
      config,
      schema: { tags, summary: 'One chat', params, response: { 200: Chat, default: problems } },
    },
    async (request) => found(await directory.findChat(appOf(request).appId, request.params.id)),
  );
  app.delete(
    '/v1/chats/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Close a chat for calls; its recordings stay with their parties',
        params,
        response: { 204: Type.Null(), default: problems },
      },
    },
    async (request, reply) => {
      if (!(await directory.deleteChat(appOf(request).appId, request.params.id))) {
        throw new VerbatimError('not_found');
      }
      return reply.code(204).send(null);
    },
  );
}
