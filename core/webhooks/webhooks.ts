import { randomUUID } from 'node:crypto';
import type {
  PatchWebhookBody,
  PostWebhookBody,
  Webhook,
  WebhookDelivery,
  WebhookDeliveryPage,
  WebhookEndpoints,
  WebhookList,
  WebhookWithSecret,
} from '#protocol';
import { VerbatimError } from '#protocol';
import type { Database } from '../db/index.ts';
import { openSealedSecret, sealSecret } from '../db/index.ts';
import type { DeliveryRow, DueDelivery, EndpointRow } from '../db/webhooks.ts';
import {
  deleteEndpoint,
  deleteOldEvents,
  disableEndpoint,
  enterAttempt,
  insertEndpoint,
  insertMessage,
  listDeliveries,
  listEndpoints,
  pendingDeliveries,
  replaceSecret,
  replayDelivery,
  takeDue,
  updateEndpoint,
} from '../db/webhooks.ts';
import { parseNetworks } from './guard.ts';
import type { PostResult } from './post.ts';
import { post } from './post.ts';
import { newSecret, secretText, signedHeaders } from './signature.ts';

export interface WebhooksDeps {
  db: Database;
  sealKey: Buffer;
  /** Goes along with every message, so that a head of the ledger leaves the building with each. */
  checkpoint: () => string | undefined;
  /** Addresses and networks beyond the public ones that messages may go to; plain HTTP is for these only. */
  allowedNetworks: readonly string[];
  version: string;
  log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
  /** Told of each try that came to its end. */
  onTried?: (outcome: 'delivered' | 'retry' | 'failed', tookMs: number) => void;
  limits?: Partial<typeof WEBHOOK_LIMITS>;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** From one try to the next; about 76 hours in all. */
export const RETRY_DELAYS_MS: readonly number[] = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];

export const WEBHOOK_LIMITS = {
  endpointsPerApp: 10,
  timeoutMs: 15_000,
  maxAnswerBytes: 65_536,
  /** Messages on their way to one endpoint: a slow receiver holds up itself only. */
  atOnceToOne: 2,
  atOnce: 64,
  /** How often is looked for what is due. */
  pollMs: 1_000,
  /** Of each delay, more or less, so that receivers that come back are not met by everything at once. */
  jitter: 0.1,
  /** So long the secret before the present one signs too. */
  oldSecretMs: 24 * HOUR,
  keepEventsMs: 30 * 24 * HOUR,
  sweepMs: HOUR,
  /** So long a server that stops waits for answers. */
  closeMs: 2_000,
} as const;

/** Tries that a list of messages tells of each. */
const ATTEMPTS_TOLD = 20;
const DEFAULT_PAGE = 50;
const SWEEP_ROWS = 5_000;
const GONE = 410;

/** An app's endpoints, and what is sent to them. Begin with `start`. */
export class Webhooks implements WebhookEndpoints {
  readonly #deps: WebhooksDeps;
  readonly #limits: { readonly [K in keyof typeof WEBHOOK_LIMITS]: number };
  readonly #allowed: ReturnType<typeof parseNetworks>;
  /** Messages on their way, by endpoint. */
  readonly #underWay = new Map<string, number>();
  readonly #sending = new Set<Promise<void>>();
  #pollTimer: NodeJS.Timeout | undefined;
  #sweepTimer: NodeJS.Timeout | undefined;
  #polling: Promise<void> | undefined;
  #again = false;
  readonly #stop = new AbortController();
  #closed = false;

  constructor(deps: WebhooksDeps) {
    this.#deps = deps;
    this.#limits = { ...WEBHOOK_LIMITS, ...deps.limits };
    this.#allowed = parseNetworks(deps.allowedNetworks);
  }

  start(): void {
    this.#pollTimer = setInterval(() => this.#poll(), this.#limits.pollMs);
    this.#sweepTimer = setInterval(() => void this.#sweep(), this.#limits.sweepMs);
    this.#pollTimer.unref();
    this.#sweepTimer.unref();
  }

  /** Waits a moment for the messages on their way; what is not answered by then is sent again later. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#pollTimer);
    clearInterval(this.#sweepTimer);
    const timer = setTimeout(() => this.#stop.abort(), this.#limits.closeMs);
    await this.#polling;
    await Promise.all(this.#sending);
    clearTimeout(timer);
  }

  /** What is to be delivered, and how long the oldest of it has been due; for metrics. */
  async pending(): Promise<{ count: number; oldestDueMs: number }> {
    const { count, oldestDue } = await pendingDeliveries(this.#deps.db);
    return { count, oldestDueMs: oldestDue === null ? 0 : Math.max(0, Date.now() - oldestDue.getTime()) };
  }

  // Endpoints

  async list(appId: string): Promise<WebhookList> {
    return { webhooks: (await listEndpoints(this.#deps.db, appId)).map(webhookOf) };
  }

  async add(appId: string, { url, events = [] }: PostWebhookBody): Promise<WebhookWithSecret> {
    const id = randomUUID();
    const secret = newSecret();
    const secretSealed = sealSecret(this.#deps.sealKey, sealName(id), secret);
    const row = { id, appId, url: checkedUrl(url), events: [...new Set(events)], secretSealed };
    const most = this.#limits.endpointsPerApp;
    const made = await insertEndpoint(this.#deps.db, row, most);
    if (made === undefined) throw new VerbatimError('conflict', `an app has ${most} webhooks at most`);
    return { webhook: webhookOf(made), secret: secretText(secret) };
  }

  async change(
    appId: string,
    id: string,
    { url, events, enabled }: PatchWebhookBody,
  ): Promise<Webhook | undefined> {
    const row = await updateEndpoint(this.#deps.db, appId, id, {
      ...(url === undefined ? {} : { url: checkedUrl(url) }),
      ...(events === undefined ? {} : { events: [...new Set(events)] }),
      ...(enabled === undefined ? {} : { enabled }),
    });
    return row && webhookOf(row);
  }

  remove(appId: string, id: string): Promise<boolean> {
    return deleteEndpoint(this.#deps.db, appId, id);
  }

  async rotate(appId: string, id: string): Promise<WebhookWithSecret | undefined> {
    const secret = newSecret();
    const sealed = sealSecret(this.#deps.sealKey, sealName(id), secret);
    const oldUntil = new Date(Date.now() + this.#limits.oldSecretMs);
    const row = await replaceSecret(this.#deps.db, appId, id, { sealed, oldUntil });
    return row && { webhook: webhookOf(row), secret: secretText(secret) };
  }

  async test(appId: string, id: string): Promise<WebhookDelivery | undefined> {
    const message = { type: 'webhook.test', data: { webhookId: id } };
    const deliveryId = await insertMessage(this.#deps.db, appId, id, message);
    this.#poll();
    return deliveryId === undefined ? undefined : this.#delivery(appId, id, deliveryId);
  }

  async deliveries(
    appId: string,
    id: string,
    { limit = DEFAULT_PAGE, cursor }: { limit?: number; cursor?: string },
  ): Promise<WebhookDeliveryPage | undefined> {
    const rows = await listDeliveries(this.#deps.db, appId, id, {
      limit: limit + 1,
      attempts: ATTEMPTS_TOLD,
      ...(cursor === undefined ? {} : { cursor }),
    });
    if (rows === undefined) return undefined;
    const page = rows.slice(0, limit);
    const next = rows.length > limit ? page.at(-1)?.id : undefined;
    return { deliveries: page.map(deliveryOf), ...(next === undefined ? {} : { next }) };
  }

  async replay(appId: string, id: string, deliveryId: string): Promise<WebhookDelivery | undefined> {
    if (!(await replayDelivery(this.#deps.db, appId, id, deliveryId))) return undefined;
    this.#poll();
    return this.#delivery(appId, id, deliveryId);
  }

  async #delivery(appId: string, id: string, deliveryId: string): Promise<WebhookDelivery | undefined> {
    const options = { limit: 1, attempts: ATTEMPTS_TOLD, only: deliveryId };
    const [row] = (await listDeliveries(this.#deps.db, appId, id, options)) ?? [];
    return row && deliveryOf(row);
  }

  // Messages

  /** Looks for what is due; asked for while it looks, it looks once more. */
  #poll(): void {
    if (this.#closed) return;
    if (this.#polling !== undefined) {
      this.#again = true;
      return;
    }
    this.#polling = this.#sendDue()
      .catch((error: unknown) => {
        // The database is away: the next look finds what is due by then.
        this.#deps.log.warn({ err: error }, 'webhooks could not be looked for');
      })
      .finally(() => {
        this.#polling = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.#poll();
      });
  }

  async #sendDue(): Promise<void> {
    const { atOnce, atOnceToOne, timeoutMs } = this.#limits;
    while (!this.#closed) {
      const full = [...this.#underWay].filter(([, count]) => count >= atOnceToOne).map(([id]) => id);
      const now = new Date();
      const due = await takeDue(this.#deps.db, {
        limit: atOnce - this.#sending.size,
        except: full,
        now,
        // Longer than a try takes: due again only when this process is gone.
        until: new Date(now.getTime() + timeoutMs * 4),
      });
      for (const delivery of due) this.#begin(delivery);
      if (due.length === 0) return;
    }
  }

  #begin(delivery: DueDelivery): void {
    const { endpointId } = delivery;
    this.#underWay.set(endpointId, (this.#underWay.get(endpointId) ?? 0) + 1);
    const sent = this.#send(delivery)
      .catch((error: unknown) => {
        // Its outcome is not entered: it is sent again, which receivers tell by the id.
        this.#deps.log.warn(
          { err: error, deliveryId: delivery.id },
          'a webhook’s outcome could not be entered',
        );
      })
      .finally(() => {
        this.#sending.delete(sent);
        const left = (this.#underWay.get(endpointId) ?? 1) - 1;
        if (left > 0) this.#underWay.set(endpointId, left);
        else this.#underWay.delete(endpointId);
        this.#poll();
      });
    this.#sending.add(sent);
  }

  async #send(delivery: DueDelivery): Promise<void> {
    const startedAt = new Date();
    const begun = performance.now();
    const result = await this.#post(delivery, startedAt);
    // Its time to be due again, by which it was taken, stands.
    if (result.broken) return;
    const attempt = {
      at: startedAt,
      tookMs: Math.round(performance.now() - begun),
      status: result.status ?? null,
      error: result.error ?? errorOf(result.status),
    };
    const isHeard = attempt.error === null;
    const delayMs = RETRY_DELAYS_MS[delivery.attempts + 1];
    const { db, log, onTried } = this.#deps;
    if (isHeard) {
      onTried?.('delivered', attempt.tookMs);
      return enterAttempt(db, delivery.id, attempt, { state: 'delivered' });
    }
    const { endpointId, appId, type } = delivery;
    if (result.status === GONE) {
      await disableEndpoint(db, endpointId, 'the receiver answered 410 Gone');
      log.warn({ endpointId, appId }, 'a webhook was turned off: its receiver answered 410 Gone');
    }
    if (delayMs === undefined || result.status === GONE || type === 'webhook.test') {
      onTried?.('failed', attempt.tookMs);
      await enterAttempt(db, delivery.id, attempt, { state: 'failed' });
      log.warn({ endpointId, appId, type, deliveryId: delivery.id }, 'a webhook was not heard');
      return;
    }
    onTried?.('retry', attempt.tookMs);
    const spread = 1 + this.#limits.jitter * (2 * Math.random() - 1);
    const nextAt = new Date(Date.now() + delayMs * spread);
    await enterAttempt(db, delivery.id, attempt, { state: 'pending', nextAt });
  }

  async #post(delivery: DueDelivery, at: Date): Promise<PostResult> {
    const { sealKey, version, checkpoint } = this.#deps;
    const { endpointId, eventId, type, data } = delivery;
    const secrets: Buffer[] = [];
    for (const sealed of [delivery.secretSealed, delivery.oldSecretSealed])
      if (sealed !== null) secrets.push(openSealedSecret(sealKey, sealName(endpointId), sealed));
    const head = checkpoint();
    const body = Buffer.from(
      JSON.stringify({
        type,
        timestamp: delivery.at.toISOString(),
        data,
        ...(head === undefined ? {} : { checkpoint: head }),
      }),
    );
    const message = { id: eventId, atSeconds: Math.floor(at.getTime() / SECOND), body };
    const headers = {
      'content-type': 'application/json',
      'user-agent': `Verbatim/${version}`,
      ...signedHeaders(message, secrets),
    };
    const { timeoutMs, maxAnswerBytes } = this.#limits;
    return post(
      delivery.url,
      { headers, body },
      { allowed: this.#allowed, timeoutMs, maxAnswerBytes, stop: this.#stop.signal },
    );
  }

  async #sweep(): Promise<void> {
    try {
      await deleteOldEvents(this.#deps.db, new Date(Date.now() - this.#limits.keepEventsMs), SWEEP_ROWS);
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'old webhook events could not be deleted');
    }
  }
}

/** No key of an app has a name like it: what is sealed for one never opens as the other. */
function sealName(endpointId: string): string {
  return `webhook/${endpointId}`;
}

/** What is wrong with an answer; null: nothing. */
function errorOf(status: number | undefined): string | null {
  if (status === undefined) return 'no answer';
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400) return 'the receiver redirected, which is not followed';
  return `the receiver answered ${status}`;
}

/** @throws VerbatimError `bad_request` for what is no address of a web server */
function checkedUrl(text: string): string {
  const url = URL.parse(text);
  if (url === null || url.hostname === '' || url.username !== '' || url.password !== '')
    throw new VerbatimError(
      'bad_request',
      'body/url: expected an address such as https://chat.example/verbatim',
    );
  return url.href;
}

function webhookOf(row: EndpointRow): Webhook {
  return {
    id: row.id,
    url: row.url,
    events: row.events,
    enabled: row.enabled,
    ...(row.disabledReason === null ? {} : { disabledReason: row.disabledReason }),
    createdAt: row.createdAt.toISOString(),
  };
}

function deliveryOf(row: DeliveryRow): WebhookDelivery {
  return {
    id: row.id,
    eventId: row.eventId,
    type: row.type,
    state: row.state,
    createdAt: row.createdAt.toISOString(),
    ...(row.state === 'pending' ? { nextAt: row.nextAt.toISOString() } : {}),
    attempts: row.attempts.map(({ at, tookMs, status, error }) => ({
      at,
      tookMs,
      ...(status === null ? {} : { status }),
      ...(error === null ? {} : { error }),
    })),
  };
}
