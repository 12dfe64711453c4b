-- Who runs this server: admins of the console, what they prove themselves with, and where they are signed in.
create table admins (
  id uuid primary key,
  -- What they type to sign in: lower case, unique, never used again.
  login text not null unique check (login = lower(login)),
  name text not null,
  role text not null check (role in ('viewer', 'operator', 'legal_officer', 'owner')),
  -- argon2id (RFC 9106) in the PHC string form; null until they have chosen one.
  password_hash text,
  created_at timestamptz not null default now(),
  disabled_at timestamptz
);

create table admin_passkeys (
  id uuid primary key,
  admin_id uuid not null references admins (id),
  -- The authenticator's own id of the credential, and its public key (COSE); WebAuthn Level 3 §6.5.1.
  credential_id bytea not null unique,
  public_key bytea not null,
  counter bigint not null,
  transports text[] not null default '{}',
  name text not null,
  created_at timestamptz not null default now(),
  last_used_at timestamptz
);
create index admin_passkeys_admin on admin_passkeys (admin_id);

-- One authenticator app for each admin (RFC 6238). The secret is AES-256-GCM under the server's key.
create table admin_totp (
  admin_id uuid primary key references admins (id),
  secret_sealed bytea not null,
  confirmed_at timestamptz,
  -- The time step of the last code that was taken: no code is taken twice.
  last_step bigint not null default 0
);

-- One-time links: a new admin's invitation, or the way back in of one who lost what they prove themselves with.
create table admin_links (
  id uuid primary key,
  token_sha256 bytea not null unique,
  purpose text not null check (purpose in ('invite', 'recover')),
  role text check (role in ('viewer', 'operator', 'legal_officer', 'owner')),
  admin_id uuid references admins (id),
  -- Null: made by the command line.
  created_by uuid references admins (id),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  check ((purpose = 'invite') = (role is not null)),
  check ((purpose = 'recover') = (admin_id is not null))
);

create table admin_sessions (
  id uuid primary key,
  token_sha256 bytea not null unique,
  admin_id uuid not null references admins (id),
  -- half: the password was right, the second factor is missing. enrol: there is no second factor yet. full: signed in.
  stage text not null check (stage in ('half', 'enrol', 'full')),
  address text not null,
  agent text not null,
  created_at timestamptz not null,
  seen_at timestamptz not null,
  -- When they last proved themselves with a second factor.
  proven_at timestamptz,
  expires_at timestamptz not null,
  ended_at timestamptz
);
create index admin_sessions_admin on admin_sessions (admin_id, created_at desc);

-- What an authenticator was asked to sign; each is answered once at most.
create table admin_challenges (
  id uuid primary key,
  session_id uuid not null references admin_sessions (id) on delete cascade,
  purpose text not null check (purpose in ('enrol', 'sign-in', 'step-up', 'approve')),
  challenge text not null,
  -- What the signature is to stand for, such as the hash of an order.
  about text,
  created_at timestamptz not null,
  expires_at timestamptz not null
);
