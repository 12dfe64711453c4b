import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Database } from './database.ts';
import { connect, openDatabase } from './database.ts';
import { EMBEDDED_NAME, startEmbeddedPostgres } from './embedded.ts';
import { createCluster, HERE, POSTGRES_ENV } from './embedded-init.ts';
import type { Log } from './log.ts';
import { findBinaries } from './postgres-binaries.ts';
import { findPostgresUser, giveTo } from './postgres-user.ts';

/** For tests: a folder that goes after all other teardowns; t.testdir() goes before them, under a running server. */
export async function testDir(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-test-'));
  // A server that was killed with its process may still be writing its last files.
  t.teardown(() => rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  return dir;
}

/** For tests: a real PostgreSQL in a folder of its own, gone when the test ends. About 0.7 s. */
export async function testPostgres(t: Test): Promise<string> {
  const postgres = await startEmbeddedPostgres({
    dataDir: await testDir(t),
    password: testPassword(),
    log: silentLog,
    onLost: (sentence) => t.fail(sentence),
  });
  t.teardown(() => postgres.stop());
  return postgres.url;
}

/** For tests: the same with the schema applied, connected. */
export async function testDatabase(t: Test): Promise<Database & { url: string }> {
  const url = await testPostgres(t);
  const database = await openDatabase({ url, log: silentLog });
  // tap runs teardowns in reverse order: the connections close before the server stops.
  t.teardown(() => database.close());
  return { ...database, url };
}

/**
 * For tests: one real PostgreSQL, gone when the test ends, and in it as many databases as are asked for, each a copy of
 * one with the schema applied (and with what `prepare` does to that one). A copy takes a tenth of a server's start.
 */
export async function testDatabases(
  t: Test,
  prepare: (url: string) => Promise<void> = async () => undefined,
): Promise<() => Promise<string>> {
  const dataDir = await testDir(t);
  const password = testPassword();
  await createRoomyCluster(dataDir, password);
  const postgres = await startEmbeddedPostgres({ dataDir, password, log: silentLog, onLost: t.fail });
  t.teardown(() => postgres.stop());
  const template = await openDatabase({ url: postgres.url, log: silentLog });
  await template.close();
  await prepare(postgres.url);
  const addressOf = (name: string): string => {
    const url = new URL(postgres.url);
    url.pathname = `/${name}`;
    return url.href;
  };
  // A database that is copied may have no connection to it.
  const maker = connect(addressOf(MAKER), { log: silentLog, poolSize: 1 });
  t.teardown(() => maker.end({ timeout: 1 }));
  let count = 0;
  let last: Promise<unknown> = Promise.resolve();
  return async () => {
    count += 1;
    const name = `copy_${count}`;
    const made = last.then(() => maker.unsafe(`create database ${name} template ${EMBEDDED_NAME}`));
    last = made;
    await made;
    return addressOf(name);
  };
}

/** The database from which `testDatabases` makes the others. */
const MAKER = 'maker';

/** A cluster whose role may make databases and enter all of them; the one of the product may not. */
async function createRoomyCluster(dataDir: string, password: string): Promise<void> {
  const home = join(dataDir, 'postgres');
  const cluster = join(home, 'data');
  const user = await findPostgresUser(silentLog);
  const binaries = await findBinaries(user);
  await mkdir(home, { recursive: true, mode: 0o700 });
  if (user !== undefined) await giveTo(user, home);
  await createCluster({ home, binaries, user, name: EMBEDDED_NAME, password, log: silentLog });
  const who = user === undefined ? {} : { uid: user.uid, gid: user.gid };
  execFileSync(binaries.postgres, ['--single', '-D', HERE, 'postgres'], {
    cwd: cluster,
    env: POSTGRES_ENV,
    input: `alter role ${EMBEDDED_NAME} createdb\ncreate database ${MAKER} owner ${EMBEDDED_NAME}\n`,
    stdio: ['pipe', 'ignore', 'ignore'],
    ...who,
  });
  await appendFile(
    join(cluster, 'pg_hba.conf'),
    `host    all  ${EMBEDDED_NAME}  127.0.0.1/32  scram-sha-256\n`,
  );
}

export function testPassword(): string {
  return randomBytes(32).toString('base64url');
}

const ignore = (): void => undefined;
export const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
