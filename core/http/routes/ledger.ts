import { Type } from 'typebox';
import { ConsistencyProof, ConsistencyQuery, VerbatimError } from '#protocol';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

const tags = ['ledger'];
const config = { auth: 'none' } as const;
const Binary = Type.Unsafe<Buffer>({ type: 'string', format: 'binary' });
/** The greatest path of a tile has a level, five groups of three digits and a width. */
const tileParams = Type.Object({ '*': Type.String({ maxLength: 40 }) });

const textOf = (description: string) => ({
  description,
  content: { 'text/plain': { schema: Type.String() } },
});

/**
 * What everybody may see of the ledger: its signed head, its keys, and hashes (C2SP tlog-tiles, prefix `/v1/ledger`).
 * Entry bundles (`tile/entries/`) are not served: they would tell which app had how many calls, and when. A party gets
 * the entries of its own calls with their proofs at `/v1/recordings/:id/evidence`.
 */
export function ledgerRoutes(app: HttpApp, { evidence }: HttpDeps): void {
  const { reading } = evidence;
  app.get(
    '/v1/ledger/checkpoint',
    {
      config,
      schema: {
        tags,
        summary: 'The newest checkpoint: size and root of the log, signed (C2SP tlog-checkpoint)',
        response: { 200: textOf('A signed note'), default: problems },
      },
    },
    async (_request, reply) => {
      const info = reading.info();
      if (info === undefined) throw new VerbatimError('not_found', 'the ledger has no checkpoint yet');
      return reply
        .type('text/plain; charset=utf-8')
        .header('cache-control', 'no-cache')
        .send(info.checkpoint);
    },
  );
  app.get(
    '/v1/ledger/vkeys',
    {
      config,
      schema: {
        tags,
        summary:
          'Every key that the log has signed with, oldest first, one a line (C2SP signed-note verifier keys); those of an earlier log, before one begun anew, come first',
        response: { 200: textOf('One key a line'), default: problems },
      },
    },
    async (_request, reply) =>
      reply
        .type('text/plain; charset=utf-8')
        .header('cache-control', 'no-cache')
        .send(reading.publishedVkeys()),
  );
  app.get(
    '/v1/ledger/consistency',
    {
      config,
      schema: {
        tags,
        summary: 'That the log of one size is the beginning of the log of another (RFC 6962 section 2.1.2)',
        querystring: ConsistencyQuery,
        response: { 200: ConsistencyProof, default: problems },
      },
    },
    async (request, reply) => {
      const { from, to } = request.query;
      const proof = await reading.consistency(from, to);
      reply.header('cache-control', 'public, max-age=86400, immutable');
      return proof;
    },
  );
  app.get(
    '/v1/ledger/tile/*',
    {
      config,
      schema: {
        tags,
        summary: 'A tile of hashes, level 0 upwards; entry bundles are not public (C2SP tlog-tiles)',
        params: tileParams,
        response: {
          200: {
            description: 'Up to 256 hashes of 32 bytes',
            content: { 'application/octet-stream': { schema: Binary } },
          },
          default: problems,
        },
      },
    },
    async (request, reply) => {
      const { bytes, whole } = await reading.tile(request.params['*']);
      return reply
        .type('application/octet-stream')
        .header('cache-control', whole ? 'public, max-age=604800, immutable' : 'no-cache')
        .send(bytes);
    },
  );
}
