-- A secure call's history in the ledger is kept under its recording, also when it never came to one.
alter table calls add column recording_id uuid unique;
-- none: a voice call, or one of before the ledger. owed: the entry of its end is missing. entered: it is there.
alter table calls add column evidence text not null default 'none' check (evidence in ('none', 'owed', 'entered'));
create index calls_evidence_owed on calls (ended_at) where evidence = 'owed';
create index recordings_entry_owed on recordings (started_at) where entry_index is null and state = 'failed';

-- A consent names a text by app, locale and version, and proves it by the hash: such a row must never change or go.
create function verbatim_refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% of % is refused: these rows are what people agreed to', tg_op, tg_table_name
    using errcode = 'restrict_violation';
end $$;
create trigger disclosures_stay before update or delete on disclosures
  for each row execute function verbatim_refuse_change();
create trigger disclosures_stay_all before truncate on disclosures
  for each statement execute function verbatim_refuse_change();
alter table disclosures add constraint disclosures_hash
  check (sha256 = encode(sha256(convert_to(body, 'UTF8')), 'hex')) not valid;
alter table disclosures add constraint disclosures_exact unique (app_id, locale, version, sha256);
alter table consents add constraint consents_text
  foreign key (app_id, locale, disclosure_version, disclosure_sha256)
  references disclosures (app_id, locale, version, sha256) not valid;

-- Of a consent only its place in the ledger is noted later, once.
create function verbatim_refuse_consent_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and old.entry_index is null
     and to_jsonb(new) - 'entry_index' = to_jsonb(old) - 'entry_index' then
    return new;
  end if;
  raise exception '% of a consent is refused', tg_op using errcode = 'restrict_violation';
end $$;
create trigger consents_stay before update or delete on consents
  for each row execute function verbatim_refuse_consent_change();
