import { Type } from 'typebox';
import { Uuid } from './ids.ts';

/** What an app's server is told, and how it says where. The messages are Standard Webhooks (`webhook-id`, …). */
const closed = { additionalProperties: false };

export const WEBHOOK_EVENTS = [
  'call.started',
  'call.ended',
  'call.missed',
  'recording.available',
  'recording.failed',
  'recording.removed',
  'recording.expired',
] as const;
export const WebhookEvent = Type.Enum(WEBHOOK_EVENTS);
export type WebhookEvent = Type.Static<typeof WebhookEvent>;

/** Without a user name or password, which would end up in logs; the server checks the rest. */
const EndpointUrl = Type.String({ maxLength: 2048, pattern: '^https?://[^\\s\\u0000-\\u001f@#]+$' });
const Events = Type.Array(WebhookEvent, { maxItems: WEBHOOK_EVENTS.length });

/** No `events`, or an empty list, means all of them. */
export const PostWebhookBody = Type.Object({ url: EndpointUrl, events: Type.Optional(Events) }, closed);
export type PostWebhookBody = Type.Static<typeof PostWebhookBody>;
export const PatchWebhookBody = Type.Object(
  { url: Type.Optional(EndpointUrl), events: Type.Optional(Events), enabled: Type.Optional(Type.Boolean()) },
  closed,
);
export type PatchWebhookBody = Type.Static<typeof PatchWebhookBody>;

export const Webhook = Type.Object({
  id: Uuid,
  url: Type.String(),
  events: Type.Array(Type.String()),
  enabled: Type.Boolean(),
  /** Why the server turned it off. */
  disabledReason: Type.Optional(Type.String()),
  createdAt: Type.String(),
});
export type Webhook = Type.Static<typeof Webhook>;
export const WebhookList = Type.Object({ webhooks: Type.Array(Webhook) });
export type WebhookList = Type.Static<typeof WebhookList>;
/** `whsec_` and base64: what the messages are signed with. Told once. */
export const WebhookWithSecret = Type.Object({ webhook: Webhook, secret: Type.String() });
export type WebhookWithSecret = Type.Static<typeof WebhookWithSecret>;

export const WebhookDelivery = Type.Object({
  id: Uuid,
  /** The `webhook-id` of the message: the same for every try, so that a receiver can tell a repeated one. */
  eventId: Uuid,
  type: Type.String(),
  state: Type.Union([Type.Literal('pending'), Type.Literal('delivered'), Type.Literal('failed')]),
  createdAt: Type.String(),
  /** When the next try is due. */
  nextAt: Type.Optional(Type.String()),
  /** The newest ones, newest first. `status` is the HTTP status of the answer, `error` why there was none. */
  attempts: Type.Array(
    Type.Object({
      at: Type.String(),
      tookMs: Type.Integer(),
      status: Type.Optional(Type.Integer()),
      error: Type.Optional(Type.String()),
    }),
  ),
});
export type WebhookDelivery = Type.Static<typeof WebhookDelivery>;
export const WebhookDeliveryPage = Type.Object({
  deliveries: Type.Array(WebhookDelivery),
  next: Type.Optional(Uuid),
});
export type WebhookDeliveryPage = Type.Static<typeof WebhookDeliveryPage>;

/** An app's endpoints, as the REST interface asks for them. `undefined`: there is none with this id in this app. */
export interface WebhookEndpoints {
  list(appId: string): Promise<WebhookList>;
  /** @throws VerbatimError `bad_request` for an address that is not allowed, `conflict` when there are too many */
  add(appId: string, body: PostWebhookBody): Promise<WebhookWithSecret>;
  /** @throws VerbatimError `bad_request` */
  change(appId: string, id: string, body: PatchWebhookBody): Promise<Webhook | undefined>;
  remove(appId: string, id: string): Promise<boolean>;
  /** A new secret; the one before signs too for a day. */
  rotate(appId: string, id: string): Promise<WebhookWithSecret | undefined>;
  /** Sends a message of the type `webhook.test`, also to an endpoint that is turned off. */
  test(appId: string, id: string): Promise<WebhookDelivery | undefined>;
  deliveries(
    appId: string,
    id: string,
    page: { limit?: number; cursor?: string },
  ): Promise<WebhookDeliveryPage | undefined>;
  /** Sends a message once more, from the first try on. */
  replay(appId: string, id: string, deliveryId: string): Promise<WebhookDelivery | undefined>;
}
