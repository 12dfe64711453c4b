import type { RouteTexts } from './route-text.ts';
import { EXAMPLE } from './route-text.ts';

const { callId, recordingId, webhookId, deliveryId, eventId, startedAt, endedAt, sha256 } = EXAMPLE;
const ann = { id: 'ann', name: 'Ann Example', avatarUrl: 'https://chat.example/ann.png', role: 'staff' };
const { id: _id, ...annBody } = ann;
const chat = { id: 'ann-and-ben', kind: 'direct', members: ['ann', 'ben'] };
const all = { voice: true, secure: true, recordings: true };
const policy = { default: all, roles: { guest: { voice: true, secure: false, recordings: false } } };
const webhook = {
  id: webhookId,
  url: 'https://chat.example/verbatim',
  events: ['call.missed', 'recording.available'],
  enabled: true,
  createdAt: '2026-03-01T09:00:00.000Z',
};
const withSecret = { webhook, secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' };
const delivery = {
  id: deliveryId,
  eventId,
  type: 'recording.available',
  state: 'delivered',
  createdAt: '2026-03-20T14:12:43.000Z',
  attempts: [{ at: '2026-03-20T14:12:43.050Z', tookMs: 84, status: 200 }],
};
const disclosure = {
  locale: 'en',
  version: 3,
  text: 'This call will be recorded. Both of you get the same recording.',
  sha256,
};

/** What a messenger's server says of its people and chats, and how it wants to be told. */
export const MESSENGER_TEXTS: RouteTexts = {
  'PUT /v1/users/:id': {
    description:
      'Puts a user as a whole: what is left out is gone. The id is the messenger’s own and the `sub` of the user’s tokens. A role of a user token counts before the one put here.',
    errors: [],
    body: annBody,
    answer: ann,
  },
  'GET /v1/users/:id': { description: 'The user as it was last put.', errors: ['not_found'], answer: ann },
  'PUT /v1/chats/:id': {
    description:
      'Puts a chat and all its members. Calls exist in direct chats of two. A direct chat that has had calls keeps its two people, so that nobody inherits their recordings; who leaves a chat keeps the recordings that they are a party of.',
    errors: ['conflict'],
    body: { kind: chat.kind, members: chat.members },
    answer: chat,
  },
  'GET /v1/chats/:id': { description: 'The chat as it was last put.', errors: ['not_found'], answer: chat },
  'DELETE /v1/chats/:id': {
    description:
      'No call can be placed in it any more. Recordings stay, with those who were a party. Putting it again opens it again.',
    errors: ['not_found'],
  },
  'GET /v1/policy': {
    description: 'Which role may place which calls and read recordings; `default` is for all others.',
    errors: ['not_found'],
    answer: policy,
  },
  'PUT /v1/policy': {
    description:
      'Replaces the whole policy. It counts from the next call or look on; calls that run are not ended.',
    errors: ['not_found'],
    body: policy,
    answer: policy,
  },
  'GET /v1/webhooks': {
    description: 'All webhooks of the app, without their secrets.',
    errors: [],
    answer: { webhooks: [webhook] },
  },
  'POST /v1/webhooks': {
    description:
      'Messages follow Standard Webhooks. They go to public addresses by HTTPS only, unless the operator allowed others. No `events`, or an empty list: all of them. The secret is told in this answer and never again.',
    errors: ['conflict'],
    body: { url: webhook.url, events: webhook.events },
    answer: withSecret,
  },
  'PATCH /v1/webhooks/:id': {
    description: 'Changes what is given and leaves the rest.',
    errors: ['not_found'],
    body: { enabled: false },
    answer: { ...webhook, enabled: false },
  },
  'DELETE /v1/webhooks/:id': {
    description: 'Removes it with its delivery log.',
    errors: ['not_found'],
  },
  'POST /v1/webhooks/:id/secret': {
    description:
      'Makes a new secret. For a day messages carry two signatures, of the new and of the old one.',
    errors: ['not_found'],
    answer: withSecret,
  },
  'POST /v1/webhooks/:id/test': {
    description: 'Sends one message, also to a webhook that is turned off. It is tried once.',
    errors: ['not_found'],
    answer: {
      ...delivery,
      type: 'webhook.test',
      state: 'pending',
      nextAt: '2026-03-20T14:12:43.000Z',
      attempts: [],
    },
  },
  'GET /v1/webhooks/:id/deliveries': {
    description: 'Each message with its newest tries. Never what the receiver answered, only how.',
    errors: ['not_found'],
    answer: { deliveries: [delivery], next: deliveryId },
  },
  'POST /v1/webhooks/:id/deliveries/:deliveryId/replay': {
    description: 'Sends a message of the delivery log again, with the same `webhook-id`.',
    errors: ['not_found'],
    answer: { ...delivery, state: 'pending', nextAt: '2026-03-20T15:00:00.000Z' },
  },
  'PUT /v1/disclosures/:locale': {
    description:
      'The text that both people agree to before a secure call. Each consent names version and hash of the exact text.',
    errors: [],
    body: { text: disclosure.text },
    answer: disclosure,
  },
  'GET /v1/disclosures/:locale': {
    description: 'The text in force.',
    errors: ['not_found'],
    answer: disclosure,
  },
  'GET /v1/chats/:id/calls': {
    description:
      'Calls of both modes: that they took place, never what was said. A user sees those that they took part in, with their own side; the app’s server sees all.',
    errors: ['not_found'],
    answer: {
      calls: [
        {
          callId,
          chatId: 'ann-and-ben',
          mode: 'secure',
          caller: { userId: 'ann', name: 'Ann Example' },
          callee: { userId: 'ben', name: 'Ben Example' },
          side: 'caller',
          state: 'ended',
          endReason: 'hangup',
          missed: false,
          startedAt: '2026-03-20T14:00:00.000Z',
          activeAt: startedAt,
          endedAt,
          durationMs: 756_750,
          recordingId,
        },
      ],
    },
  },
};
