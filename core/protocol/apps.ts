import { Type } from 'typebox';

/** An app's own settings and keys, as its server reads and changes them (F50). */
const closed = { additionalProperties: false };

/** One line without control characters and halves of surrogate pairs. */
const LINE = '^(?:[^\\ud800-\\udfff\\u0000-\\u001f\\u007f-\\u009f]|[\\ud800-\\udbff][\\udc00-\\udfff])*$';

export const APP_LIMITS = {
  ringTimeoutMs: { least: 5_000, most: 180_000 },
  retentionDays: { least: 1, most: 36_500 },
  credentialSeconds: { least: 60, most: 86_400 },
  maxOrigins: 100,
  /** Browsers warn of more than a few, and each costs time at every call. */
  maxIceUrls: 4,
  /** Keys in force at once: a rotation needs two, and servers of an app may have one each. */
  maxKeys: 20,
} as const;

/** The `Origin` of a page (RFC 6454): scheme, host, and a port that is not the scheme's own. The server parses it, too. */
const Origin = Type.String({ maxLength: 300, pattern: '^https?://[^\\s/?#@\\u0000-\\u001f]+$' });

/** STUN and TURN servers (RFC 7064, RFC 7065). */
const StunUrl = Type.String({
  maxLength: 300,
  pattern: '^stuns?:([A-Za-z0-9.-]+|\\[[0-9a-fA-F:.]+\\])(:\\d{1,5})?$',
});
const TurnUrl = Type.String({
  maxLength: 300,
  pattern: '^turns?:([A-Za-z0-9.-]+|\\[[0-9a-fA-F:.]+\\])(:\\d{1,5})?(\\?transport=(udp|tcp))?$',
});
const list = <T extends typeof StunUrl>(url: T) => Type.Array(url, { maxItems: APP_LIMITS.maxIceUrls });
const CredentialSeconds = Type.Integer({
  minimum: APP_LIMITS.credentialSeconds.least,
  maximum: APP_LIMITS.credentialSeconds.most,
});

/** The ICE servers of an app's voice calls, in place of the server's own. The relays' secret is not among them. */
export const AppIce = Type.Object({
  stunUrls: list(StunUrl),
  turnUrls: list(TurnUrl),
  credentialSeconds: CredentialSeconds,
  /** Never a direct path: people do not learn each other's network addresses. */
  relayOnly: Type.Boolean(),
});
export type AppIce = Type.Static<typeof AppIce>;

/** Replaces what was there. */
export const PutAppIce = Type.Object(
  {
    stunUrls: Type.Optional(list(StunUrl)),
    turnUrls: Type.Optional(list(TurnUrl)),
    credentialSeconds: Type.Optional(CredentialSeconds),
    relayOnly: Type.Optional(Type.Boolean()),
    /** What the relays know (coturn: static-auth-secret). Left out, the one before stays. Never given back. */
    secret: Type.Optional(Type.String({ minLength: 16, maxLength: 256, pattern: '^[\\x21-\\x7e]+$' })),
  },
  closed,
);
export type PutAppIce = Type.Static<typeof PutAppIce>;

const RingTimeout = Type.Integer({
  minimum: APP_LIMITS.ringTimeoutMs.least,
  maximum: APP_LIMITS.ringTimeoutMs.most,
});

export const App = Type.Object({
  id: Type.String(),
  name: Type.String(),
  /** Secure calls; counts for calls that start from now on (F28). */
  recordingEnabled: Type.Boolean(),
  /** How long a call rings, unless the operator has set one time for all apps. */
  ringTimeoutMs: RingTimeout,
  /** After so many days a recording expires; null: never (F32). The operator sets it. */
  retentionDays: Type.Union([Type.Integer(), Type.Null()]),
  /** Origins whose pages may use this app. */
  allowedOrigins: Type.Array(Type.String()),
  /** Null: the server's own. */
  ice: Type.Union([AppIce, Type.Null()]),
  createdAt: Type.String(),
});
export type App = Type.Static<typeof App>;

/** What is left out stays. */
export const PatchAppBody = Type.Object(
  {
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 200, pattern: LINE })),
    recordingEnabled: Type.Optional(Type.Boolean()),
    ringTimeoutMs: Type.Optional(RingTimeout),
    allowedOrigins: Type.Optional(Type.Array(Origin, { maxItems: APP_LIMITS.maxOrigins })),
    ice: Type.Optional(Type.Union([PutAppIce, Type.Null()])),
  },
  closed,
);
export type PatchAppBody = Type.Static<typeof PatchAppBody>;

/** Names a key in tokens and logs; it is no secret. */
export const KeyId = Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' });

export const AppKey = Type.Object({
  kid: KeyId,
  algorithm: Type.Union([Type.Literal('HS256'), Type.Literal('ES256'), Type.Literal('EdDSA')]),
  createdAt: Type.String(),
  /** To the minute; absent when it was never used. */
  lastUsedAt: Type.Optional(Type.String()),
  revokedAt: Type.Optional(Type.String()),
});
export type AppKey = Type.Static<typeof AppKey>;
export const AppKeyList = Type.Object({ keys: Type.Array(AppKey) });
export type AppKeyList = Type.Static<typeof AppKeyList>;

/** Without a public key the server makes a secret. */
export const PostAppKeyBody = Type.Object(
  {
    /** RFC 7517: an Ed25519 key (EdDSA) or a P-256 key (ES256), its public half. */
    publicJwk: Type.Optional(
      Type.Record(Type.String({ maxLength: 32 }), Type.String({ maxLength: 512 }), { maxProperties: 16 }),
    ),
  },
  closed,
);
export type PostAppKeyBody = Type.Static<typeof PostAppKeyBody>;
/** `secret` is told this once, for a key of the server's making. */
export const AppKeyWithSecret = Type.Object({ key: AppKey, secret: Type.Optional(Type.String()) });
export type AppKeyWithSecret = Type.Static<typeof AppKeyWithSecret>;
