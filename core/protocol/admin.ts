import { Type } from 'typebox';
import { Uuid } from './ids.ts';

/** What the console and the server say to each other under `/admin/api`. Times are ISO 8601 in UTC. */
const closed = { additionalProperties: false };

export const ADMIN_ROLES = ['viewer', 'operator', 'legal_officer', 'owner'] as const;
export const AdminRole = Type.Enum(ADMIN_ROLES);
export type AdminRole = (typeof ADMIN_ROLES)[number];

/**
 * What an admin may do. `see`: every page, never audio. `operate`: apps, keys, webhooks, repairs, checks. `legal`: holds
 * and removals. `own`: other admins.
 */
export const ADMIN_RIGHTS = ['see', 'operate', 'legal', 'own'] as const;
export type AdminRight = (typeof ADMIN_RIGHTS)[number];

/** Each role's rights. Who operates the server does not remove recordings, and the other way round. */
export const RIGHTS_OF: Readonly<Record<AdminRole, readonly AdminRight[]>> = {
  viewer: ['see'],
  operator: ['see', 'operate'],
  legal_officer: ['see', 'legal'],
  owner: ['see', 'operate', 'legal', 'own'],
};

/** Lower case, so that there is one way to write each. */
export const AdminLogin = Type.String({ minLength: 3, maxLength: 64, pattern: '^[a-z0-9][a-z0-9._@+-]*$' });
/** Without control characters, and without those that turn the direction of the text around them. */
const LINE =
  '^(?:[^\\ud800-\\udfff\\u0000-\\u001f\\u007f-\\u009f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]|[\\ud800-\\udbff][\\udc00-\\udfff])*$';
export const AdminName = Type.String({ minLength: 1, maxLength: 100, pattern: LINE });
/** The limit keeps the work of hashing bounded; no other rule than that it is hard to guess. */
export const AdminPassword = Type.String({ minLength: 1, maxLength: 512 });
const Token = Type.String({ minLength: 43, maxLength: 43, pattern: '^[A-Za-z0-9_-]{43}$' });
const Code = Type.String({ minLength: 6, maxLength: 6, pattern: '^[0-9]{6}$' });

/** `POST /admin/api/links/open`: what a one-time link is for. The token comes from the fragment of the link. */
export const OpenLinkBody = Type.Object({ token: Token }, closed);
export const OpenedLink = Type.Object({
  purpose: Type.Enum(['invite', 'recover'] as const),
  role: AdminRole,
  /** Of the admin who comes back. */
  login: Type.Optional(Type.String()),
  name: Type.Optional(Type.String()),
  expiresAt: Type.String(),
});
export type OpenedLink = Type.Static<typeof OpenedLink>;

/** `POST /admin/api/links/use`: login and name are for invitations only. */
export const UseLinkBody = Type.Object(
  {
    token: Token,
    login: Type.Optional(AdminLogin),
    name: Type.Optional(AdminName),
    password: AdminPassword,
  },
  closed,
);
export type UseLinkBody = Type.Static<typeof UseLinkBody>;

export const SignInBody = Type.Object(
  { login: Type.String({ maxLength: 64 }), password: AdminPassword },
  closed,
);
export type SignInBody = Type.Static<typeof SignInBody>;

export const CodeBody = Type.Object({ code: Code }, closed);
/** Bytes as the browser writes them in JSON (RFC 4648 §5, without padding). */
const Bytes = (maxLength: number) => Type.String({ minLength: 1, maxLength, pattern: '^[A-Za-z0-9_-]+$' });
const Extensions = Type.Record(Type.String({ maxLength: 64 }), Type.Unknown(), { maxProperties: 20 });
const Attachment = Type.Optional(Type.Enum(['platform', 'cross-platform'] as const));
const credential = {
  id: Bytes(1_400),
  rawId: Bytes(1_400),
  type: Type.Literal('public-key'),
  authenticatorAttachment: Attachment,
  clientExtensionResults: Extensions,
};

/** A new credential, as `PublicKeyCredential.toJSON()` gives it (WebAuthn Level 3 §5.1.8). */
export const RegistrationAnswer = Type.Object({
  ...credential,
  response: Type.Object({ clientDataJSON: Bytes(8_192), attestationObject: Bytes(16_384) }),
});
export type RegistrationAnswer = Type.Static<typeof RegistrationAnswer>;
/** A signature by a credential, in the same form. */
export const AssertionAnswer = Type.Object({
  ...credential,
  response: Type.Object({
    clientDataJSON: Bytes(8_192),
    authenticatorData: Bytes(8_192),
    signature: Bytes(2_048),
    userHandle: Type.Optional(Bytes(128)),
  }),
});
export type AssertionAnswer = Type.Static<typeof AssertionAnswer>;

export const AssertionBody = Type.Object({ challengeId: Uuid, answer: AssertionAnswer }, closed);
export type AssertionBody = Type.Static<typeof AssertionBody>;
export const EnrolPasskeyBody = Type.Object(
  { challengeId: Uuid, answer: RegistrationAnswer, name: AdminName },
  closed,
);
export type EnrolPasskeyBody = Type.Static<typeof EnrolPasskeyBody>;
/** `options` is what the browser's `parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON` takes. */
export const PasskeyChallenge = Type.Object({ challengeId: Uuid, options: Type.Unknown() });
export type PasskeyChallenge = Type.Static<typeof PasskeyChallenge>;
/** The secret of an authenticator app, once, until it is confirmed by a code. */
export const TotpSetup = Type.Object({ secret: Type.String(), uri: Type.String() });
export type TotpSetup = Type.Static<typeof TotpSetup>;

export const SESSION_STAGES = ['half', 'enrol', 'full'] as const;
export type SessionStage = (typeof SESSION_STAGES)[number];

/** Who is signed in here, and how far. */
export const AdminSession = Type.Object({
  stage: Type.Enum(SESSION_STAGES),
  admin: Type.Object({ id: Uuid, login: Type.String(), name: Type.String(), role: AdminRole }),
  rights: Type.Array(Type.Enum(ADMIN_RIGHTS)),
  /** What this admin can prove themselves with. */
  factors: Type.Object({ passkeys: Type.Integer(), totp: Type.Boolean() }),
  /** Whether acts that ask for a fresh proof are open now, and until when. */
  provenUntil: Type.Optional(Type.String()),
  expiresAt: Type.String(),
});
export type AdminSession = Type.Static<typeof AdminSession>;

export const Admin = Type.Object({
  id: Uuid,
  login: Type.String(),
  name: Type.String(),
  role: AdminRole,
  factors: Type.Object({ passkeys: Type.Integer(), totp: Type.Boolean() }),
  createdAt: Type.String(),
  lastSeenAt: Type.Optional(Type.String()),
  disabledAt: Type.Optional(Type.String()),
});
export type Admin = Type.Static<typeof Admin>;
export const AdminList = Type.Object({ admins: Type.Array(Admin) });

export const PatchAdminBody = Type.Object(
  { role: Type.Optional(AdminRole), disabled: Type.Optional(Type.Boolean()) },
  closed,
);
export type PatchAdminBody = Type.Static<typeof PatchAdminBody>;

export const PostInviteBody = Type.Object({ role: AdminRole }, closed);
/** The token is told once; the console makes the link of it, with the token in the fragment. */
export const AdminLink = Type.Object({ token: Type.String(), expiresAt: Type.String() });
export type AdminLink = Type.Static<typeof AdminLink>;

export const Passkey = Type.Object({
  id: Uuid,
  name: Type.String(),
  createdAt: Type.String(),
  lastUsedAt: Type.Optional(Type.String()),
});
export type Passkey = Type.Static<typeof Passkey>;
export const SignedInPlace = Type.Object({
  id: Uuid,
  /** Whether it is the one that asks. */
  own: Type.Boolean(),
  address: Type.String(),
  agent: Type.String(),
  createdAt: Type.String(),
  seenAt: Type.String(),
});
export type SignedInPlace = Type.Static<typeof SignedInPlace>;
/** `GET /admin/api/account`: what belongs to the one who is signed in. */
export const Account = Type.Object({
  passkeys: Type.Array(Passkey),
  totp: Type.Boolean(),
  sessions: Type.Array(SignedInPlace),
});
export type Account = Type.Static<typeof Account>;

export const ChangePasswordBody = Type.Object({ password: AdminPassword }, closed);
