-- How a recording goes: by retention (F32) or under a legal order (F41), never while a hold lasts (F42).

-- Set in the transaction that decides it, before anything is destroyed: from then on nobody gets or begins anything new.
alter table recordings add column removing_at timestamptz;
create index recordings_kept on recordings (app_id, coalesce(ended_at, started_at))
  where state in ('available', 'failed') and removing_at is null;

create table holds (
  id uuid primary key,
  app_id text not null references apps (id),
  scope text not null check (scope in ('recording', 'call', 'chat')),
  -- The recording's, the call's or the chat's id.
  target text not null,
  reason text not null,
  reference text,
  set_by text not null,
  set_at timestamptz not null,
  -- Two people release one: the first word alone changes nothing.
  first_release_by text,
  first_release_at timestamptz,
  released_by text,
  released_at timestamptz,
  check (released_at is null or first_release_by <> released_by)
);
create index holds_in_force on holds (app_id, scope, target) where released_at is null;

create table removals (
  id uuid primary key,
  app_id text not null references apps (id),
  scope text not null check (scope in ('recording', 'call', 'chat')),
  target text not null,
  state text not null default 'requested' check (state in ('requested', 'approved', 'executing', 'done')),
  authority text not null,
  reference text not null,
  basis text not null,
  -- Of the order document, which lies sealed in the data folder.
  order_sha256 text not null,
  order_media_type text not null,
  -- True: the order forbids telling the parties more than that there was one.
  gag boolean not null,
  not_before timestamptz,
  expires_at timestamptz not null,
  cooling_off_ms bigint not null default 0 check (cooling_off_ms >= 0),
  requested_by text not null,
  requested_at timestamptz not null,
  -- Leaf hash of its entry: what the approval is over.
  request_hash text,
  approved_by text,
  approved_at timestamptz,
  executed_by text,
  executed_at timestamptz,
  done_at timestamptz,
  check (approved_by is null or approved_by <> requested_by),
  check ((state in ('executing', 'done')) = (executed_at is not null)),
  check ((state = 'done') = (done_at is not null))
);
create index removals_open on removals (requested_at) where state = 'executing';

-- Each assertion counts once, whatever it was about.
create table step_up_assertions (
  id text primary key,
  admin_id text not null,
  removal_id uuid not null references removals (id),
  used_at timestamptz not null
);

-- What an order takes, as it was when it was executed.
create table removal_targets (
  removal_id uuid not null references removals (id),
  recording_id uuid not null references recordings (id),
  primary key (removal_id, recording_id)
);
create index removal_targets_recording on removal_targets (recording_id);

-- A recording that goes or is gone. The row is there before anything is destroyed, and a crash is taken up from it.
create table destructions (
  recording_id uuid primary key references recordings (id),
  cause text not null check (cause in ('order', 'retention')),
  removal_id uuid references removals (id),
  -- What its parties read; null where an order forbids it.
  reason text,
  actor text,
  days integer,
  begun_at timestamptz not null default now(),
  exec_index bigint,
  done_at timestamptz,
  check ((cause = 'order') = (removal_id is not null))
);
create index destructions_open on destructions (begun_at) where done_at is null;

create index webhook_events_recording on webhook_events ((data->>'recordingId'));

-- The clock that recordings expire by: it runs only while the server does, and never ahead of the wall clock.
create table retention_clock (
  one boolean primary key default true check (one),
  at timestamptz not null
);

-- What was said goes with the recording that said it, and does not come back with a late transcript.
create function timeline_of_gone() returns trigger language plpgsql as $$
begin
  if exists (
    select from recordings r where r.call_id = new.call_id
      and (r.removing_at is not null or r.state in ('removed', 'expired'))
  ) then
    return null;
  end if;
  return new;
end $$;
create trigger timeline_of_gone before insert or update on timelines
  for each row execute function timeline_of_gone();
