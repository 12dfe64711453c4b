import { Type } from 'typebox';
import {
  PatchWebhookBody,
  PostWebhookBody,
  Uuid,
  Webhook,
  WebhookDelivery,
  WebhookDeliveryPage,
  WebhookList,
  WebhookWithSecret,
} from '#protocol';
import { appOf } from '../caller.ts';
import type { HttpApp, HttpDeps } from '../deps.ts';
import { problems } from '../openapi.ts';
import { found } from './found.ts';

const tags = ['webhooks'];
const config = { auth: 'app' } as const;
const params = Type.Object({ id: Uuid });
const querystring = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    cursor: Type.Optional(Uuid),
  },
  { additionalProperties: false },
);

/** Where an app's server is told what happened (F50). */
export function webhookRoutes(app: HttpApp, { webhooks }: HttpDeps): void {
  app.get(
    '/v1/webhooks',
    {
      config,
      schema: { tags, summary: 'The app’s webhooks', response: { 200: WebhookList, default: problems } },
    },
    async (request) => webhooks.list(appOf(request).appId),
  );
  app.post(
    '/v1/webhooks',
    {
      config,
      schema: {
        tags,
        summary: 'A new webhook; the secret that signs its messages is told this once',
        body: PostWebhookBody,
        response: { 201: WebhookWithSecret, default: problems },
      },
    },
    async (request, reply) =>
      reply
        .code(201)
        .header('cache-control', 'no-store')
        .send(await webhooks.add(appOf(request).appId, request.body)),
  );
  app.patch(
    '/v1/webhooks/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Change where it goes, what it tells of, or turn it off and on',
        params,
        body: PatchWebhookBody,
        response: { 200: Webhook, default: problems },
      },
    },
    async (request) => found(await webhooks.change(appOf(request).appId, request.params.id, request.body)),
  );
  app.delete(
    '/v1/webhooks/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Remove a webhook with its delivery log; what is pending for it is not sent any more',
        params,
        response: { 204: Type.Null(), default: problems },
      },
    },
    async (request, reply) => {
      found((await webhooks.remove(appOf(request).appId, request.params.id)) || undefined);
      return reply.code(204).send(null);
    },
  );
  app.post(
    '/v1/webhooks/:id/secret',
    {
      config,
      schema: {
        tags,
        summary: 'A new secret; for a day messages are signed with the one before, too',
        params,
        response: { 200: WebhookWithSecret, default: problems },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store');
      return found(await webhooks.rotate(appOf(request).appId, request.params.id));
    },
  );
  app.post(
    '/v1/webhooks/:id/test',
    {
      config,
      schema: {
        tags,
        summary: 'Send a message of the type `webhook.test`; one try, whose outcome is in the delivery log',
        params,
        response: { 202: WebhookDelivery, default: problems },
      },
    },
    async (request, reply) =>
      reply.code(202).send(found(await webhooks.test(appOf(request).appId, request.params.id))),
  );
  app.get(
    '/v1/webhooks/:id/deliveries',
    {
      config,
      schema: {
        tags,
        summary: 'The delivery log, newest message first',
        params,
        querystring,
        response: { 200: WebhookDeliveryPage, default: problems },
      },
    },
    async (request) =>
      found(await webhooks.deliveries(appOf(request).appId, request.params.id, request.query)),
  );
  app.post(
    '/v1/webhooks/:id/deliveries/:deliveryId/replay',
    {
      config,
      schema: {
        tags,
        summary: 'Send a message once more, from the first try on',
        params: Type.Object({ id: Uuid, deliveryId: Uuid }),
        response: { 202: WebhookDelivery, default: problems },
      },
    },
    async (request, reply) => {
      const { id, deliveryId } = request.params;
      return reply.code(202).send(found(await webhooks.replay(appOf(request).appId, id, deliveryId)));
    },
  );
}
