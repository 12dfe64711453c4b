import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openAgeHeader, openSealed, readJournalHeader } from '#store';
import type { Database } from '../db/index.ts';
import { changeRecording, recordingById } from '../db/recordings.ts';
import { putMessages, putTranscript } from '../db/timelines.ts';
import type { CallShape, MadeFolder } from '../evidence/audit-fixture.ts';
import type { CallFacts } from '../evidence/index.ts';

export interface Kept {
  call: CallFacts;
  /** What may be nowhere once the recording is gone, by name. */
  needles: Map<string, Buffer>;
}

const SAID = 'the blue heron waits at the weir';
const WROTE = 'bring the green folder tomorrow';

/** For tests: an available recording with everything that tells of its content, and what to look for when it is gone. */
export async function keptRecording(
  db: Database,
  folder: MadeFolder,
  shape: Partial<CallShape> = {},
): Promise<Kept> {
  const { call } = await folder.call(shape);
  const { recordingId, callId, appId } = call;
  const row = await recordingById(db, recordingId);
  if (row?.report == null) throw new Error('the recording has no report');
  const url = 'http://127.0.0.1:9/hook';
  await db.sql`
    insert into webhook_endpoints (id, app_id, url, secret_sealed)
    values (gen_random_uuid(), ${appId}, ${url}, ${Buffer.alloc(32)})`;
  await changeRecording(db, recordingId, { to: 'available', result: row.report, entryIndex: 1 });
  await putTranscript(db, appId, callId, {
    segments: [{ side: 'caller', startMs: 0, text: `${SAID} ${callId}` }],
  });
  await putMessages(db, appId, callId, { messages: [{ userId: 'ann', text: `${WROTE} ${callId}` }] });
  return { call, needles: await needlesOf(folder, call, row.report.sha512 ?? '') };
}

async function needlesOf(
  { paths, identity }: MadeFolder,
  { recordingId, callId }: CallFacts,
  sha512: string,
): Promise<Map<string, Buffer>> {
  const [pay, hdr] = [paths.pay(recordingId), paths.hdr(recordingId)];
  const sealed = await openSealed({ pay, hdr, identity });
  const audio = await sealed.read(0, sealed.sizeBytes);
  await sealed.close();
  const header = await readFile(hdr);
  const fileKey = await openAgeHeader(header, identity);
  const journal = await readJournalHeader(paths.journal(recordingId, 1));
  if (journal === undefined) throw new Error('the journal has no header');
  const journalKey = await openAgeHeader(Buffer.from(journal.age, 'base64'), identity);
  const sha256 = createHash('sha256').update(audio).digest();
  const payload = await readFile(pay);
  const text = (of: string): Buffer => Buffer.from(of);
  return new Map([
    ['audio', audio.subarray(audio.length >> 1, (audio.length >> 1) + 48)],
    ['its SHA-256', sha256],
    ['its SHA-256, hex', text(sha256.toString('hex'))],
    ['its SHA-256, base64', text(sha256.toString('base64').slice(0, -1))],
    ['its SHA-512, hex', text(sha512)],
    ['its SHA-512, base64url', text(Buffer.from(sha512, 'hex').toString('base64url'))],
    ['the file key', fileKey],
    ['the file key, hex', text(fileKey.toString('hex'))],
    ['the file key, base64', text(fileKey.toString('base64').slice(0, -2))],
    ['the header', header.subarray(-100)],
    ['the journal’s file key', journalKey],
    ['the journal’s header', text(journal.age.slice(-100))],
    ['the sealed payload', payload.subarray(0, 64)],
    ['the end of the sealed payload', payload.subarray(-64)],
    ['the salt', text((await readFile(paths.salt(recordingId), 'latin1')).trimEnd())],
    ['the transcript', text(`${SAID} ${callId}`)],
    ['the messages', text(`${WROTE} ${callId}`)],
  ]);
}

/** Where any of it is still found: in a file of these folders, or in a row of any table of the database. */
export async function tracesOf(
  needles: ReadonlyMap<string, Buffer>,
  { dirs, db }: { dirs: readonly string[]; db: Database },
): Promise<string[]> {
  const traces: string[] = [];
  const look = (where: string, bytes: Buffer): void => {
    for (const [name, needle] of needles) if (bytes.includes(needle)) traces.push(`${name} in ${where}`);
  };
  for (const dir of dirs)
    for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) look(path, await readFile(path));
    }
  const tables = await db.sql<{ name: string }[]>`
    select format('%I.%I', table_schema, table_name) as name from information_schema.tables
    where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`;
  for (const { name } of tables)
    for (const { text } of await db.sql.unsafe<{ text: string }[]>(`select t::text as text from ${name} t`))
      look(name, Buffer.from(text));
  return traces;
}
