// webhooks: tells an app's server what happened, signed, again and again until it is heard or the table of retries ends.
// Not here: what makes an event (triggers in core/db/migrations, in the transaction of the change), routes (core/http).
// Imported by: core/app.ts.
export { isAllowedAddress, parseNetworks } from './guard.ts';
export type { WebhooksDeps } from './webhooks.ts';
export { RETRY_DELAYS_MS, WEBHOOK_LIMITS, Webhooks } from './webhooks.ts';
