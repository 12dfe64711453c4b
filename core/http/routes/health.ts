import { Type } from 'typebox';
import { Health } from '#protocol';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';

const Status = Type.Object({ status: Type.String() });
const tags = ['health'];

/** Whether this server works: in detail, alive at all, and ready for traffic (F52). */
export function healthRoutes(app: HttpApp, { health, metrics }: HttpDeps): void {
  const config = { auth: 'none' } as const;
  app.get(
    '/v1/health',
    { config, schema: { tags, summary: 'Every part and how it is', response: { 200: Health, 503: Health } } },
    async (_request, reply) => {
      const report = await health();
      return reply
        .code(report.status === 'failing' ? 503 : 200)
        .header('cache-control', 'no-store')
        .send(report);
    },
  );
  app.get(
    '/v1/health/live',
    { config, schema: { tags, summary: 'The process answers', response: { 200: Status } } },
    async () => ({ status: 'ok' }),
  );
  app.get(
    '/v1/health/ready',
    { config, schema: { tags, summary: 'Calls can be placed', response: { 200: Status, 503: Status } } },
    async (_request, reply) => {
      const { status } = await health();
      return reply.code(status === 'failing' ? 503 : 200).send({ status });
    },
  );
  if (metrics === undefined) return;
  app.get(
    '/metrics',
    {
      config: { auth: 'operator' },
      schema: {
        tags,
        summary: 'Figures of every part in the Prometheus text format',
        response: {
          200: { description: 'The figures', content: { 'text/plain': { schema: Type.String() } } },
          default: problems,
        },
      },
    },
    async (_request, reply) =>
      reply
        .header('cache-control', 'no-store')
        .type('text/plain; version=0.0.4; charset=utf-8')
        .send(await metrics.text()),
  );
}
