import type {
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
  Side,
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
import { VerbatimServerError } from './error.ts';
import type { AppKey, UserClaims } from './keys.ts';
import { serverBearer, signUserToken } from './keys.ts';

export interface VerbatimServerOptions {
  /** `https://calls.example`, without a path. */
  url: string;
  key: AppKey;
  /** Of one request. Default 10 s. */
  timeoutMs?: number;
  fetch?: typeof fetch;
}

interface Page {
  limit?: number;
  /** The `next` of the page before. */
  cursor?: string;
}

const TIMEOUT_MS = 10_000;
const DEFAULT_LIFETIME_S = 600;
const VTT = 'text/vtt';
const JSON_TYPE = 'application/json';

/**
 * Verbatim's REST interface as an app's server uses it. Every method rejects with VerbatimServerError when the server
 * answers with an error, or not at all (`no_answer`). Nothing is tried again by itself: all `put…` may be.
 */
export class VerbatimServer {
  readonly #origin: string;
  readonly #key: AppKey;
  readonly #timeoutMs: number;
  readonly #fetch: typeof fetch;

  constructor({ url, key, timeoutMs = TIMEOUT_MS, fetch: given = fetch }: VerbatimServerOptions) {
    this.#origin = new URL(url).origin;
    this.#key = key;
    this.#timeoutMs = timeoutMs;
    this.#fetch = given;
  }

  /** A token for a page of this person; ten minutes unless told otherwise, 24 hours at most. */
  signUserToken(claims: UserClaims, { lifetimeSeconds = DEFAULT_LIFETIME_S } = {}): Promise<string> {
    return signUserToken(this.#key, claims, lifetimeSeconds, Date.now());
  }

  putUser(userId: string, user: PutUserBody): Promise<User> {
    return this.#ask('PUT', ['users', userId], user);
  }

  getUser(userId: string): Promise<User> {
    return this.#ask('GET', ['users', userId]);
  }

  putChat(chatId: string, chat: PutChatBody): Promise<Chat> {
    return this.#ask('PUT', ['chats', chatId], chat);
  }

  getChat(chatId: string): Promise<Chat> {
    return this.#ask('GET', ['chats', chatId]);
  }

  /** Closes it for calls; recordings stay with their parties. */
  deleteChat(chatId: string): Promise<void> {
    return this.#ask('DELETE', ['chats', chatId]);
  }

  getPolicy(): Promise<RolePolicy> {
    return this.#ask('GET', ['policy']);
  }

  putPolicy(policy: RolePolicy): Promise<RolePolicy> {
    return this.#ask('PUT', ['policy'], policy);
  }

  putDisclosure(locale: string, text: string): Promise<Disclosure> {
    return this.#ask('PUT', ['disclosures', locale], { text });
  }

  getDisclosure(locale: string): Promise<Disclosure> {
    return this.#ask('GET', ['disclosures', locale]);
  }

  listCalls(chatId: string, page: Page = {}): Promise<CallHistoryPage> {
    return this.#ask('GET', ['chats', chatId, 'calls'], undefined, page);
  }

  listRecordings(chatId: string, page: Page = {}): Promise<RecordingPage> {
    return this.#ask('GET', ['chats', chatId, 'recordings'], undefined, page);
  }

  getRecording(recordingId: string): Promise<Recording> {
    return this.#ask('GET', ['recordings', recordingId]);
  }

  /** Who listed, played or downloaded a recording. */
  listeners(recordingId: string, page: Page = {}): Promise<AccessPage> {
    return this.#ask('GET', ['recordings', recordingId, 'access'], undefined, page);
  }

  /** Transcript and messages as playback shows them. */
  timeline(recordingId: string): Promise<Timeline> {
    return this.#ask('GET', ['recordings', recordingId, 'timeline']);
  }

  putMessages(callId: string, body: PutMessagesBody): Promise<void> {
    return this.#ask('PUT', ['calls', callId, 'messages'], body);
  }

  /** A new version: segments, or the text of a WebVTT file. With `side` the other one stays as it is. */
  putTranscript(
    callId: string,
    transcript: PutTranscriptBody | string,
    query: { side?: Side } = {},
  ): Promise<TranscriptVersion> {
    return this.#ask('PUT', ['calls', callId, 'transcript'], transcript, query);
  }

  getTranscript(callId: string, query: { version?: number; side?: Side } = {}): Promise<Transcript> {
    return this.#ask('GET', ['calls', callId, 'transcript'], undefined, query);
  }

  async getTranscriptVtt(callId: string, query: { version?: number; side?: Side } = {}): Promise<string> {
    return (await this.#request('GET', ['calls', callId, 'transcript'], undefined, query, VTT)).text();
  }

  listWebhooks(): Promise<WebhookList> {
    return this.#ask('GET', ['webhooks']);
  }

  /** The secret is in this answer only; `verifyWebhook` takes it. */
  addWebhook(webhook: PostWebhookBody): Promise<WebhookWithSecret> {
    return this.#ask('POST', ['webhooks'], webhook);
  }

  changeWebhook(webhookId: string, change: PatchWebhookBody): Promise<Webhook> {
    return this.#ask('PATCH', ['webhooks', webhookId], change);
  }

  deleteWebhook(webhookId: string): Promise<void> {
    return this.#ask('DELETE', ['webhooks', webhookId]);
  }

  rotateWebhookSecret(webhookId: string): Promise<WebhookWithSecret> {
    return this.#ask('POST', ['webhooks', webhookId, 'secret']);
  }

  testWebhook(webhookId: string): Promise<WebhookDelivery> {
    return this.#ask('POST', ['webhooks', webhookId, 'test']);
  }

  webhookDeliveries(webhookId: string, page: Page = {}): Promise<WebhookDeliveryPage> {
    return this.#ask('GET', ['webhooks', webhookId, 'deliveries'], undefined, page);
  }

  replayWebhook(webhookId: string, deliveryId: string): Promise<WebhookDelivery> {
    return this.#ask('POST', ['webhooks', webhookId, 'deliveries', deliveryId, 'replay']);
  }

  async #ask<T>(
    method: string,
    path: readonly string[],
    body?: object | string,
    query: object = {},
  ): Promise<T> {
    const answer = await this.#request(method, path, body, query, JSON_TYPE);
    const text = await answer.text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async #request(
    method: string,
    path: readonly string[],
    body: object | string | undefined,
    query: object,
    accept: string,
  ): Promise<Response> {
    const url = new URL(`/v1/${path.map(encodeURIComponent).join('/')}`, this.#origin);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const headers: Record<string, string> = {
      authorization: `Bearer ${await serverBearer(this.#key, Date.now())}`,
      accept,
    };
    if (body !== undefined) headers['content-type'] = typeof body === 'string' ? VTT : JSON_TYPE;
    let answer: Response;
    try {
      answer = await this.#fetch(url, {
        method,
        headers,
        // The key goes to this server and nowhere else.
        redirect: 'error',
        signal: AbortSignal.timeout(this.#timeoutMs),
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
    } catch (error) {
      throw new VerbatimServerError(0, 'no_answer', `${this.#origin} did not answer`, { cause: error });
    }
    if (!answer.ok) throw await errorOf(answer);
    return answer;
  }
}

async function errorOf(answer: Response): Promise<VerbatimServerError> {
  const text = await answer.text();
  let problem: { code?: unknown; detail?: unknown } = {};
  try {
    problem = Object(JSON.parse(text));
  } catch {
    // A proxy in between answers in words of its own.
  }
  const { code, detail } = problem;
  return new VerbatimServerError(
    answer.status,
    typeof code === 'string' ? code : 'unknown',
    typeof detail === 'string' ? detail : `the answer was ${answer.status}`,
  );
}
