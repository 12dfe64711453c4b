import { Type } from 'typebox';
import { ExternalId, Side } from './ids.ts';

/** What goes with a recording while somebody listens to it: waveform, transcript, messages, and who else did. */
const closed = { additionalProperties: false };

/** Well-formed Unicode without NUL, see rest.ts. */
const TEXT = '^(?:[^\\ud800-\\udfff\\u0000]|[\\ud800-\\udbff][\\udc00-\\udfff])*$';

/** Of a waveform, a transcript and a message log; the server refuses more. */
export const TIMELINE_LIMITS = {
  segments: 20_000,
  messages: 10_000,
  textLength: 8_192,
  /** One `PUT` body. */
  bodyBytes: 4 * 1024 * 1024,
  /** Greatest offset: a day. */
  maxMs: 86_400_000,
  /** Of a transcript, that are kept; the oldest go. */
  versions: 10,
} as const;

/**
 * A waveform in the JSON form of audiowaveform, version 2: for each pixel and channel a minimum and a maximum,
 * channels interleaved; the caller is channel 0. The levels are the browsers' own (RFC 6464), nothing is decoded.
 */
export const Waveform = Type.Object({
  version: Type.Literal(2),
  channels: Type.Literal(2),
  sample_rate: Type.Integer(),
  samples_per_pixel: Type.Integer(),
  bits: Type.Literal(16),
  /** Pixels. */
  length: Type.Integer(),
  data: Type.Array(Type.Integer({ minimum: -32_768, maximum: 32_767 })),
});
export type Waveform = Type.Static<typeof Waveform>;

const OffsetMs = Type.Integer({ minimum: 0, maximum: TIMELINE_LIMITS.maxMs });
const SpokenText = Type.String({ maxLength: TIMELINE_LIMITS.textLength, pattern: TEXT });

/** One stretch of speech. Times are ms from the beginning of the recording; without them it is shown in a static list. */
export const TranscriptSegment = Type.Object(
  {
    side: Side,
    startMs: Type.Optional(OffsetMs),
    endMs: Type.Optional(OffsetMs),
    text: SpokenText,
  },
  closed,
);
export type TranscriptSegment = Type.Static<typeof TranscriptSegment>;

/** `PUT /v1/calls/:id/transcript`, by the app's server: a new version, of both sides or of the one that the query names. */
export const PutTranscriptBody = Type.Object(
  { segments: Type.Array(TranscriptSegment, { maxItems: TIMELINE_LIMITS.segments }) },
  closed,
);
export type PutTranscriptBody = Type.Static<typeof PutTranscriptBody>;

/** With a side, what the other one said is taken from the version before. */
export const PutTranscriptQuery = Type.Object({ side: Type.Optional(Side) }, closed);
export const TranscriptQuery = Type.Object(
  { version: Type.Optional(Type.Integer({ minimum: 1 })), side: Type.Optional(Side) },
  closed,
);
export type TranscriptQuery = Type.Static<typeof TranscriptQuery>;

export const TranscriptVersion = Type.Object({
  /** From 1. */
  version: Type.Integer(),
  /** Who put it. */
  source: Type.Union([Type.Literal('app'), Type.Literal('transcriber')]),
  writtenAt: Type.String(),
});
export type TranscriptVersion = Type.Static<typeof TranscriptVersion>;

/** `GET /v1/calls/:id/transcript`; the segments in the order of time. */
export const Transcript = Type.Object({
  ...TranscriptVersion.properties,
  segments: Type.Array(TranscriptSegment),
  /** Those that are kept, newest first, this one included. */
  versions: Type.Array(TranscriptVersion),
});
export type Transcript = Type.Static<typeof Transcript>;

/** A chat message of the time of the call. `sentAt` is ISO 8601; without it the message is shown in a static list. */
export const SentMessage = Type.Object(
  {
    userId: ExternalId,
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 200, pattern: TEXT })),
    sentAt: Type.Optional(Type.String({ maxLength: 40, format: 'date-time' })),
    text: SpokenText,
  },
  closed,
);
export type SentMessage = Type.Static<typeof SentMessage>;

/** `PUT /v1/calls/:id/messages`, by the app's server: replaces what was there. */
export const PutMessagesBody = Type.Object(
  { messages: Type.Array(SentMessage, { maxItems: TIMELINE_LIMITS.messages }) },
  closed,
);
export type PutMessagesBody = Type.Static<typeof PutMessagesBody>;

export const TimelineMessage = Type.Object({
  userId: ExternalId,
  name: Type.Optional(Type.String()),
  /** Which side of the call sent it. */
  side: Type.Optional(Side),
  /** From the beginning of the recording; may be negative or lie behind its end. */
  atMs: Type.Optional(Type.Integer()),
  text: Type.String(),
});
export type TimelineMessage = Type.Static<typeof TimelineMessage>;

/** `GET /v1/recordings/:id/timeline`: what the app supplied, in the order of time (F27). */
export const Timeline = Type.Object({
  segments: Type.Array(TranscriptSegment),
  messages: Type.Array(TimelineMessage),
});
export type Timeline = Type.Static<typeof Timeline>;

/**
 * What was done with a recording. `list` is a page of the chat's recordings that contained it; `play_end` follows a
 * `stream`, `download` or `bundle` when nothing more of it was asked for during a minute.
 */
export const ACCESS_ACTIONS = [
  'list',
  'view',
  'grant',
  'stream',
  'download',
  'bundle',
  'play_end',
  'admin_view',
] as const;
export const AccessAction = Type.Enum(ACCESS_ACTIONS);
export type AccessAction = (typeof ACCESS_ACTIONS)[number];

/** How much of a recording went out under one grant. */
export const Played = Type.Object({
  what: Type.Union([Type.Literal('stream'), Type.Literal('download'), Type.Literal('bundle')]),
  /** Requests that were answered with bytes. */
  ranges: Type.Integer(),
  /** Bytes that were handed to the connection, repeated ones counted again. */
  bytes: Type.Integer(),
  /** Of the file, each byte once. */
  coveredBytes: Type.Integer(),
  /** Of the whole file. */
  sizeBytes: Type.Integer(),
});
export type Played = Type.Static<typeof Played>;

export const AccessEvent = Type.Object({
  at: Type.String(),
  action: AccessAction,
  actor: Type.Object({
    kind: Type.Union([Type.Literal('user'), Type.Literal('app'), Type.Literal('admin')]),
    /** Of a user. */
    userId: Type.Optional(ExternalId),
    name: Type.Optional(Type.String()),
  }),
  /** Of a `play_end`. */
  played: Type.Optional(Played),
});
export type AccessEvent = Type.Static<typeof AccessEvent>;

export const AccessQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    cursor: Type.Optional(Type.String({ maxLength: 16 })),
  },
  closed,
);

/** `GET /v1/recordings/:id/access`: who listed, played or downloaded it, newest first (F39). */
export const AccessPage = Type.Object({
  events: Type.Array(AccessEvent),
  next: Type.Optional(Type.String()),
});
export type AccessPage = Type.Static<typeof AccessPage>;
