-- Each transcript that is put is a version with its number and time; the newest is in `segments`, those before it, newest
-- first and a bounded number of them, in `earlier`. All in the one row, which goes as a whole when a recording does.
alter table timelines
  add column version integer not null default 0,
  add column source text not null default 'app' check (source in ('app', 'transcriber')),
  add column written_at timestamptz not null default now(),
  add column earlier jsonb not null default '[]';
update timelines set version = 1, written_at = updated_at where segments <> '[]';
