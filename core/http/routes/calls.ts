import { Type } from 'typebox';
import {
  CallHistoryPage,
  ExternalId,
  PutMessagesBody,
  RecordingsQuery,
  TIMELINE_LIMITS,
  Timeline,
  Uuid,
} from '#protocol';
import { appOf, viewerOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

const tags = ['calls'];
const params = Type.Object({ id: Uuid });
const bodyLimit = TIMELINE_LIMITS.bodyBytes;

/** The history of calls, and what an app supplies about a call for playback in step (F18, F27). */
export function callRoutes(app: HttpApp, { history, timelines }: HttpDeps): void {
  app.get(
    '/v1/chats/:id/calls',
    {
      config: { auth: 'either' },
      schema: {
        tags,
        summary: 'The calls of a chat, of both modes, newest first; a user sees those that they took part in',
        params: Type.Object({ id: ExternalId }),
        querystring: RecordingsQuery,
        response: { 200: CallHistoryPage, default: problems },
      },
    },
    async (request) => history.list(viewerOf(request), request.params.id, request.query),
  );
  app.put(
    '/v1/calls/:id/messages',
    {
      config: { auth: 'app' },
      bodyLimit,
      schema: {
        tags,
        summary: 'The chat messages of the time of a call; replaces those before',
        params,
        body: PutMessagesBody,
        response: { 204: Type.Null(), default: problems },
      },
    },
    async (request, reply) => {
      await timelines.putMessages(appOf(request).appId, request.params.id, request.body);
      return reply.code(204).send(null);
    },
  );
  app.get(
    '/v1/recordings/:id/timeline',
    {
      config: { auth: 'either' },
      schema: {
        tags: ['recordings'],
        summary:
          'Transcript and chat messages of a recording, with times from its beginning where they are known',
        params,
        response: { 200: Timeline, default: problems },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'private, no-store');
      return timelines.of(viewerOf(request), request.params.id);
    },
  );
}
