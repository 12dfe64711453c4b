import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Database } from './database.ts';
import { openDatabase } from './database.ts';
import { startEmbeddedPostgres } from './embedded.ts';
import type { Log } from './log.ts';

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

export function testPassword(): string {
  return randomBytes(32).toString('base64url');
}

const ignore = (): void => undefined;
export const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
