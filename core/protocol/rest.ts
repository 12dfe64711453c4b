import { Type } from 'typebox';
import { CallMode, ExternalId, Uuid } from './ids.ts';
import { Role } from './policy.ts';

/** REST bodies under `/v1`. Requests refuse unknown keys; answers may gain keys. Times are ISO 8601 in UTC. */
const closed = { additionalProperties: false };

/** Well-formed Unicode without NUL (which PostgreSQL cannot hold) and without halves of surrogate pairs. */
const TEXT = '^(?:[^\\ud800-\\udfff\\u0000]|[\\ud800-\\udbff][\\udc00-\\udfff])*$';
/** The same without control characters: a name ends up in notifications, in logs and on terminals. */
const LINE = '^(?:[^\\ud800-\\udfff\\u0000-\\u001f\\u007f-\\u009f]|[\\ud800-\\udbff][\\udc00-\\udfff])*$';
const DisplayName = Type.String({ minLength: 1, maxLength: 200, pattern: LINE });
const WebUrl = Type.String({ maxLength: 2048, pattern: '^https?://[^\\s\\u0000-\\u001f]+$' });

/**
 * What a user token says (JWT, RFC 7519). Signed by the app with one of its keys: `kid` in the header, `exp` at
 * most 24 hours ahead. Other claims are allowed and ignored.
 */
export const UserTokenClaims = Type.Object({
  sub: ExternalId,
  exp: Type.Number({ minimum: 0 }),
  iat: Type.Optional(Type.Number({ minimum: 0 })),
  nbf: Type.Optional(Type.Number({ minimum: 0 })),
  name: Type.Optional(DisplayName),
  picture: Type.Optional(WebUrl),
  role: Type.Optional(Role),
});
export type UserTokenClaims = Type.Static<typeof UserTokenClaims>;

export const PutUserBody = Type.Object(
  {
    name: DisplayName,
    avatarUrl: Type.Optional(WebUrl),
    role: Type.Optional(Role),
  },
  closed,
);
export type PutUserBody = Type.Static<typeof PutUserBody>;
export const User = Type.Object({
  id: ExternalId,
  name: Type.String(),
  avatarUrl: Type.Optional(Type.String()),
  role: Type.Optional(Type.String()),
});
export type User = Type.Static<typeof User>;

export const ChatKind = Type.Union([Type.Literal('direct'), Type.Literal('group')]);
export const PutChatBody = Type.Object(
  {
    kind: ChatKind,
    name: Type.Optional(DisplayName),
    /** Each once. The schema does not ask for it, since its check takes seconds for a hostile list. */
    members: Type.Array(ExternalId, { minItems: 1, maxItems: 10_000 }),
    /** One of the members. */
    owner: Type.Optional(ExternalId),
    /** Only the owner lists and plays the recordings of this chat (F30). Needs an owner. */
    private: Type.Optional(Type.Boolean()),
  },
  closed,
);
export type PutChatBody = Type.Static<typeof PutChatBody>;
export const Chat = Type.Object({
  id: ExternalId,
  kind: ChatKind,
  name: Type.Optional(Type.String()),
  members: Type.Array(Type.String()),
  owner: Type.Optional(Type.String()),
  private: Type.Optional(Type.Boolean()),
});
export type Chat = Type.Static<typeof Chat>;

export const RECORDING_STATES = [
  'armed',
  'capturing',
  'processing',
  'available',
  'failed',
  'removed',
  'expired',
] as const;
export const RecordingState = Type.Enum(RECORDING_STATES);
export type RecordingState = (typeof RECORDING_STATES)[number];

/** What was heard of one leg. Counts are RTP packets; `lost` is what the sequence numbers miss. */
export const LegCoverage = Type.Object({
  userId: ExternalId,
  packets: Type.Integer(),
  lost: Type.Integer(),
  duplicates: Type.Integer(),
});
export type LegCoverage = Type.Static<typeof LegCoverage>;

const RecordedParty = Type.Object({ userId: ExternalId, name: Type.String() });

export const Recording = Type.Object({
  id: Uuid,
  callId: Uuid,
  chatId: ExternalId,
  mode: CallMode,
  /** Who was recorded, by the names that they have now. */
  caller: Type.Optional(RecordedParty),
  callee: Type.Optional(RecordedParty),
  state: RecordingState,
  /** Why there is nothing to play, when the state is `failed`, `removed` or `expired`. */
  reason: Type.Optional(Type.String()),
  startedAt: Type.String(),
  endedAt: Type.Optional(Type.String()),
  /** When the state became `removed` or `expired`. */
  removedAt: Type.Optional(Type.String()),
  durationMs: Type.Optional(Type.Integer()),
  sizeBytes: Type.Optional(Type.Integer()),
  /** `audio/webm; codecs=opus` */
  format: Type.Optional(Type.String()),
  /** SHA-256 of the file as it is downloaded, hex. */
  sha256: Type.Optional(Type.String()),
  legs: Type.Optional(Type.Array(LegCoverage)),
});
export type Recording = Type.Static<typeof Recording>;

export const RecordingPage = Type.Object({
  recordings: Type.Array(Recording),
  next: Type.Optional(Type.String()),
});

export type RecordingPage = Type.Static<typeof RecordingPage>;

/** Newest first; `cursor` is the `next` of the page before. */
export const RecordingsQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    cursor: Type.Optional(Uuid),
  },
  closed,
);

/** A locale as in BCP 47: `en`, `pt-BR`, `zh-Hant-TW`. */
export const Locale = Type.String({
  minLength: 2,
  maxLength: 35,
  pattern: '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$',
});

/** The whole text that a person agrees to. Putting a new one makes a new version; the same one changes nothing. */
export const PutDisclosureBody = Type.Object(
  { text: Type.String({ minLength: 1, maxLength: 16_384, pattern: TEXT }) },
  closed,
);

/** `bundle` is the evidence bundle (F38) in place of the audio file. */
export const Disposition = Type.Union([
  Type.Literal('inline'),
  Type.Literal('attachment'),
  Type.Literal('bundle'),
]);
export type Disposition = Type.Static<typeof Disposition>;
/** `webm` is the recording as it is kept; the others have the same packets in another container. */
export const RecordingFormat = Type.Union([Type.Literal('webm'), Type.Literal('mp4'), Type.Literal('ogg')]);
export type RecordingFormat = Type.Static<typeof RecordingFormat>;
/** A bundle has the recording as it is kept, whatever `format` says. */
export const PostGrantBody = Type.Object(
  { disposition: Type.Optional(Disposition), format: Type.Optional(RecordingFormat) },
  closed,
);
export const Grant = Type.Object({
  grantId: Uuid,
  /** Relative to the server's origin; works only with the session cookie that came with this answer. */
  url: Type.String(),
  firstUseBefore: Type.String(),
  endsAt: Type.String(),
});
export type Grant = Type.Static<typeof Grant>;

/** An entry of the ledger with its proof, as exact bytes. */
export const ProvenEntry = Type.Object({
  index: Type.Integer(),
  /** The stored JSON bytes, base64. */
  entry: Type.String(),
  /** C2SP tlog-proof text: inclusion of this entry in the checkpoint that it contains. */
  proof: Type.String(),
});
export type ProvenEntry = Type.Static<typeof ProvenEntry>;

/** What the ledger says of one recording, for a party of the call. */
export const RecordingEvidence = Type.Object({
  recordingId: Uuid,
  vkey: Type.String(),
  /** All entries of the recording so far, oldest first. */
  entries: Type.Array(ProvenEntry),
  /** The last receipt of each epoch. */
  receipts: Type.Array(
    Type.Object({
      epoch: Type.Integer(),
      seq: Type.Integer(),
      head: Type.String(),
      note: Type.String(),
    }),
  ),
});
export type RecordingEvidence = Type.Static<typeof RecordingEvidence>;

export const ChainQuery = Type.Object({ after: Type.Integer({ minimum: 0, maximum: 0xffffffff }) }, closed);
/** The light chain of a journal: what takes the head after one block to the last head, without any audio. */
export const JournalChain = Type.Object({
  epoch: Type.Integer(),
  after: Type.Integer(),
  /** For each following block its 32-byte header and the SHA-256 of its ciphertext, 64 bytes each; base64. */
  blocks: Type.String(),
});
export type JournalChain = Type.Static<typeof JournalChain>;

/** A client's receipt does not fit the finished recording. The server checks the receipt's signature before it believes it. */
export const PostMismatchBody = Type.Object({ note: Type.String({ minLength: 1, maxLength: 2048 }) }, closed);
export const MismatchAnswer = Type.Object({
  /** Whether the server, too, finds that its own signed receipt is not in the journal. */
  confirmed: Type.Boolean(),
});

export const ConsistencyQuery = Type.Object(
  {
    from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    to: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  },
  closed,
);
/** RFC 6962 section 2.1.2: hashes in base64. */
export const ConsistencyProof = Type.Object({
  from: Type.Integer(),
  to: Type.Integer(),
  proof: Type.Array(Type.String()),
});
export type ConsistencyProof = Type.Static<typeof ConsistencyProof>;

export const Health = Type.Object({
  status: Type.Union([Type.Literal('ok'), Type.Literal('degraded'), Type.Literal('failing')]),
  version: Type.String(),
  checks: Type.Record(
    Type.String(),
    Type.Object({ ok: Type.Boolean(), detail: Type.Optional(Type.String()) }),
  ),
});
export type Health = Type.Static<typeof Health>;

/** The body of every HTTP error: problem details (RFC 9457); `code` is the word that programs test for. */
export const ProblemDetails = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  detail: Type.String(),
});
