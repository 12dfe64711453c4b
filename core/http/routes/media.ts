import type { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { Uuid, VerbatimError } from '#protocol';
import type { Playback } from '../../library/index.ts';
import { answerRange } from '../../library/index.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

const params = Type.Object({ grantId: Uuid });
/** Strings only, and no other keys: an address that was touched at all is refused. */
const querystring = Type.Object(
  { e: Type.String(), k: Type.String(), s: Type.String() },
  { additionalProperties: false },
);
const Binary = Type.Unsafe<Readable>({ type: 'string', format: 'binary' });
const bytes = (description: string) => ({
  description,
  content: Object.fromEntries(
    ['audio/webm', 'audio/mp4', 'audio/ogg', 'application/zip'].map((type) => [type, { schema: Binary }]),
  ),
});
const schema = {
  tags: ['recordings'],
  summary: 'The bytes of a recording under a grant; one range at a time',
  params,
  querystring,
  response: {
    200: bytes('The whole file'),
    206: bytes('The range that was asked for'),
    304: { description: 'The client has this very file already' },
    default: problems,
  },
};

/** Serves recordings in ranges (RFC 9110 §14) to the session that a grant is bound to (F25). */
export function mediaRoutes(app: HttpApp, { library }: HttpDeps): void {
  app.route({
    url: '/media/:grantId',
    method: ['GET', 'HEAD'],
    config: { auth: 'grant' },
    schema,
    // A malformed address answers as an unknown one.
    attachValidation: true,
    handler: async (request, reply) => {
      if (request.validationError)
        throw new VerbatimError('grant_invalid', undefined, { cause: request.validationError });
      const playback = await library.play(request.params.grantId, request.query, request.headers.cookie);
      // Also when the client goes away before the first byte.
      reply.raw.once('close', () => void playback.close());
      // It may have gone while the file was opened, and then nothing will say so again.
      if (reply.raw.destroyed) {
        await playback.close();
        return reply.hijack();
      }
      try {
        return answer(playback, request, reply);
      } catch (error) {
        await playback.close();
        throw error;
      }
    },
  });
}

function answer(playback: Playback, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { sizeBytes, sha256, tag } = playback;
  const etag = `"${tag}"`;
  reply.header('accept-ranges', 'bytes').header('etag', etag).header('cache-control', 'private, no-store');

  // The order of RFC 9110 §13.2.2.
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
  if (ifMatch !== undefined && !listNames(ifMatch, etag, false))
    throw new VerbatimError('precondition_failed');
  if (ifNoneMatch !== undefined && listNames(ifNoneMatch, etag, true)) return reply.code(304).send();

  const range = rangeOf(request, etag, sizeBytes);
  if (range.kind === 'unsatisfiable') {
    reply.header('content-range', `bytes */${sizeBytes}`);
    throw new VerbatimError('range_not_satisfiable', `the file has ${sizeBytes} bytes`);
  }
  const [firstByte, lastByte] =
    range.kind === 'part' ? [range.firstByte, range.lastByte] : [0, sizeBytes - 1];
  reply
    .header('content-type', playback.format)
    .header('content-length', lastByte - firstByte + 1)
    .header('content-disposition', dispositionOf(playback))
    // A player on another site's page loads it without CORS; who may have it is decided by the session.
    .header('cross-origin-resource-policy', 'cross-origin');
  // RFC 9530: of the whole file, whichever part is sent.
  if (sha256 !== undefined)
    reply.header('repr-digest', `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`);
  if (range.kind === 'part') {
    reply.code(206).header('content-range', `bytes ${firstByte}-${lastByte}/${sizeBytes}`);
  }
  if (request.method === 'HEAD') return reply.send();
  return reply.send(playback.stream(firstByte, lastByte));
}

/** `Range` counts for GET only (§14.2), and with `If-Range` only for this very file (§13.1.5, strong comparison). */
function rangeOf(request: FastifyRequest, etag: string, sizeBytes: number) {
  const { range, 'if-range': ifRange } = request.headers;
  if (request.method !== 'GET' || (ifRange !== undefined && String(ifRange).trim() !== etag)) {
    return answerRange(undefined, sizeBytes);
  }
  return answerRange(range, sizeBytes);
}

/** Whether a list of entity tags names this one (§8.8.3.2); a weak tag only where weak comparison is asked for. */
function listNames(header: string, etag: string, weak: boolean): boolean {
  if (header.trim() === '*') return true;
  return header
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === etag || (weak && tag === `W/${etag}`));
}

const EXTENSIONS: Readonly<Record<string, string>> = {
  'audio/webm': 'webm',
  'audio/ogg': 'ogg',
  'audio/mp4': 'm4a',
  'application/zip': 'zip',
};

/** A bundle is for keeping, never shown in a page. */
function dispositionOf(playback: Playback): string {
  const type = playback.disposition === 'inline' ? 'inline' : 'attachment';
  return `${type}; filename="${fileNameOf(playback)}"`;
}

/** From the time and the id only: nothing that a person typed gets into a header or a file system. */
function fileNameOf({ startedAt, recordingId, format, disposition }: Playback): string {
  const what = disposition === 'bundle' ? 'evidence' : 'secure-call';
  const time = startedAt.toISOString().slice(0, 16).replace('T', '-').replace(':', '');
  const extension = EXTENSIONS[format.split(';', 1)[0]?.trim() ?? ''] ?? 'bin';
  return `${what}-${time}-${recordingId.slice(0, 8)}.${extension}`;
}
