-- Who may do what, by role (protocol RolePolicy); null: everybody may do everything that the app has turned on.
alter table apps add column role_policy jsonb;

-- What an app supplies about a call for playback in step: transcript and chat messages (protocol listening).
create table timelines (
  call_id uuid primary key references calls (id),
  app_id text not null,
  segments jsonb not null default '[]',
  messages jsonb not null default '[]',
  updated_at timestamptz not null default now()
);
