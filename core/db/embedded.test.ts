import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import { connect } from './database.ts';
import { findEmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts';
import { postmasterOf } from './embedded-leftovers.ts';
import { silentLog as log, testDir, testPassword } from './fixture.ts';
import { findBinaries } from './postgres-binaries.ts';
import { findPostgresUser } from './postgres-user.ts';

// A dozen servers are made and recovered here, each about a second on a busy machine.
t.setTimeout(120_000);

const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

/** Starts the server in a child; its lines arrive one by one. */
function startChild(
  t: Test,
  dataDir: string,
  password: string,
  uid?: number,
): { child: ChildProcess; line(): Promise<Record<string, unknown>> } {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'embedded-child.ts'), dataDir, password], {
    // As another user, tap's exit hook complains that it cannot write its notes.
    stdio: ['pipe', 'pipe', uid === undefined ? 'inherit' : 'ignore'],
    // tap's loaders are for its own processes.
    env: { PATH: process.env.PATH },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    line: async () => {
      const { value } = await lines.next();
      return JSON.parse(String(value));
    },
  };
}

async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

/** The kernel tells nobody but the parent that a process ended: look until it has. */
async function gone(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}/exe`) && isRunning(pid)) await delay(5);
}

function isRunning(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) !== '';
  } catch {
    return false;
  }
}

/** The shell between a child and the server. */
function guardOf(postmaster: number): number {
  return Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${postmaster}/stat`, 'utf8'))?.[1]);
}

t.test(
  'F51 the first start makes a server for loopback and SCRAM only, and its data outlives a restart',
  async (t) => {
    const dataDir = await testDir(t);
    const password = testPassword();
    const first = await startEmbeddedPostgres({ dataDir, password, log, onLost: (lost) => t.fail(lost) });
    t.teardown(() => first.stop());
    t.equal(await findEmbeddedPostgres(dataDir, password), first.url);

    const sql = connect(first.url, { log, poolSize: 1 });
    const settings = ['fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses'];
    const rows =
      await sql`select name, setting from pg_settings where name in ${sql(settings)} order by name`;
    t.strictSame(Object.fromEntries(rows.map(({ name, setting }) => [name, setting])), {
      fsync: 'on',
      full_page_writes: 'on',
      listen_addresses: '127.0.0.1',
      synchronous_commit: 'on',
    });
    const [role] =
      await sql`select rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user`;
    t.strictSame({ ...role }, { rolsuper: false, rolcreaterole: false, rolcreatedb: false });
    await sql`create table kept (n integer)`;
    await sql`insert into kept values (42)`;
    await sql.end();
    await Promise.all([first.stop(), first.stop()]);
    t.equal(await findEmbeddedPostgres(dataDir, password), undefined);

    const second = await startEmbeddedPostgres({ dataDir, password, log });
    t.teardown(() => second.stop());
    const again = connect(second.url, { log, poolSize: 1 });
    t.strictSame([...(await again`select n from kept`)], [{ n: 42 }]);
    await again.end();
    await second.stop();
  },
);

t.test(
  'the folders of the server are closed to other users, and no password is in an argument',
  async (t) => {
    const dataDir = await testDir(t);
    const password = testPassword();
    const server = await startEmbeddedPostgres({ dataDir, password, log });
    t.teardown(() => server.stop());
    for (const name of ['postgres', 'postgres/data', 'logs']) {
      t.equal(statSync(join(dataDir, name)).mode & 0o777, 0o700, name);
    }
    t.equal(statSync(join(dataDir, 'logs', 'postgres.log')).mode & 0o777, 0o600);
    t.strictSame(readdirSync(join(dataDir, 'postgres')), ['data'], 'nothing is left of making it');
    const pid = (await postmasterOf(join(dataDir, 'postgres', 'data')))?.pid ?? 0;
    for (const process of [pid, guardOf(pid)]) {
      t.notMatch(readFileSync(`/proc/${process}/cmdline`, 'utf8'), new RegExp(password));
      t.notMatch(readFileSync(`/proc/${process}/environ`, 'utf8'), new RegExp(password));
    }
  },
);

t.test('the server ends with the process that started it, even when that is killed', async (t) => {
  const dataDir = await testDir(t);
  const password = testPassword();
  const { child, line } = startChild(t, dataDir, password);
  t.match(await line(), { rows: 1 });
  const pid = (await postmasterOf(join(dataDir, 'postgres', 'data')))?.pid ?? 0;
  t.ok(pid > 0);
  await kill(child, 'SIGKILL');
  await gone(pid);
  t.notOk(isRunning(pid));

  const next = startChild(t, dataDir, password);
  t.match(await next.line(), { rows: 2 }, 'and the next start finds the data');
});

t.test(
  'a server that was left behind because its guard was killed too is stopped by the next start',
  async (t) => {
    const dataDir = await testDir(t);
    const password = testPassword();
    const { child, line } = startChild(t, dataDir, password);
    await line();
    const pid = (await postmasterOf(join(dataDir, 'postgres', 'data')))?.pid ?? 0;
    const guard = guardOf(pid);
    // The guard and its watcher are one process group with the server; only the two shells are killed.
    for (const name of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
      if (Number(/\) \S (\d+)/.exec(stat)?.[1]) === guard && Number(name) !== pid)
        process.kill(Number(name), 'SIGKILL');
    }
    process.kill(guard, 'SIGKILL');
    await kill(child, 'SIGKILL');
    t.ok(isRunning(pid), 'an orphan is there');

    const next = startChild(t, dataDir, password);
    t.match(await next.line(), { rows: 2 });
    t.notOk(isRunning(pid), 'and not any more');
  },
);

t.test(
  'a server that is killed is reported once, and the next start recovers what was committed',
  async (t) => {
    const dataDir = await testDir(t);
    const password = testPassword();
    const { child, line } = startChild(t, dataDir, password);
    await line();
    const cluster = join(dataDir, 'postgres', 'data');
    process.kill((await postmasterOf(cluster))?.pid ?? 0, 'SIGKILL');
    t.match(await line(), { lost: /^The embedded PostgreSQL ended: / });
    t.ok(existsSync(join(cluster, 'postmaster.pid')), 'its pid file is left behind');
    await kill(child, 'SIGKILL');

    const next = startChild(t, dataDir, password);
    t.match(await next.line(), { rows: 2 });
  },
);

t.test(
  'a pid file that names somebody else’s process by now does not hurt that process or the start',
  async (t) => {
    const dataDir = await testDir(t);
    const password = testPassword();
    const server = await startEmbeddedPostgres({ dataDir, password, log });
    const pidFile = join(dataDir, 'postgres', 'data', 'postmaster.pid');
    const lines = readFileSync(pidFile, 'utf8').split('\n');
    await server.stop();

    const stranger = spawn('sleep', ['600']);
    t.teardown(() => stranger.kill());
    writeFileSync(pidFile, [stranger.pid, ...lines.slice(1)].join('\n'));
    t.equal(await findEmbeddedPostgres(dataDir, password), undefined);
    const next = await startEmbeddedPostgres({ dataDir, password, log });
    t.teardown(() => next.stop());
    t.equal(stranger.exitCode, null);
    t.equal(stranger.signalCode, null);
  },
);

t.test('a second start on a folder in use is refused with the process that has it', async (t) => {
  const dataDir = await testDir(t);
  const password = testPassword();
  const { child, line } = startChild(t, dataDir, password);
  await line();
  await t.rejects(startEmbeddedPostgres({ dataDir, password, log, waitMs: 0 }), {
    code: 'unavailable',
    message: new RegExp(`in use by the test \\(process ${child.pid}\\): stop that one first`),
  });
  child.stdin?.write('stop\n');
  await once(child, 'exit');
  t.notOk(existsSync(join(dataDir, 'postgres.lock')));
});

t.test('a start that was killed while it made the server leaves nothing in the way', async (t) => {
  const dataDir = await testDir(t);
  const init = join(dataDir, 'postgres', 'init');
  mkdirSync(init, { recursive: true });
  writeFileSync(join(init, 'PG_VERSION'), 'half');
  const server = await startEmbeddedPostgres({ dataDir, password: testPassword(), log });
  t.teardown(() => server.stop());
  t.strictSame(readdirSync(join(dataDir, 'postgres')), ['data']);
});

t.test('data of another PostgreSQL version, and data that is none, are refused and left alone', async (t) => {
  const versions: [content: string | undefined, expected: RegExp][] = [
    ['9.6\n', /is of PostgreSQL 9\.6, and the embedded one is \d+/],
    [undefined, /is of PostgreSQL no version/],
  ];
  for (const [content, expected] of versions) {
    const dataDir = await testDir(t);
    const data = join(dataDir, 'postgres', 'data');
    mkdirSync(data, { recursive: true });
    writeFileSync(join(data, 'something'), 'x');
    if (content !== undefined) writeFileSync(join(data, 'PG_VERSION'), content);
    const before = readdirSync(data);
    await t.rejects(startEmbeddedPostgres({ dataDir, password: testPassword(), log }), { message: expected });
    t.strictSame(readdirSync(data), before);
    t.notOk(existsSync(join(dataDir, 'postgres.lock')), 'the folder is free again');
  }
});

t.test('a server that cannot start says why in one sentence', async (t) => {
  const dataDir = await testDir(t);
  const password = testPassword();
  const server = await startEmbeddedPostgres({ dataDir, password, log });
  await server.stop();
  const control = join(dataDir, 'postgres', 'data', 'global', 'pg_control');
  writeFileSync(control, Buffer.alloc(statSync(control).size));
  await t.rejects(startEmbeddedPostgres({ dataDir, password, log }), {
    code: 'unavailable',
    message: /^The embedded PostgreSQL does not start: .+ \(.*postgres\.log has more\)$/,
  });
});

t.test(
  'an ordinary user runs the server as himself',
  { skip: !isRoot && 'every other test did' },
  async (t) => {
    const dataDir = join(await testDir(t), 'data');
    chmodSync(join(dataDir, '..'), 0o711);
    mkdirSync(dataDir, { mode: 0o700 });
    chownSync(dataDir, NOBODY, NOBODY);
    const password = testPassword();
    const { child, line } = startChild(t, dataDir, password, NOBODY);
    t.match(await line(), { rows: 1, uid: NOBODY });
    const cluster = join(dataDir, 'postgres', 'data');
    t.equal(statSync(cluster).uid, NOBODY);
    const pid = (await postmasterOf(cluster))?.pid ?? 0;
    t.equal(statSync(`/proc/${pid}`).uid, NOBODY);
    await kill(child, 'SIGKILL');
    await gone(pid);

    const next = startChild(t, dataDir, password, NOBODY);
    t.match(await next.line(), { rows: 2 });
    next.child.stdin?.write('stop\n');
    await once(next.child, 'exit');

    const root = await startEmbeddedPostgres({ dataDir, password, log });
    t.teardown(() => root.stop());
    t.not(statSync(cluster).uid, NOBODY, 'root takes the data over for the user that it runs the server as');
  },
);

t.test(
  'a folder that this user may not write to is refused in words',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const dataDir = join(await testDir(t), 'data');
    const { line } = startChild(t, dataDir, testPassword(), NOBODY);
    t.match(await line(), {
      error: new RegExp(`^This user may not write to the data folder ${dataDir}: run as`),
    });
  },
);

t.test(
  'root runs the server as another user, in folders that this user may not enter',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const dataDir = await testDir(t);
    t.equal(statSync(dataDir).mode & 0o077, 0, 'the data folder is closed');
    const server = await startEmbeddedPostgres({ dataDir, password: testPassword(), log });
    t.teardown(() => server.stop());
    const pid = (await postmasterOf(join(dataDir, 'postgres', 'data')))?.pid ?? 0;
    const user = await findPostgresUser(log);
    t.equal(statSync(`/proc/${pid}`).uid, user?.uid);
    t.not(user?.uid, 0);
  },
);

t.test(
  'programs that the other user cannot reach are copied to where he can',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const dir = await testDir(t);
    const user = await findPostgresUser(log);
    const usual = await findBinaries(user);
    const nativeDir = join(dir, 'closed', 'native');
    cpSync(join(usual.postgres, '..', '..'), nativeDir, { recursive: true, verbatimSymlinks: true });
    const cacheDir = join(dir, 'cache');
    await t.rejects(findBinaries(user, { nativeDir, cacheDir }), {
      message: /does not run as the user .*ordinary user/,
    });

    chmodSync(dir, 0o711);
    chmodSync(join(dir, 'closed'), 0o700);
    const copied = await findBinaries(user, { nativeDir, cacheDir });
    t.match(copied.postgres, new RegExp(`^${cacheDir}/postgres-[0-9a-f]{16}/bin/postgres$`));
    t.equal(copied.major, usual.major);
    t.strictSame(await findBinaries(user, { nativeDir, cacheDir }), copied, 'once');
    t.equal(readdirSync(cacheDir).length, 1);

    chownSync(join(copied.postgres, '..', '..'), NOBODY, NOBODY);
    await t.rejects(
      findBinaries(user, { nativeDir, cacheDir }),
      { message: /is not root's alone/ },
      'a foreign copy is not run',
    );
  },
);
