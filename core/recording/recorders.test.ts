import { setTimeout as delay, setInterval } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import { Inbox } from '../../recorder-worker/test/inbox.ts';
import { WorkerQueue } from '../../recorder-worker/test/queue.ts';
import { testDatabase, testDir } from '../db/fixture.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { insertRecording, setRecorder } from '../db/recordings.ts';
import { RecordingService } from './service.ts';
import { silent } from './test/backends.ts';
import { insertCall } from './test/call.ts';
import { noEvidence } from './test/no-evidence.ts';

const HOUR_MS = 3_600_000;

/** A service that no recorder of its own belongs to, and the queue as a recorder elsewhere has it. */
async function setUp(t: Test) {
  const db = await testDatabase(t);
  const queue = { databaseUrl: db.url };
  const service = await RecordingService.open({
    db,
    evidence: noEvidence,
    queue,
    dataDir: await testDir(t),
    log: silent,
    sweepMs: 100,
  });
  t.teardown(() => service.close());
  const worker = await WorkerQueue.open(queue, silent);
  t.teardown(() => worker.close());
  return { db, service, worker };
}

t.test('F51 a recorder on a machine whose clock is an hour behind is known and stays known', async (t) => {
  const { service, worker } = await setUp(t);
  const beat = () =>
    worker.beat({
      type: 'heartbeat',
      recorderId: 'behind',
      atMs: Date.now() - HOUR_MS,
      captures: 0,
      commitMs: 1,
      commits: 0,
      kernelDrops: 0,
      packets: 0,
      refused: 0,
      cpuUs: 0,
      rssBytes: 0,
    });
  let sent = 0;
  // Eight of them: for longer than a recorder may be silent, it is its heartbeats that keep it.
  for await (const known of setInterval(500, () => service.recorders.map(({ recorderId }) => recorderId))) {
    if (sent >= 3) t.same(known(), ['behind'], `after ${sent} heartbeats`);
    if (sent === 8) break;
    await beat();
    sent += 1;
    if (sent === 2) t.equal(await service.whenRecorder(10_000), true);
  }
});

t.test('what a recorder that is gone was told is not kept waiting for it', async (t) => {
  const { db, service } = await setUp(t);
  const changes = new Inbox<RecordingRow>();
  service.on('changed', (row) => changes.put(row));
  for (const n of [1, 2, 3]) {
    const call = await insertCall(db);
    await insertRecording(db, call);
    await setRecorder(db, call.recordingId, 1, `gone-${n}`);
  }
  for (const row of await changes.take(3)) t.match(row, { state: 'failed', reason: 'not_armed' });
  const kept = async (): Promise<string[]> => {
    const rows = await db.sql<{ queue: string }[]>`
      select queue from verbatim_queue.meta where queue like 'recorder-gone-%'
      union select queue from verbatim_queue.job where queue like 'recorder-gone-%'`;
    return rows.map((row) => row.queue);
  };
  const until = performance.now() + 10_000;
  while ((await kept()).length > 0 && performance.now() < until) await delay(50);
  t.same(await kept(), [], 'no queue of theirs is left');
});

t.test('a service whose connections to the database are all cut closes in order', async (t) => {
  const { db, service } = await setUp(t);
  await db.sql`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`;
  await service.close();
  t.match(await db.sql`select 1 as works`, [{ works: 1 }]);
});
