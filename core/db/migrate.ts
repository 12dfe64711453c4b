import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VerbatimError } from '#protocol';
import type { Log } from './log.ts';
import type { Queryable, Sql, TransactionSql } from './sql.ts';

/** One numbered file of `migrations/`. Once released it never changes; a change is a new file. */
export interface Migration {
  version: number;
  name: string;
  text: string;
  /** SHA-256 of the text, hex. */
  sha256: string;
}

const MIGRATIONS_DIR = join(import.meta.dirname, 'migrations');
/** Key of the advisory lock under which schemas change, "vrbt" in ASCII. */
const LOCK_KEY = 0x76726274;
/** So long one process waits while another one migrates. */
const LOCK_TIMEOUT_MS = 120_000;

/**
 * Applies what is missing, in order, each migration in a transaction of its own that holds the advisory lock:
 * of several processes one applies and the others find it applied. A crash leaves whole migrations only.
 * Refuses (VerbatimError `unavailable`) a schema that is newer than the files, or made by other files.
 */
export async function migrate(sql: Sql, { log, dir }: { log: Log; dir?: string }): Promise<void> {
  const migrations = await readMigrations(dir ?? MIGRATIONS_DIR);
  const [table] = await sql<
    { exists: boolean }[]
  >`select to_regclass('schema_migrations') is not null as exists`;
  const pending = table?.exists ? pendingOf(migrations, await appliedIn(sql)) : migrations;
  for (const migration of pending) {
    await sql.begin(async (tx) => {
      await lockSchema(tx);
      if (pendingOf(migrations, await appliedIn(tx)).includes(migration)) await apply(tx, migration, log);
    });
  }
}

async function apply(
  tx: TransactionSql,
  { version, name, text, sha256 }: Migration,
  log: Log,
): Promise<void> {
  log.info({ version, name }, 'Applying a database migration');
  await tx.unsafe(text).simple();
  await tx`insert into schema_migrations (version, name, sha256) values (${version}, ${name}, ${sha256})`;
}

async function lockSchema(tx: TransactionSql): Promise<void> {
  await tx.unsafe(`set local statement_timeout = 0; set local lock_timeout = ${LOCK_TIMEOUT_MS}`).simple();
  await tx`select pg_advisory_xact_lock(${LOCK_KEY})`;
  await tx`
    create table if not exists schema_migrations (
      version integer primary key,
      name text not null,
      sha256 text not null,
      applied_at timestamptz not null default now()
    )`;
}

type Applied = Pick<Migration, 'version' | 'name' | 'sha256'>;

function appliedIn(sql: Queryable): Promise<Applied[]> {
  return sql<Applied[]>`select version, name, sha256 from schema_migrations order by version`;
}

function pendingOf(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const newest = migrations.at(-1)?.version ?? 0;
  const newestApplied = applied.at(-1)?.version ?? 0;
  if (newestApplied > newest) {
    throw new VerbatimError(
      'unavailable',
      `The database has schema version ${newestApplied}, and this Verbatim knows versions up to ${newest}: start the newer Verbatim that made it, or restore the backup from before the upgrade.`,
    );
  }
  for (const row of applied) {
    const migration = migrations.find(({ version }) => version === row.version);
    if (migration?.sha256 !== row.sha256) {
      throw new VerbatimError(
        'unavailable',
        `The database was made with another migration ${row.version} ("${row.name}") than this Verbatim has: use the Verbatim that made it, or another database.`,
      );
    }
  }
  return migrations.filter(({ version }) => !applied.some((row) => row.version === version));
}

/** Reads `NNNN_name.sql` files; the numbers must run from 1 without a hole. */
export async function readMigrations(dir: string = MIGRATIONS_DIR): Promise<Migration[]> {
  const files = (await readdir(dir)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file, index) => {
      const [, number, name] = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file) ?? [];
      if (number === undefined || name === undefined || Number(number) !== index + 1) {
        throw new Error(`Expected ${String(index + 1).padStart(4, '0')}_name.sql in ${dir}, found ${file}.`);
      }
      const text = await readFile(join(dir, file), 'utf8');
      return { version: index + 1, name, text, sha256: createHash('sha256').update(text).digest('hex') };
    }),
  );
}
