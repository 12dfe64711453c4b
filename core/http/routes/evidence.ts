import { Type } from 'typebox';
import {
  ChainQuery,
  JournalChain,
  MismatchAnswer,
  PostMismatchBody,
  RecordingEvidence,
  Uuid,
} from '#protocol';
import { userOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { HTTP_LIMITS } from '../limits.ts';
import { problems } from '../openapi.ts';

const params = Type.Object({ id: Uuid });
const chainParams = Type.Object({ id: Uuid, epoch: Type.Integer({ minimum: 1, maximum: 999_999_999 }) });
const tags = ['evidence'];
/** Each of these reads files; a player or a checking page needs a handful. */
const READS = { max: HTTP_LIMITS.evidencePerWindow, timeWindow: HTTP_LIMITS.windowMs };
/** Each of these reads a whole journal, and may raise an alarm. */
const REPORTS = { max: HTTP_LIMITS.mismatchesPerWindow, timeWindow: HTTP_LIMITS.windowMs };

/** What the parties of a call can check for themselves (F36, F37). For others such a recording does not exist. */
export function evidenceRoutes(app: HttpApp, { evidence, library }: HttpDeps): void {
  const { reading, mismatches } = evidence;
  app.get(
    '/v1/recordings/:id/evidence',
    {
      config: { auth: 'user', rateLimit: READS },
      schema: {
        tags,
        summary:
          'The ledger’s entries of a recording with their proofs, and the newest signed heads of its journals',
        params,
        response: { 200: RecordingEvidence, default: problems },
      },
    },
    async (request, reply) => {
      const { id } = await library.get(userOf(request), request.params.id);
      reply.header('cache-control', 'private, no-store');
      return reading.of(id);
    },
  );
  app.get(
    '/v1/recordings/:id/chain/:epoch',
    {
      config: { auth: 'user', rateLimit: READS },
      schema: {
        tags,
        summary: 'What takes the head after one block of a journal to its last head, without any audio',
        params: chainParams,
        querystring: ChainQuery,
        response: { 200: JournalChain, default: problems },
      },
    },
    async (request, reply) => {
      const { id } = await library.get(userOf(request), request.params.id);
      reply.header('cache-control', 'private, no-store');
      return reading.chain(id, request.params.epoch, request.query.after);
    },
  );
  app.post(
    '/v1/recordings/:id/mismatch',
    {
      config: { auth: 'user', rateLimit: REPORTS },
      schema: {
        tags,
        summary:
          'A signed head that a client holds does not fit the recording: the server looks, and raises an alarm',
        params,
        body: PostMismatchBody,
        response: { 200: MismatchAnswer, default: problems },
      },
    },
    async (request) => {
      const recording = await library.get(userOf(request), request.params.id);
      return { confirmed: await mismatches.report(recording, request.body.note) };
    },
  );
}
