import { Type } from 'typebox';
import { Check } from 'typebox/value';
import {
  PutTranscriptBody,
  PutTranscriptQuery,
  TIMELINE_LIMITS,
  Transcript,
  TranscriptQuery,
  TranscriptVersion,
  Uuid,
  VerbatimError,
} from '#protocol';
import { parseVtt, vttOf } from '../../library/index.ts';
import { appOf, viewerOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

const tags = ['calls'];
const params = Type.Object({ id: Uuid });
const bodyLimit = TIMELINE_LIMITS.bodyBytes;
const VTT = 'text/vtt';

/** Transcripts as JSON or WebVTT (F27). In a scope of its own, since no other route takes another body than JSON. */
export async function transcriptRoutes(app: HttpApp, { timelines }: HttpDeps): Promise<void> {
  await app.register(async (scope: HttpApp) => {
    scope.addContentTypeParser(VTT, { parseAs: 'string', bodyLimit }, (_request, body, done) =>
      done(null, body),
    );
    scope.put(
      '/v1/calls/:id/transcript',
      {
        config: { auth: 'app' },
        bodyLimit,
        schema: {
          tags,
          summary: 'A new version of the transcript of a call, as JSON or WebVTT',
          params,
          querystring: PutTranscriptQuery,
          body: {
            content: {
              'application/json': { schema: PutTranscriptBody },
              [VTT]: { schema: Type.String() },
            },
          },
          response: { 200: TranscriptVersion, default: problems },
        },
      },
      async (request) => {
        const { side } = request.query;
        const given: unknown = request.body;
        const body = typeof given === 'string' ? { segments: parseVtt(given, side) } : given;
        if (!Check(PutTranscriptBody, body))
          throw new VerbatimError('bad_request', 'body: expected segments whose text is well-formed');
        return timelines.putTranscript(appOf(request).appId, request.params.id, body, side);
      },
    );
    scope.get(
      '/v1/calls/:id/transcript',
      {
        config: { auth: 'either' },
        schema: {
          tags,
          summary: 'The transcript of a call, the newest or another version, as JSON or WebVTT',
          params,
          querystring: TranscriptQuery,
          response: {
            200: {
              description: 'The transcript',
              content: {
                'application/json': { schema: Transcript },
                [VTT]: { schema: Type.String() },
              },
            },
            default: problems,
          },
        },
      },
      async (request, reply) => {
        const transcript = await timelines.transcript(viewerOf(request), request.params.id, request.query);
        reply.header('cache-control', 'private, no-store').header('vary', 'accept');
        if (!wantsVtt(request.headers.accept)) return transcript;
        return reply.type(`${VTT}; charset=utf-8`).send(vttOf(transcript.segments));
      },
    );
  });
}

/** JSON is for everybody who does not ask for the other by its name. */
function wantsVtt(accept: string | undefined): boolean {
  return (accept ?? '').split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return type === VTT && !parameters.includes('q=0');
  });
}
