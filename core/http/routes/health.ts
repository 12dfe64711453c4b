import { Type } from 'typebox';
import { Health } from '#protocol';
import type { HttpApp, HttpDeps } from '../deps.ts';

const Status = Type.Object({ status: Type.String() });
const tags = ['health'];

/** Whether this server works: in detail, alive at all, and ready for traffic (F52). */
export function healthRoutes(app: HttpApp, { health }: HttpDeps): void {
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
}
