import type { TObject, TSchema } from 'typebox';
import { Type } from 'typebox';
import { CallMode, ExternalId, Side, Uuid } from './ids.ts';
import { IceServers, PeerCandidates, PeerDescription } from './peer.ts';
import { Permissions } from './policy.ts';

/**
 * Signaling: JSON-RPC 2.0 over one WebSocket at `/v1/signaling`.
 * The first message is `session.start` with the user token, within 5 s. Requests go from client to server;
 * the server sends notifications only. Every message is one text frame of at most 64 KiB, UTF-8.
 */
const closed = { additionalProperties: false };
/** Parameters of the media engine that pass through untouched; their shape is mediasoup's. */
const Opaque = Type.Record(Type.String(), Type.Unknown());

/** What a side agreed to: the SHA-256 (hex) of the exact disclosure text that was shown, its version and locale. */
export const Consent = Type.Object(
  {
    disclosureSha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    disclosureVersion: Type.Integer({ minimum: 1 }),
    locale: Type.String({ minLength: 2, maxLength: 35 }),
  },
  closed,
);
export type Consent = Type.Static<typeof Consent>;

export const Disclosure = Type.Object({
  version: Type.Integer(),
  locale: Type.String(),
  text: Type.String(),
  sha256: Type.String(),
});
export type Disclosure = Type.Static<typeof Disclosure>;

export const CallState = Type.Union([
  Type.Literal('ringing'),
  Type.Literal('connecting'),
  Type.Literal('active'),
  Type.Literal('ended'),
]);
export type CallState = Type.Static<typeof CallState>;

export const END_REASONS = [
  'hangup',
  'declined',
  'cancelled',
  'busy',
  'no_answer',
  'offline',
  'answered_elsewhere',
  'media_failed',
  'peer_unreachable',
  'recorder_unavailable',
  'recording_lost',
  'connection_lost',
  'shutdown',
] as const;
export const EndReason = Type.Enum(END_REASONS);
export type EndReason = (typeof END_REASONS)[number];

/** A person as the other side sees them. */
export const Party = Type.Object({
  userId: ExternalId,
  name: Type.String(),
  avatarUrl: Type.Optional(Type.String()),
});
export type Party = Type.Static<typeof Party>;

/** A call as one of its two participants sees it. Times are ISO 8601 in UTC. */
export const CallView = Type.Object({
  callId: Uuid,
  chatId: ExternalId,
  mode: CallMode,
  side: Side,
  state: CallState,
  /**
   * True while both legs are durably recorded; always false in a voice call. An active secure call that is not recording
   * has lost its recorder: nobody hears anything until another one has taken over, within seconds, or the call ends.
   */
  recording: Type.Boolean(),
  recordingId: Type.Optional(Uuid),
  peer: Party,
  peerMuted: Type.Boolean(),
  startedAt: Type.String(),
  activeAt: Type.Optional(Type.String()),
  endedAt: Type.Optional(Type.String()),
  endReason: Type.Optional(EndReason),
  /** The newest checkpoint of the ledger (C2SP signed note) when a secure call ended: to be kept and compared later. */
  checkpoint: Type.Optional(Type.String()),
});
export type CallView = Type.Static<typeof CallView>;

/** The ledger that this server writes: what a client keeps of it is what makes a later change visible. */
export const LedgerInfo = Type.Object({
  /** The log's verifier key, C2SP signed-note form: `<origin>+<hash>+<base64>`. */
  vkey: Type.String(),
  /** The newest checkpoint (C2SP tlog-checkpoint, a signed note). */
  checkpoint: Type.String(),
});
export type LedgerInfo = Type.Static<typeof LedgerInfo>;

/** A head of a running capture, signed: `note` is a C2SP signed note over recording, epoch, seq and head. */
export const HeadReceipt = Type.Object({
  recordingId: Uuid,
  callId: Uuid,
  epoch: Type.Integer({ minimum: 1 }),
  seq: Type.Integer(),
  /** c[seq] of the journal, hex. */
  head: Type.String(),
  at: Type.String(),
  note: Type.String(),
});
export type HeadReceipt = Type.Static<typeof HeadReceipt>;

/** Everything a browser needs to build one WebRTC transport (mediasoup's own shapes). */
export const TransportParams = Type.Object({
  id: Type.String(),
  iceParameters: Opaque,
  iceCandidates: Type.Array(Opaque),
  dtlsParameters: Opaque,
});
export type TransportParams = Type.Static<typeof TransportParams>;

export const ConsumerParams = Type.Object({
  callId: Uuid,
  id: Type.String(),
  producerId: Type.String(),
  kind: Type.Literal('audio'),
  rtpParameters: Opaque,
});
export type ConsumerParams = Type.Static<typeof ConsumerParams>;

const Direction = Type.Union([Type.Literal('send'), Type.Literal('recv')]);
const CallRef = Type.Object({ callId: Uuid }, closed);
const Ok = Type.Object({});

interface MethodShape {
  params: TObject;
  result: TSchema;
  summary: string;
}

/** Client to server: method -> parameters and result. The order is the order of a call's life. */
export const METHODS = {
  'session.start': {
    summary:
      'Signs this connection in. First message, within 5 s. The same device id resumes a call within the grace period.',
    params: Type.Object(
      {
        token: Type.String({ minLength: 1, maxLength: 8192 }),
        /** Chosen by the client, stable for the life of a page or app instance. */
        device: Type.String({ minLength: 8, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' }),
      },
      closed,
    ),
    result: Type.Object({
      appId: Type.String(),
      userId: Type.String(),
      serverTime: Type.String(),
      tokenExpiresAt: Type.String(),
      graceMs: Type.Integer(),
      routerRtpCapabilities: Opaque,
      /** What this user may do now: their role's permissions, and whether the app records at all (F12, F28). */
      may: Permissions,
      /** The call that this device is in, if it came back within the grace period. */
      call: Type.Optional(CallView),
      /** A call that rings this user at the moment. */
      incoming: Type.Optional(CallView),
      /** Absent while the ledger has no checkpoint yet. */
      ledger: Type.Optional(LedgerInfo),
    }),
  },
  'session.end': {
    summary:
      'Signs off: the page is closing, do not wait for it. A connection that its browser closes with 1001 (going away) signs off, too.',
    params: Type.Object({}, closed),
    result: Ok,
  },
  'session.ping': {
    summary: 'Answers at once: a browser cannot see WebSocket pings, so this is how it notices a dead path.',
    params: Type.Object({}, closed),
    result: Ok,
  },
  'presence.get': {
    summary: 'Which of these users of the same app are signed in now.',
    params: Type.Object({ userIds: Type.Array(ExternalId, { minItems: 1, maxItems: 100 }) }, closed),
    result: Type.Object({ online: Type.Array(Type.String()) }),
  },
  'disclosure.get': {
    summary: 'The disclosure text in force that a person must agree to before a secure call.',
    params: Type.Object({ locale: Type.String({ minLength: 2, maxLength: 35 }) }, closed),
    result: Disclosure,
  },
  'call.start': {
    summary: 'Starts a call in a direct chat. A secure call needs consent to the disclosure text in force.',
    params: Type.Object({ chatId: ExternalId, mode: CallMode, consent: Type.Optional(Consent) }, closed),
    result: CallView,
  },
  'call.accept': {
    summary: 'Accepts a ringing call on this device. The first accept wins.',
    params: Type.Object({ callId: Uuid, consent: Type.Optional(Consent) }, closed),
    result: CallView,
  },
  'call.decline': {
    summary: 'Declines a ringing call, for every device of the callee.',
    params: CallRef,
    result: Ok,
  },
  'call.cancel': { summary: 'Takes back a call that still rings.', params: CallRef, result: Ok },
  'call.hangup': { summary: 'Ends a call for both sides.', params: CallRef, result: Ok },
  'call.mute': {
    summary:
      'Tells that this side muted or unmuted its own microphone (the muting itself happens in the browser).',
    params: Type.Object({ callId: Uuid, muted: Type.Boolean() }, closed),
    result: Ok,
  },
  'media.open': {
    summary:
      'In a secure call: creates this side’s two WebRTC transports. The other side’s audio follows as `media.consumer`.',
    params: Type.Object({ callId: Uuid, rtpCapabilities: Opaque }, closed),
    result: Type.Object({ send: TransportParams, recv: TransportParams }),
  },
  'media.connect': {
    summary: 'Gives the DTLS parameters of the browser’s end of a transport.',
    params: Type.Object({ callId: Uuid, direction: Direction, dtlsParameters: Opaque }, closed),
    result: Ok,
  },
  'media.produce': {
    summary: 'Announces the microphone: one Opus audio stream per side.',
    params: Type.Object({ callId: Uuid, rtpParameters: Opaque }, closed),
    result: Type.Object({ producerId: Type.String() }),
  },
  'media.restartIce': {
    summary: 'New ICE credentials for a transport whose path broke.',
    params: Type.Object({ callId: Uuid, direction: Direction }, closed),
    result: Type.Object({ iceParameters: Opaque }),
  },
  'peer.servers': {
    summary:
      'In a voice call: the ICE servers to build a connection to the other browser with, and how. The caller may ask while it rings; anew before each new round.',
    params: CallRef,
    result: IceServers,
  },
  'peer.description': {
    summary:
      'Passes a session description on to the other browser: the caller’s offer, each of a higher round than the one before, or the called side’s answer to it.',
    params: Type.Object({ callId: Uuid, ...PeerDescription.properties }, closed),
    result: Ok,
  },
  'peer.candidates': {
    summary:
      'Passes ICE candidates on to the other browser, after the description of their round. Those of an older round are dropped (`relayed` is false).',
    params: Type.Object({ callId: Uuid, ...PeerCandidates.properties }, closed),
    result: Type.Object({ relayed: Type.Boolean() }),
  },
  'peer.connected': {
    summary:
      'The path to the other browser stands (again) and this side’s microphone is on it. With the word of both the call is active.',
    params: CallRef,
    result: Ok,
  },
  'peer.broken': {
    summary:
      'The path broke, or has to be built anew: the other side is told, the caller offers again, and the grace period runs until `peer.connected`.',
    params: CallRef,
    result: Ok,
  },
  'peer.failed': {
    summary: 'No path could be made: the call ends for both with `peer_unreachable`. Not once it was active.',
    params: CallRef,
    result: Ok,
  },
} as const satisfies Record<string, MethodShape>;

export type Method = keyof typeof METHODS;
export type Params<M extends Method> = Type.Static<(typeof METHODS)[M]['params']>;
export type Result<M extends Method> = Type.Static<(typeof METHODS)[M]['result']>;

/** Server to client: notification -> parameters. */
export const NOTIFICATIONS = {
  /** Rings on every device of the callee. */
  'call.incoming': Type.Object({ call: CallView }),
  /** Any change of a call that this device takes part in; the newest view replaces the older one. */
  'call.changed': Type.Object({ call: CallView }),
  /** The call is over for this device; `answered_elsewhere` when another device took it. */
  'call.ended': Type.Object({ call: CallView }),
  /** The other side’s audio can be received: build a consumer. It stays silent until the call is active. */
  'media.consumer': ConsumerParams,
  /** The other browser’s offer or answer, in a voice call. */
  'peer.description': Type.Object({ callId: Uuid, ...PeerDescription.properties }),
  /** ICE candidates of the other browser, in a voice call. */
  'peer.candidates': Type.Object({ callId: Uuid, ...PeerCandidates.properties }),
  /** The other side says that the path broke; the caller offers again. */
  'peer.broken': Type.Object({ callId: Uuid }),
  /** A recording of one of this user’s chats changed its state. */
  'recording.changed': Type.Object({
    recordingId: Uuid,
    callId: Uuid,
    chatId: ExternalId,
    state: Type.String(),
    reason: Type.Optional(Type.String()),
  }),
  /** About every 10 s of a secure call: keep the newest of each epoch and hold it against the finished recording (F36). */
  'recording.receipt': HeadReceipt,
  /** The server is about to close this connection; `code` is a key of CLOSE_CODES. */
  'session.closing': Type.Object({ code: Type.String(), message: Type.String() }),
} as const satisfies Record<string, TObject>;

export type NotificationName = keyof typeof NOTIFICATIONS;
export type NotificationParams<N extends NotificationName> = Type.Static<(typeof NOTIFICATIONS)[N]>;

/** Limits of the signaling door; the server enforces them, clients may rely on them. */
export const SIGNALING_LIMITS = {
  /** The token must arrive within this time. */
  signInMs: 5_000,
  /** One message. */
  maxPayloadBytes: 64 * 1024,
  /** Requests per connection: a bucket of this size, refilled at `requestsPerSecond`. */
  requestBurst: 60,
  requestsPerSecond: 20,
  /** Bytes waiting in one socket before the connection is closed as too slow. */
  maxBufferedBytes: 1024 * 1024,
  /** Requests of one connection that are worked on at the same time. */
  maxRequestsInFlight: 16,
  /** After this many refused messages in a row the connection is closed. */
  maxRefusedInRow: 60,
  /** Devices of one user that are signed in at the same time. */
  maxConnectionsPerUser: 20,
  /** Connections of the whole server that have not signed in yet. */
  maxUnsignedConnections: 1_000,
  /** A connection that is silent for two intervals is taken for dead. */
  pingIntervalMs: 5_000,
} as const;

/**
 * Why the server closed the socket (RFC 6455 section 7.4, and 4000-4999 for our own reasons).
 * `retry` says whether the same client may come back by itself.
 */
export const CLOSE_CODES = {
  /** `session.end` was answered. */
  signed_off: { code: 1000, retry: false },
  /** The server is shutting down. */
  shutting_down: { code: 1001, retry: true },
  /** A binary frame: every message is text. */
  binary_refused: { code: 1003, retry: false },
  /** A text frame that is not UTF-8 (sent by the WebSocket layer). */
  not_utf8: { code: 1007, retry: false },
  /** More than `maxPayloadBytes` (sent by the WebSocket layer). */
  too_large: { code: 1009, retry: false },
  /** No token, a bad one, or none in time. */
  unauthorized: { code: 4001, retry: false },
  /** The token ran out and no newer one came: sign in again with a fresh one. */
  token_expired: { code: 4002, retry: true },
  /** The page's origin is not among the allowed origins of its token's app. */
  origin_refused: { code: 4003, retry: false },
  /** The same device signed in on a newer connection. */
  replaced: { code: 4004, retry: false },
  /** More than `maxConnectionsPerUser`. */
  too_many_connections: { code: 4005, retry: false },
  /** Messages kept coming after they were refused. */
  rate_limited: { code: 4006, retry: true },
  /** A part of the server that signing in needs did not answer. */
  unavailable: { code: 4007, retry: true },
} as const satisfies Record<string, { code: number; retry: boolean }>;
export type CloseReason = keyof typeof CLOSE_CODES;
