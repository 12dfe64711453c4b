// The types of `verbatim-server.js`, for the servers of messengers.
// Generated from the sources by `npm run docs`.

type AccessAction = 'admin_view' | 'bundle' | 'download' | 'grant' | 'list' | 'play_end' | 'stream' | 'view';

/** How much of a recording went out under one grant. */
type Played = {
  what: 'bundle' | 'download' | 'stream';
  /** Requests that were answered with bytes. */
  ranges: number;
  /** Bytes that were handed to the connection, repeated ones counted again. */
  bytes: number;
  /** Of the file, each byte once. */
  coveredBytes: number;
  /** Of the whole file. */
  sizeBytes: number;
};

type AccessEvent = {
  at: string;
  action: AccessAction;
  actor: {
    kind: 'admin' | 'app' | 'user';
    /** Of a user. */
    userId?: string;
    name?: string;
  };
  /** Of a `play_end`. */
  played?: Played;
};

/** `GET /v1/recordings/:id/access`: who listed, played or downloaded it, newest first (F39). */
type AccessPage = {
  events: AccessEvent[];
  next?: string;
};

/** The mode of a call, chosen at its start and fixed for its whole life (F1). */
type CallMode = 'secure' | 'voice';

/** A person as the other side sees them. */
type Party = {
  userId: string;
  name: string;
  avatarUrl?: string;
};

/** The two sides of a call. The caller is always on the left channel of a recording. */
type Side = 'callee' | 'caller';

type CallState = 'active' | 'connecting' | 'ended' | 'ringing';

type EndReason = 'answered_elsewhere' | 'busy' | 'cancelled' | 'connection_lost' | 'declined' | 'hangup' | 'media_failed' | 'no_answer' | 'offline' | 'peer_unreachable' | 'recorder_unavailable' | 'recording_lost' | 'shutdown';

/** The calls of a chat for a messenger's history (F18): of both modes; only that they took place, never what was said. */
type CallHistoryItem = {
  callId: string;
  chatId: string;
  mode: CallMode;
  /** The caller and the callee, with the names that they have now. */
  caller: Party;
  callee: Party;
  /** On which side the asking user took part; absent for the app's server. */
  side?: Side;
  state: CallState;
  endReason?: EndReason;
  /** The callee never took part: cancelled, not answered, offline or busy. */
  missed: boolean;
  startedAt: string;
  activeAt?: string;
  endedAt?: string;
  /** From the first heard word to the end; absent for a call that never became active. */
  durationMs?: number;
  /** Of a secure call that was recorded. */
  recordingId?: string;
};

type CallHistoryPage = {
  calls: CallHistoryItem[];
  next?: string;
};

type Chat = {
  id: string;
  kind: 'direct' | 'group';
  name?: string;
  members: string[];
  owner?: string;
  private?: boolean;
};

type Disclosure = {
  version: number;
  locale: string;
  text: string;
  sha256: string;
};

type WebhookEvent = 'call.ended' | 'call.missed' | 'call.started' | 'recording.available' | 'recording.expired' | 'recording.failed' | 'recording.removed';

type PatchWebhookBody = {
  url?: string;
  events?: WebhookEvent[];
  enabled?: boolean;
};

/** No `events`, or an empty list, means all of them. */
type PostWebhookBody = {
  url: string;
  events?: WebhookEvent[];
};

type PutChatBody = {
  kind: 'direct' | 'group';
  name?: string;
  /** Each once. The schema does not ask for it, since its check takes seconds for a hostile list. */
  members: string[];
  /** One of the members. */
  owner?: string;
  /** Only the owner lists and plays the recordings of this chat (F30). Needs an owner. */
  private?: boolean;
};

/** A chat message of the time of the call. `sentAt` is ISO 8601; without it the message is shown in a static list. */
type SentMessage = {
  userId: string;
  name?: string;
  sentAt?: string;
  text: string;
};

/** `PUT /v1/calls/:id/messages`, by the app's server: replaces what was there. */
type PutMessagesBody = {
  messages: SentMessage[];
};

/** One stretch of speech. Times are ms from the beginning of the recording; without them it is shown in a static list. */
type TranscriptSegment = {
  side: Side;
  startMs?: number;
  endMs?: number;
  text: string;
};

/** `PUT /v1/calls/:id/transcript`, by the app's server: a new version, of both sides or of the one that the query names. */
type PutTranscriptBody = {
  segments: TranscriptSegment[];
};

type PutUserBody = {
  name: string;
  avatarUrl?: string;
  role?: string;
};

type RecordingState = 'armed' | 'available' | 'capturing' | 'expired' | 'failed' | 'processing' | 'removed';

/** What was heard of one leg. Counts are RTP packets; `lost` is what the sequence numbers miss. */
type LegCoverage = {
  userId: string;
  packets: number;
  lost: number;
  duplicates: number;
};

type Recording = {
  id: string;
  callId: string;
  chatId: string;
  mode: CallMode;
  /** Who was recorded, by the names that they have now. */
  caller?: {
    userId: string;
    name: string;
  };
  callee?: {
    userId: string;
    name: string;
  };
  state: RecordingState;
  /** Why there is nothing to play, when the state is `failed`, `removed` or `expired`. */
  reason?: string;
  startedAt: string;
  endedAt?: string;
  /** When the state became `removed` or `expired`. */
  removedAt?: string;
  durationMs?: number;
  sizeBytes?: number;
  /** `audio/webm; codecs=opus` */
  format?: string;
  /** SHA-256 of the file as it is downloaded, hex. */
  sha256?: string;
  legs?: LegCoverage[];
};

type RecordingPage = {
  recordings: Recording[];
  next?: string;
};

type Permissions = {
  /** Place voice calls. Being called needs no permission. */
  voice: boolean;
  /** Place secure calls. */
  secure: boolean;
  /** List and play the recordings of one's own calls. */
  recordings: boolean;
};

/** `PUT /v1/policy`: the permissions of each role; `default` is for roles that are not named, and for users without one. */
type RolePolicy = {
  default: Permissions;
  roles: Record<string, Permissions>;
};

type TimelineMessage = {
  userId: string;
  name?: string;
  /** Which side of the call sent it. */
  side?: Side;
  /** From the beginning of the recording; may be negative or lie behind its end. */
  atMs?: number;
  text: string;
};

/** `GET /v1/recordings/:id/timeline`: what the app supplied, in the order of time (F27). */
type Timeline = {
  segments: TranscriptSegment[];
  messages: TimelineMessage[];
};

type TranscriptVersion = {
  /** From 1. */
  version: number;
  /** Who put it. */
  source: 'app' | 'transcriber';
  writtenAt: string;
};

/** `GET /v1/calls/:id/transcript`; the segments in the order of time. */
type Transcript = {
  /** From 1. */
  version: number;
  /** Who put it. */
  source: 'app' | 'transcriber';
  writtenAt: string;
  segments: TranscriptSegment[];
  /** Those that are kept, newest first, this one included. */
  versions: TranscriptVersion[];
};

type User = {
  id: string;
  name: string;
  avatarUrl?: string;
  role?: string;
};

type Webhook = {
  id: string;
  url: string;
  events: string[];
  enabled: boolean;
  /** Why the server turned it off. */
  disabledReason?: string;
  createdAt: string;
};

type WebhookDelivery = {
  id: string;
  /** The `webhook-id` of the message: the same for every try, so that a receiver can tell a repeated one. */
  eventId: string;
  type: string;
  state: 'delivered' | 'failed' | 'pending';
  createdAt: string;
  /** When the next try is due. */
  nextAt?: string;
  /** The newest ones, newest first. `status` is the HTTP status of the answer, `error` why there was none. */
  attempts: {
      at: string;
      tookMs: number;
      status?: number;
      error?: string;
    }[];
};

type WebhookDeliveryPage = {
  deliveries: WebhookDelivery[];
  next?: string;
};

type WebhookList = {
  webhooks: Webhook[];
};

/** `whsec_` and base64: what the messages are signed with. Told once. */
type WebhookWithSecret = {
  webhook: Webhook;
  secret: string;
};

/** What Verbatim answered in place of what was asked for. `code` is one of the table in its documentation. */
declare class VerbatimServerError extends Error {
    /** HTTP status; 0 when there was no answer. */
    readonly status: number;
    readonly code: string;
    constructor(status: number, code: string, message: string, options?: {
        cause?: unknown;
    });
}

/** What Web Crypto signs with. */
type PrivateKey = Parameters<typeof crypto.subtle.sign>[1];

/**
 * A key of the app. With `secret` as `scripts/app` printed it; or the private half of a key whose public half the app
 * registered: Ed25519 or ECDSA P-256, as Web Crypto imports it.
 */
type AppKey = {
    kid: string;
    secret: string;
} | {
    kid: string;
    privateKey: PrivateKey;
};

/** Who a user token is for, and what is shown of them. */
interface UserClaims {
    userId: string;
    name?: string;
    picture?: string;
    role?: string;
}

interface VerbatimServerOptions {
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

/**
 * Verbatim's REST interface as an app's server uses it. Every method rejects with VerbatimServerError when the server
 * answers with an error, or not at all (`no_answer`). Nothing is tried again by itself: all `put…` may be.
 */
declare class VerbatimServer {
    #private;
    constructor({ url, key, timeoutMs, fetch: given }: VerbatimServerOptions);
    /** A token for a page of this person; ten minutes unless told otherwise, 24 hours at most. */
    signUserToken(claims: UserClaims, { lifetimeSeconds }?: {
        lifetimeSeconds?: number | undefined;
    }): Promise<string>;
    putUser(userId: string, user: PutUserBody): Promise<User>;
    getUser(userId: string): Promise<User>;
    putChat(chatId: string, chat: PutChatBody): Promise<Chat>;
    getChat(chatId: string): Promise<Chat>;
    /** Closes it for calls; recordings stay with their parties. */
    deleteChat(chatId: string): Promise<void>;
    getPolicy(): Promise<RolePolicy>;
    putPolicy(policy: RolePolicy): Promise<RolePolicy>;
    putDisclosure(locale: string, text: string): Promise<Disclosure>;
    getDisclosure(locale: string): Promise<Disclosure>;
    listCalls(chatId: string, page?: Page): Promise<CallHistoryPage>;
    listRecordings(chatId: string, page?: Page): Promise<RecordingPage>;
    getRecording(recordingId: string): Promise<Recording>;
    /** Who listed, played or downloaded a recording. */
    listeners(recordingId: string, page?: Page): Promise<AccessPage>;
    /** Transcript and messages as playback shows them. */
    timeline(recordingId: string): Promise<Timeline>;
    putMessages(callId: string, body: PutMessagesBody): Promise<void>;
    /** A new version: segments, or the text of a WebVTT file. With `side` the other one stays as it is. */
    putTranscript(callId: string, transcript: PutTranscriptBody | string, query?: {
        side?: Side;
    }): Promise<TranscriptVersion>;
    getTranscript(callId: string, query?: {
        version?: number;
        side?: Side;
    }): Promise<Transcript>;
    getTranscriptVtt(callId: string, query?: {
        version?: number;
        side?: Side;
    }): Promise<string>;
    listWebhooks(): Promise<WebhookList>;
    /** The secret is in this answer only; `verifyWebhook` takes it. */
    addWebhook(webhook: PostWebhookBody): Promise<WebhookWithSecret>;
    changeWebhook(webhookId: string, change: PatchWebhookBody): Promise<Webhook>;
    deleteWebhook(webhookId: string): Promise<void>;
    rotateWebhookSecret(webhookId: string): Promise<WebhookWithSecret>;
    testWebhook(webhookId: string): Promise<WebhookDelivery>;
    webhookDeliveries(webhookId: string, page?: Page): Promise<WebhookDeliveryPage>;
    replayWebhook(webhookId: string, deliveryId: string): Promise<WebhookDelivery>;
}

/** A message that Verbatim sent, once its signature is checked. */
interface WebhookMessage {
    /** The same for every try: keep those that you have dealt with. */
    id: string;
    type: string;
    /** When it happened, ISO 8601. */
    timestamp: string;
    data: Record<string, unknown>;
    /** The newest head of the server's ledger, a signed note. */
    checkpoint?: string;
}

/**
 * Checks a request of a webhook (Standard Webhooks) and reads it.
 * @param body the exact bytes or text that came, before any JSON parser
 * @param headers of the request, by lower-case names
 * @throws VerbatimServerError `webhook_invalid` for a message that was not signed with this secret, was changed, or is
 * older or newer than five minutes
 */
declare function verifyWebhook(secret: string, headers: Readonly<Record<string, string | string[] | undefined>> | Headers, body: string | Uint8Array, { nowMs }?: {
    nowMs?: number;
}): Promise<WebhookMessage>;

export { AccessPage, AppKey, CallHistoryPage, Chat, Disclosure, PatchWebhookBody, PostWebhookBody, PrivateKey, PutChatBody, PutMessagesBody, PutTranscriptBody, PutUserBody, Recording, RecordingPage, RolePolicy, Timeline, Transcript, TranscriptVersion, User, UserClaims, VerbatimServer, VerbatimServerError, VerbatimServerOptions, Webhook, WebhookDelivery, WebhookDeliveryPage, WebhookList, WebhookMessage, WebhookWithSecret, verifyWebhook };
