import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import type { Sql } from './database.ts';
import { connect, openDatabase } from './database.ts';
import { silentLog as log, testPostgres } from './fixture.ts';
import { migrate, readMigrations } from './migrate.ts';

const url = await testPostgres(t);

/** An empty schema, and a pool that closes with the test. */
async function emptySchema(t: Test): Promise<Sql> {
  const sql = connect(url, { log, poolSize: 2 });
  t.teardown(() => sql.end());
  await sql`drop schema public cascade`;
  await sql`create schema public`;
  return sql;
}

function migrationsDir(t: Test, files: Record<string, string>): string {
  const dir = join(t.testdir({}), 'migrations');
  mkdirSync(dir);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return dir;
}

const tablesOf = async (sql: Sql): Promise<string[]> =>
  (
    await sql<
      { name: string }[]
    >`select tablename as name from pg_tables where schemaname = 'public' order by 1`
  ).map(({ name }) => name);

t.test(
  'the project’s own migrations apply to an empty database, and a second start changes nothing',
  async (t) => {
    const sql = await emptySchema(t);
    const first = await openDatabase({ url, log });
    await first.close();
    const applied = await sql`select version, name, applied_at from schema_migrations order by version`;
    t.equal(applied.length, (await readMigrations()).length);
    t.ok((await tablesOf(sql)).includes('recordings'));

    const second = await openDatabase({ url, log });
    await second.close();
    t.strictSame(
      await sql`select version, name, applied_at from schema_migrations order by version`,
      applied,
    );
  },
);

t.test('processes that migrate at the same time apply each migration once', async (t) => {
  const sql = await emptySchema(t);
  // Not repeatable on purpose: a second application would fail.
  const dir = migrationsDir(t, {
    '0001_a.sql': 'create table a (n integer); insert into a values (1); select pg_sleep(0.2);',
    '0002_b.sql': 'create table b (n integer); insert into a values (2);',
  });
  const code = `
    const { connect } = await import(${JSON.stringify(join(import.meta.dirname, 'database.ts'))});
    const { migrate } = await import(${JSON.stringify(join(import.meta.dirname, 'migrate.ts'))});
    const { silentLog: log } = await import(${JSON.stringify(join(import.meta.dirname, 'fixture.ts'))});
    const sql = connect(process.env.DATABASE, { log, poolSize: 1 });
    await migrate(sql, { log, dir: ${JSON.stringify(dir)} });
    await sql.end();`;
  const exits = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
        env: { ...process.env, DATABASE: url },
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      return new Promise((resolve) => child.on('exit', resolve));
    }),
  );
  t.strictSame(exits, [0, 0, 0]);
  t.strictSame([...(await sql`select n from a order by n`)], [{ n: 1 }, { n: 2 }]);
});

t.test('a migration that fails leaves nothing of itself behind, and those before it stay', async (t) => {
  const sql = await emptySchema(t);
  const dir = migrationsDir(t, {
    '0001_a.sql': 'create table a (n integer);',
    '0002_b.sql': 'create table b (n integer); select 1 / 0;',
  });
  await t.rejects(migrate(sql, { log, dir }), { message: /division by zero/ });
  t.strictSame(await tablesOf(sql), ['a', 'schema_migrations']);
  t.strictSame([...(await sql`select version from schema_migrations`)], [{ version: 1 }]);
});

t.test(
  'a schema newer than this program, or made by other files, is refused with one clear sentence',
  async (t) => {
    const sql = await emptySchema(t);
    const both = { '0001_a.sql': 'create table a (n integer);', '0002_b.sql': 'create table b (n integer);' };
    await migrate(sql, { log, dir: migrationsDir(t, both) });

    const older = migrationsDir(t, { '0001_a.sql': both['0001_a.sql'] });
    await t.rejects(migrate(sql, { log, dir: older }), {
      code: 'unavailable',
      message: /schema version 2, and this Verbatim knows versions up to 1: start the newer Verbatim/,
    });
    const changed = migrationsDir(t, { ...both, '0002_b.sql': 'create table b (n bigint);' });
    await t.rejects(migrate(sql, { log, dir: changed }), {
      code: 'unavailable',
      message: /another migration 2 \("b"\)/,
    });
    t.strictSame(await tablesOf(sql), ['a', 'b', 'schema_migrations'], 'and left alone');
  },
);

t.test('migration files with a hole, a double number or another name are refused', async (t) => {
  for (const files of [
    ['0002_a.sql'],
    ['0001_a.sql', '0001_b.sql'],
    ['0001_a.sql', '0003_c.sql'],
    ['first.sql'],
  ]) {
    const dir = migrationsDir(t, Object.fromEntries(files.map((name) => [name, ''])));
    await t.rejects(
      readMigrations(dir),
      { message: /^Expected 000\d_name\.sql in .*, found / },
      files.join(),
    );
  }
});

t.test('a database that cannot be used is named in one sentence, without the password', async (t) => {
  const closed = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0));
    });
  });
  const variant = (change: Partial<URL>): string => Object.assign(new URL(url), change).href;
  const cases: [name: string, url: string, expected: RegExp][] = [
    [
      'nothing listens',
      variant({ port: String(closed) }),
      /^Nothing answers for PostgreSQL at 127\.0\.0\.1:\d+\/verb/,
    ],
    [
      'wrong password',
      variant({ password: 'hunter2' }),
      /refused the password of "verbatim": correct database\.url/,
    ],
    [
      'the superuser, too',
      variant({ username: 'postgres', password: 'hunter2' }),
      /refused the user "postgres"/,
    ],
    ['another database', variant({ pathname: '/template1' }), /refused the user "verbatim"/],
    [
      'unknown host',
      variant({ hostname: 'no-such-host.invalid' }),
      /The host of PostgreSQL at no-such-host\.invalid/,
    ],
  ];
  for (const [name, url, expected] of cases) {
    const error = await openDatabase({ url, log }).then(
      () => undefined,
      (error: unknown) => error,
    );
    t.match(error, { code: 'unavailable', message: expected }, name);
    t.notMatch(String(error), new RegExp(`hunter2|${new URL(url).password}`), `${name}: no password`);
  }
});

t.test('columns arrive as the types that the queries declare', async (t) => {
  const sql = await emptySchema(t);
  const [row] = await sql`
    select 9007199254740991::bigint as big, '2026-01-02T03:04:05Z'::timestamptz as at, '{"a": [1]}'::jsonb as json,
      '\\x00ff'::bytea as bytes, array['a','b'] as list, null as nothing`;
  t.strictSame(
    { ...row },
    {
      big: 9_007_199_254_740_991,
      at: new Date('2026-01-02T03:04:05Z'),
      json: { a: [1] },
      bytes: Buffer.of(0, 255),
      list: ['a', 'b'],
      nothing: null,
    },
  );
  await t.rejects(sql`select 9007199254740993::bigint`, { message: /does not fit a number/ });
  t.strictSame([...(await sql`select ${2 ** 40}::bigint + 1 as n`)], [{ n: 2 ** 40 + 1 }]);
});

t.test('close is idempotent, and queries after it are refused', async (t) => {
  await emptySchema(t);
  const database = await openDatabase({ url, log });
  await Promise.all([database.close(), database.close()]);
  await database.close();
  await t.rejects(database.sql`select 1`, { code: 'CONNECTION_ENDED' });
});
