-- F32: after so many days a recording expires; null: it is kept for ever.
alter table apps add column retention_days integer check (retention_days between 1 and 36500);

-- What replaces the server's own ICE servers in this app's calls (protocol IceSettings); null: nothing does. The
-- relays' secret is AES-256-GCM under the server's key, like an app key's, and is never given back.
alter table apps add column ice jsonb;
alter table apps add column ice_secret_sealed bytea;
alter table apps add constraint apps_ice check (ice is not null or ice_secret_sealed is null);

-- To the minute: enough to see that nobody signs with the old key any more, before it is revoked.
alter table app_keys add column last_used_at timestamptz;

-- A revocation is told to every daemon at once: it forgets the key and closes the sockets that it let in.
create function app_key_revoked() returns trigger language plpgsql as $$
begin
  perform pg_notify('app_key_revoked', new.kid);
  return null;
end $$;
create trigger app_key_revoked after update of revoked_at on app_keys for each row
  when (old.revoked_at is null and new.revoked_at is not null) execute function app_key_revoked();

-- F30: in a chat marked private only its owner lists and plays. The owner is one of the members, at every commit.
alter table chats add column owner_id text;
alter table chats add column private boolean not null default false;
alter table chats add constraint chats_private check (owner_id is not null or not private);
alter table chats add constraint chats_owner foreign key (app_id, id, owner_id)
  references chat_members (app_id, chat_id, user_id) deferrable initially deferred;

-- By which key and in which role a grant was asked for: it ends when the key is revoked, and when the role loses
-- the right to read recordings. Null on grants of before, which end within hours.
alter table grants add column kid text references app_keys (kid);
alter table grants add column role text;
