import { Type } from 'typebox';
import {
  AccessPage,
  AccessQuery,
  ExternalId,
  Grant,
  PostGrantBody,
  Recording,
  RecordingPage,
  RecordingsQuery,
  Uuid,
  Waveform,
} from '#protocol';
import { userOf, viewerOf } from '../caller.ts';
import { isCrossSite } from '../cors.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

const params = Type.Object({ id: Uuid });
const tags = ['recordings'];

/** The recordings of a chat and the way to play one. Nothing here changes or deletes a recording (F21, F22). */
export function recordingRoutes(app: HttpApp, { library, listeners }: HttpDeps): void {
  app.get(
    '/v1/chats/:id/recordings',
    {
      config: { auth: 'either' },
      schema: {
        tags,
        summary: 'The recordings of a chat, newest first; a user sees those that they are a party of',
        params: Type.Object({ id: ExternalId }),
        querystring: RecordingsQuery,
        response: { 200: RecordingPage, default: problems },
      },
    },
    async (request) => library.list(viewerOf(request), request.params.id, request.query),
  );
  app.get(
    '/v1/recordings/:id',
    {
      config: { auth: 'either' },
      schema: {
        tags,
        summary: 'One recording',
        params,
        response: { 200: Recording, default: problems },
      },
    },
    async (request) => library.view(viewerOf(request), request.params.id),
  );
  app.get(
    '/v1/recordings/:id/peaks',
    {
      config: { auth: 'either' },
      schema: {
        tags,
        summary: 'The waveform of a recording, in audiowaveform’s JSON form; the caller is channel 0',
        params,
        response: { 200: Waveform, default: problems },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'private, no-store');
      return library.peaks(viewerOf(request), request.params.id);
    },
  );
  app.get(
    '/v1/recordings/:id/access',
    {
      config: { auth: 'either' },
      schema: {
        tags,
        summary: 'Who listed, played or downloaded a recording, newest first',
        params,
        querystring: AccessQuery,
        response: { 200: AccessPage, default: problems },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'private, no-store');
      return listeners.of(viewerOf(request), request.params.id, request.query);
    },
  );
  app.post(
    '/v1/recordings/:id/grants',
    {
      config: { auth: 'user' },
      schema: {
        tags,
        summary: 'An address to play or download a recording, bound to the session cookie that comes with it',
        params,
        body: PostGrantBody,
        response: { 201: Grant, default: problems },
      },
    },
    async (request, reply) => {
      const { grant, setCookie } = await library.grant({
        ...userOf(request),
        recordingId: request.params.id,
        disposition: request.body.disposition ?? 'inline',
        ...(request.body.format === undefined ? {} : { format: request.body.format }),
        cookieHeader: request.headers.cookie,
        crossSite: isCrossSite(request),
      });
      return reply.code(201).header('cache-control', 'no-store').header('set-cookie', setCookie).send(grant);
    },
  );
}
