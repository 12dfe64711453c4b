// server: the REST interface for a messenger's server: people, chats, webhooks, recordings, tokens; without a dependency.
// Not here: calls and what a page needs (client/sdk); what is allowed (the server decides).
// Imported by: messengers' servers, as dist/sdk/verbatim-server.js.
export type {
  AccessPage,
  CallHistoryPage,
  Chat,
  Disclosure,
  PatchWebhookBody,
  PostWebhookBody,
  PutChatBody,
  PutMessagesBody,
  PutTranscriptBody,
  PutUserBody,
  Recording,
  RecordingPage,
  RolePolicy,
  Timeline,
  Transcript,
  TranscriptVersion,
  User,
  Webhook,
  WebhookDelivery,
  WebhookDeliveryPage,
  WebhookList,
  WebhookWithSecret,
} from '#protocol';
export { VerbatimServerError } from './error.ts';
export type { AppKey, PrivateKey, UserClaims } from './keys.ts';
export type { VerbatimServerOptions } from './server.ts';
export { VerbatimServer } from './server.ts';
export type { WebhookMessage } from './webhook.ts';
export { verifyWebhook } from './webhook.ts';
