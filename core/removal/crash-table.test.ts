import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import t from 'tap';
import { silentLog, testDatabases, testDir } from '../db/fixture.ts';
import type { Database } from '../db/index.ts';
import { openDatabase } from '../db/index.ts';
import { recordingById } from '../db/recordings.ts';
import { auditFolder } from '../evidence/audit.ts';
import { MadeFolder } from '../evidence/audit-fixture.ts';
import type { FaultRule } from '../test/fault-plan.ts';
import { faultPlan } from '../test/fault-plan.ts';
import type { Kept } from './fixture.ts';
import { keptRecording, tracesOf } from './fixture.ts';
import type { RemovalJob } from './removal-child.ts';
import { runRemoval } from './removal-child.ts';

// A real process is killed between every two steps of a removal and of an expiry. The next start brings it to its end.
t.setTimeout(600_000);

const CHILD = fileURLToPath(new URL('./removal-child.ts', import.meta.url));

interface Row {
  name: string;
  rule: (recordingId: string) => FaultRule;
  /** The order was not executed yet: the admins ask again. */
  by?: 'ask';
}

const at =
  (op: FaultRule['op'], path: string, when: 'before' | 'after', nth = 1) =>
  (id: string): FaultRule => ({ op, path: path.replace('ID', id), when, nth, act: 'kill' });
const says = (sql: string, when: 'before' | 'after') => at('send', sql, when);
/** Each entry is one commit of the write-ahead file. */
const entry = (nth: number) => at('datasync', 'ledger/wal/\\d+\\.wal$', 'after', nth);

/** Nobody had executed it yet: the admins ask again. */
const ASKED: Row[] = [
  { name: 'after the request became a row', rule: says('insert into removals', 'after'), by: 'ask' },
  { name: 'after the request was entered', rule: entry(1), by: 'ask' },
  { name: 'after the approval was entered', rule: entry(2), by: 'ask' },
  { name: 'before the execution is decided', rule: says("set state = 'executing'", 'before'), by: 'ask' },
];
const ORDER: Row[] = [
  { name: 'after the execution was entered', rule: entry(3) },
  { name: 'before the recording is marked', rule: says('update recordings set removing_at', 'before') },
  { name: 'after the decision', rule: says('insert into destructions', 'after') },
  { name: 'after the end of the recording was entered', rule: entry(4) },
  { name: 'before the header is overwritten', rule: at('sync', 'ID\\.hdr$', 'before') },
  { name: 'after the header was overwritten', rule: at('sync', 'ID\\.hdr$', 'after') },
  { name: 'after the header was removed', rule: at('unlink', 'ID\\.hdr$', 'after') },
  { name: 'before the salt is removed', rule: at('unlink', 'ID\\.salt$', 'before') },
  { name: 'after the journal’s key was overwritten', rule: at('sync', 'ID-1\\.scj$', 'after') },
  { name: 'after the journal was removed', rule: at('unlink', 'ID-1\\.scj$', 'after') },
  { name: 'before the rows are cleared', rule: says('update recordings set report = null', 'before') },
  { name: 'after the rows were cleared', rule: says('update webhook_events set data', 'after') },
  { name: 'after the tombstone was entered', rule: entry(5) },
  {
    name: 'before its parties see that it is gone',
    rule: says('update recordings\\s+set "state"', 'before'),
  },
  { name: 'after its parties saw that it is gone', rule: says('update destructions set done_at', 'before') },
  { name: 'before the order is done', rule: says("set state = 'done'", 'before') },
];
/** From the header on the same hands do it. */
const EXPIRY: Row[] = [
  { name: 'after the decision', rule: says('insert into destructions', 'after') },
  { name: 'after the header was removed', rule: at('unlink', 'ID\\.hdr$', 'after') },
  { name: 'after the tombstone was entered', rule: entry(2) },
  {
    name: 'before its parties see that it is gone',
    rule: says('update recordings\\s+set "state"', 'before'),
  },
];
const TABLES = { order: [...ASKED, ...ORDER], retention: EXPIRY } as const;

interface Scene {
  db: Database;
  url: string;
  dataDir: string;
  signerDir: string;
  kept: Kept[];
}

/** A folder with a database of its own, and a recording for each row and one more, which stays. */
async function sceneOf(name: string, url: string, count: number): Promise<Scene> {
  const db = await openDatabase({ url, log: silentLog });
  t.teardown(() => db.close());
  const dataDir = join(root, name, 'data');
  const folder = await MadeFolder.open(db, dataDir);
  const kept: Kept[] = [];
  while (kept.length <= count) kept.push(await keptRecording(db, folder, { durationMs: 400 }));
  await folder.close();
  return { db, url, dataDir, signerDir: folder.signerDir, kept };
}

const root = await testDir(t);
const database = await testDatabases(t);
const [order, retention] = await Promise.all([
  sceneOf('order', await database(), TABLES.order.length),
  sceneOf('retention', await database(), TABLES.retention.length),
]);

t.test(
  'F32 F41 a removal and an expiry that are killed at any step come to their end at the next start',
  async (t) => {
    // The two have nothing in common, and most of the time goes into starting processes.
    await Promise.all([run(t, order, 'order'), run(t, retention, 'retention')]);
  },
);

async function run(t: Test, scene: Scene, cause: RemovalJob['cause']): Promise<void> {
  for (const [number, row] of TABLES[cause].entries()) {
    const kept = scene.kept[number];
    if (kept === undefined) throw new Error('a row has no recording');
    await crash(t, scene, { row, kept, cause });
  }
  const stays = scene.kept.at(-1);
  if (stays === undefined) throw new Error('nothing stays');
  const traces = await tracesOf(stays.needles, { dirs: [scene.dataDir], db: scene.db });
  for (const name of ['the header', 'its SHA-256, hex', 'the salt', 'the transcript'])
    t.ok(
      traces.some((trace) => trace.startsWith(name)),
      `what was not removed still has ${name}`,
    );
}

async function crash(
  t: Test,
  scene: Scene,
  { row, kept, cause }: { row: Row; kept: Kept; cause: RemovalJob['cause'] },
): Promise<void> {
  const { db, url: databaseUrl, dataDir, signerDir } = scene;
  const { recordingId, appId } = kept.call;
  const removalId = randomUUID();
  const expiresAt = new Date(Date.now() + 86_400_000).toISOString();
  const job = {
    dataDir,
    signerDir,
    databaseUrl,
    cause,
    by: 'ask',
    removalId,
    recordingId,
    appId,
    expiresAt,
  } as const;
  if (cause === 'retention') {
    await db.sql`update apps set retention_days = 1 where id = ${appId}`;
    await db.sql`update recordings set ended_at = now() - interval '2 days' where id = ${recordingId}`;
  }
  const planDir = join(root, removalId);
  await mkdir(planDir);
  const plan = faultPlan(planDir, [row.rule(recordingId)]);
  const child = spawn(process.execPath, [CHILD], {
    env: {
      ...process.env,
      ...plan.env,
      NODE_COMPILE_CACHE: join(root, 'cache'),
      TEST_REMOVAL: JSON.stringify(job),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [, signal] = await once(child, 'exit');
  t.equal(signal, 'SIGKILL', `killed ${row.name}`);
  t.equal(plan.acted(0), 1, `${row.name}: the rule acted`);
  const audit = () => auditFolder({ dataDir, signerDir });
  const { op } = row.rule(recordingId);
  if (op === 'sync' || op === 'unlink')
    t.match(await audit(), { faults: 0 }, `${row.name}: whatever is missing has its reason in the ledger`);

  t.same(await runRemoval({ ...job, by: row.by ?? 'start' }), [], `${row.name}: the next start`);
  t.match(
    await recordingById(db, recordingId),
    {
      state: cause === 'order' ? 'removed' : 'expired',
      reason: cause === 'order' ? '2 C 17/26' : 'retention',
    },
    row.name,
  );
  const dirs = [dataDir, signerDir];
  t.same(await tracesOf(kept.needles, { dirs, db }), [], `${row.name}: no trace of it`);
  t.match(await audit(), { faults: 0 }, `${row.name}: the folder verifies`);
  const left = await db.sql`
    select 1 from destructions where done_at is null
    union all select 1 from removals where state <> 'done'`;
  t.same(left, [], `${row.name}: nothing is left to do`);
  const events = await db.sql`
    select 1 from webhook_events where app_id = ${appId} and type in ('recording.removed', 'recording.expired')`;
  t.equal(events.length, 1, `${row.name}: the app is told once`);
}
