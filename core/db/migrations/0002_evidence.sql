-- Which entry of the ledger says how the recording ended; null while it is owed (core/evidence).
alter table recordings add column entry_index bigint;
-- The disclosure text in force is found by app and locale; a consent names the exact row.
alter table consents add column entry_index bigint;

-- The last head of each epoch that was signed and left the server.
create table head_receipts (
  recording_id uuid not null references recordings (id),
  epoch integer not null check (epoch > 0),
  seq bigint not null,
  head text not null,
  at timestamptz not null,
  note text not null,
  primary key (recording_id, epoch)
);

-- What an operator has to look at. One open alarm for each kind and subject; it is counted, not repeated.
create table alarms (
  id uuid primary key,
  kind text not null,
  subject text not null,
  detail text not null,
  raised_at timestamptz not null default now(),
  last_at timestamptz not null default now(),
  count integer not null default 1,
  cleared_at timestamptz
);
create unique index alarms_open on alarms (kind, subject) where cleared_at is null;

alter table grants drop constraint grants_disposition_check;
alter table grants add constraint grants_disposition_check check (disposition in ('inline', 'attachment', 'bundle'));
