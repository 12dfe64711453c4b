-- Where an app wants to be told, and what there is to tell it. Events are entered by triggers, in the very transaction
-- that changes the state: no event is lost with a daemon that dies, and none tells of what did not come about.
create table webhook_endpoints (
  id uuid primary key,
  app_id text not null references apps (id),
  url text not null,
  -- Empty: all of them.
  events text[] not null default '{}',
  -- AES-256-GCM under the server's key, like an app key's secret. The one before signs too until its time is over.
  secret_sealed bytea not null,
  old_secret_sealed bytea,
  old_secret_until timestamptz,
  enabled boolean not null default true,
  -- Why it was turned off, when the server did it.
  disabled_reason text,
  created_at timestamptz not null default now()
);
create index webhook_endpoints_app on webhook_endpoints (app_id);

create table webhook_events (
  id uuid primary key default gen_random_uuid(),
  app_id text not null,
  type text not null,
  data jsonb not null,
  at timestamptz not null default now()
);
create index webhook_events_at on webhook_events (at);

create table webhook_deliveries (
  id uuid primary key default gen_random_uuid(),
  endpoint_id uuid not null references webhook_endpoints (id) on delete cascade,
  event_id uuid not null references webhook_events (id) on delete cascade,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  -- Tries of the present round; a replay begins a new one.
  attempts integer not null default 0,
  next_at timestamptz not null default now(),
  created_at timestamptz not null default now()
);
create index webhook_deliveries_due on webhook_deliveries (next_at) where state = 'pending';
create index webhook_deliveries_endpoint on webhook_deliveries (endpoint_id, created_at desc, id desc);
create index webhook_deliveries_event on webhook_deliveries (event_id);

-- The delivery log. Never what the receiver answered, only how.
create table webhook_attempts (
  id bigint generated always as identity primary key,
  delivery_id uuid not null references webhook_deliveries (id) on delete cascade,
  at timestamptz not null,
  took_ms integer not null,
  status integer,
  error text
);
create index webhook_attempts_delivery on webhook_attempts (delivery_id, id);

create function webhook_enter(app text, kind text, what jsonb) returns void language plpgsql as $$
declare
  event uuid;
begin
  if not exists (
    select 1 from webhook_endpoints
    where app_id = app and enabled and (events = '{}' or kind = any (events))
  ) then
    return;
  end if;
  insert into webhook_events (app_id, type, data) values (app, kind, what) returning id into event;
  insert into webhook_deliveries (endpoint_id, event_id)
    select id, event from webhook_endpoints
    where app_id = app and enabled and (events = '{}' or kind = any (events));
end $$;

create function webhook_time(at timestamptz) returns text language sql immutable as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

create function webhook_call() returns trigger language plpgsql as $$
declare
  kind text;
begin
  if new.state <> 'ended' then
    if tg_op = 'UPDATE' then
      return null;
    end if;
    kind := 'call.started';
  elsif new.accepted_at is null and new.end_reason <> 'declined' then
    -- Who declined was there.
    kind := 'call.missed';
  else
    kind := 'call.ended';
  end if;
  perform webhook_enter(new.app_id, kind, jsonb_strip_nulls(jsonb_build_object(
    'callId', new.id, 'chatId', new.chat_id, 'mode', new.mode, 'callerId', new.caller_id, 'calleeId', new.callee_id,
    'endReason', new.end_reason, 'startedAt', webhook_time(new.started_at), 'activeAt', webhook_time(new.active_at),
    'endedAt', webhook_time(new.ended_at))));
  return null;
end $$;

create trigger webhook_call_begins after insert on calls for each row execute function webhook_call();
create trigger webhook_call_ends after update of state on calls for each row
  when (old.state <> 'ended' and new.state = 'ended') execute function webhook_call();

create function webhook_recording() returns trigger language plpgsql as $$
begin
  perform webhook_enter(new.app_id, 'recording.' || new.state, jsonb_strip_nulls(jsonb_build_object(
    'recordingId', new.id, 'callId', new.call_id, 'chatId', new.chat_id, 'callerId', new.caller_id,
    'calleeId', new.callee_id, 'reason', new.reason, 'startedAt', webhook_time(new.started_at),
    'durationMs', new.duration_ms, 'sizeBytes', new.size_bytes, 'sha256', new.sha256)));
  return null;
end $$;

create trigger webhook_recording_changes after update of state on recordings for each row
  when (old.state is distinct from new.state and new.state in ('available', 'failed', 'removed', 'expired'))
  execute function webhook_recording();
