-- In which container a grant serves its recording: as it is kept, or remuxed while it is read.
alter table grants add column container text not null default 'webm' check (container in ('webm', 'mp4', 'ogg'));
