import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { becomeOnlyDaemon } from './only-daemon.ts';
import { silent } from './test/backends.ts';

const db = await testDatabase(t);
const { url: databaseUrl, sql } = db;
const once = { databaseUrl, log: silent, waitMs: 0 };

/** Backends that hold an advisory lock. */
async function holders(): Promise<number[]> {
  const rows = await sql<{ pid: number }[]>`
    select pid from pg_locks where locktype = 'advisory' and granted`;
  return rows.map(({ pid }) => pid);
}

async function cut(pids: number[]): Promise<void> {
  await sql`select pg_terminate_backend(pid, 5000) from unnest(${pids}::int[]) as pid`;
}

t.test(
  'a daemon whose database connection is cut comes back for its lock, and still lets go of it',
  async (t) => {
    const lost: string[] = [];
    const first = await becomeOnlyDaemon({ ...once, onLost: (sentence) => lost.push(sentence) });
    for (let time = 1; time <= 3; time += 1) {
      const before = await holders();
      t.equal(before.length, 1);
      await cut(before);
      const until = performance.now() + 10_000;
      while ((await holders()).length === 0 && performance.now() < until) await delay(20);
      const now = await holders();
      t.equal(now.length, 1, `after cut ${time} the lock has a holder again`);
      t.notSame(now, before);
      await t.rejects(becomeOnlyDaemon(once), { code: 'conflict' }, 'and it is the same daemon');
    }
    await Promise.all([first.release(), first.release()]);
    t.same(lost, []);
    const second = await becomeOnlyDaemon({ ...once, waitMs: 5_000 });
    await cut(await holders());
    // Whatever of coming back it has just begun.
    await second.release();
    const third = await becomeOnlyDaemon({ ...once, waitMs: 5_000 });
    await third.release();
  },
);

t.test('a daemon is told when another one took the lock that a cut connection lost', async (t) => {
  const lost = Promise.withResolvers<string>();
  const first = await becomeOnlyDaemon({ ...once, onLost: lost.resolve });
  const [mine] = await holders();
  const other = await sql.reserve();
  t.teardown(() => other.release());
  // It stands in the line, so the server gives it the lock in the moment in which the first one's ends.
  const [key] = await sql<{ key: number }[]>`
    select objid::int as key from pg_locks where locktype = 'advisory' and granted`;
  const waiting = other`select pg_advisory_lock(${key?.key ?? 0})`.execute();
  const inLine = () => sql`select 1 from pg_locks where locktype = 'advisory' and not granted`;
  while ((await inLine()).length === 0) await delay(20);
  await cut([mine ?? 0]);
  await waiting;
  t.match(await lost.promise, /^Another Verbatim server took over this database/);
  await first.release();
  t.equal((await holders()).length, 1, 'the other one keeps it');
  await other`select pg_advisory_unlock_all()`;
});
