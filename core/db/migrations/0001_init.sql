-- Apps (workspaces) and everything that hangs on one. Ids chosen by a messenger are unique per app only.
create table apps (
  id text primary key,
  name text not null,
  -- F28: off by default, applies to calls started after it is turned on.
  recording_enabled boolean not null default false,
  ring_timeout_ms integer not null default 45000 check (ring_timeout_ms between 5000 and 180000),
  allowed_origins text[] not null default '{}',
  created_at timestamptz not null default now()
);

-- The algorithm is fixed per key and never taken from a token. `secret_sealed` is AES-256-GCM under the server's key.
create table app_keys (
  kid text primary key,
  app_id text not null references apps (id),
  algorithm text not null check (algorithm in ('HS256', 'ES256', 'EdDSA')),
  secret_sealed bytea,
  public_jwk jsonb,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  check ((algorithm = 'HS256') = (secret_sealed is not null)),
  check ((algorithm <> 'HS256') = (public_jwk is not null))
);

-- Texts are versioned and never change once used: a consent names one by its SHA-256.
create table disclosures (
  app_id text not null references apps (id),
  locale text not null,
  version integer not null check (version > 0),
  body text not null,
  sha256 text not null,
  created_at timestamptz not null default now(),
  primary key (app_id, locale, version)
);

create table users (
  app_id text not null references apps (id),
  id text not null,
  name text not null,
  avatar_url text,
  role text,
  updated_at timestamptz not null default now(),
  primary key (app_id, id)
);

create table chats (
  app_id text not null references apps (id),
  id text not null,
  kind text not null check (kind in ('direct', 'group')),
  name text,
  updated_at timestamptz not null default now(),
  -- A deleted chat keeps its recordings: the parties' right to them does not end with it.
  deleted_at timestamptz,
  primary key (app_id, id)
);

create table chat_members (
  app_id text not null,
  chat_id text not null,
  user_id text not null,
  primary key (app_id, chat_id, user_id),
  foreign key (app_id, chat_id) references chats (app_id, id),
  foreign key (app_id, user_id) references users (app_id, id)
);

create table calls (
  id uuid primary key,
  app_id text not null,
  chat_id text not null,
  mode text not null check (mode in ('voice', 'secure')),
  caller_id text not null,
  callee_id text not null,
  state text not null check (state in ('ringing', 'connecting', 'active', 'ended')),
  end_reason text,
  started_at timestamptz not null,
  accepted_at timestamptz,
  active_at timestamptz,
  ended_at timestamptz,
  foreign key (app_id, chat_id) references chats (app_id, id),
  check ((state = 'ended') = (end_reason is not null))
);
create index calls_chat on calls (app_id, chat_id, started_at desc);
create index calls_open on calls (id) where state <> 'ended';

create table consents (
  call_id uuid not null references calls (id),
  side text not null check (side in ('caller', 'callee')),
  app_id text not null,
  user_id text not null,
  action text not null check (action in ('start', 'accept')),
  disclosure_sha256 text not null,
  disclosure_version integer not null,
  locale text not null,
  device text not null,
  at timestamptz not null,
  primary key (call_id, side)
);

create table recordings (
  id uuid primary key,
  call_id uuid not null unique references calls (id),
  app_id text not null,
  chat_id text not null,
  caller_id text not null,
  callee_id text not null,
  state text not null check (state in ('armed', 'capturing', 'processing', 'available', 'failed', 'removed', 'expired')),
  reason text,
  detail text,
  epoch integer not null default 1,
  recorder_id text,
  started_at timestamptz not null,
  ended_at timestamptz,
  duration_ms bigint,
  size_bytes bigint,
  sha256 text,
  format text,
  -- The finaliser's whole report (protocol FinaliseResult): legs, gaps, journal heads, peaks.
  report jsonb,
  updated_at timestamptz not null default now()
);
create index recordings_chat on recordings (app_id, chat_id, started_at desc, id desc);
create index recordings_open on recordings (state) where state in ('armed', 'capturing', 'processing');

-- A viewer's session: the cookie that playback addresses are bound to. Only the hash is stored.
create table sessions (
  id uuid primary key,
  token_sha256 bytea not null unique,
  app_id text not null,
  user_id text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz
);

create table grants (
  id uuid primary key,
  recording_id uuid not null references recordings (id),
  app_id text not null,
  user_id text not null,
  session_id uuid not null references sessions (id),
  disposition text not null check (disposition in ('inline', 'attachment')),
  created_at timestamptz not null default now(),
  first_use_before timestamptz not null,
  first_used_at timestamptz,
  ends_at timestamptz not null,
  ended_at timestamptz
);
create index grants_session on grants (session_id);
