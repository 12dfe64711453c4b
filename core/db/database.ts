import postgres from 'postgres';
import { VerbatimError } from '#protocol';
import type { Log } from './log.ts';
import { migrate } from './migrate.ts';
import type { Sql } from './sql.ts';

export type { Queryable, Sql, TransactionSql } from './sql.ts';

export interface Database {
  readonly sql: Sql;
  /** Waits for running queries (5 s at most), then closes every connection. Idempotent. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  url: string;
  log: Log;
  /** Connections at most. */
  poolSize?: number;
}

const APPLICATION_NAME = 'verbatim';
const DEFAULT_POOL_SIZE = 10;
const CONNECT_TIMEOUT_S = 10;
const CLOSE_TIMEOUT_S = 5;
/** No query of ours takes this long; one that does is stuck. Migrations lift it. */
const STATEMENT_TIMEOUT_MS = 30_000;

/**
 * Connects and brings the schema up to date; several processes may do so at once.
 * Throws VerbatimError `unavailable` with a sentence for the operator.
 */
export async function openDatabase({ url, log, poolSize }: DatabaseOptions): Promise<Database> {
  const sql = connect(url, { log, poolSize: poolSize ?? DEFAULT_POOL_SIZE });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= sql.end({ timeout: CLOSE_TIMEOUT_S });
    return closing;
  };
  try {
    await migrate(sql, { log });
  } catch (error) {
    await close();
    throw error instanceof VerbatimError ? error : connectionErrorOf(error, url);
  }
  return { sql, close };
}

/** The connections of this database's servers by what they do: `active`, `idle`, `idle in transaction`. */
export async function connectionStates(db: Database): Promise<{ state: string; count: number }[]> {
  return db.sql<{ state: string; count: number }[]>`
    select coalesce(state, 'other') as state, count(*) as count from pg_stat_activity
    where datname = current_database() and application_name = ${APPLICATION_NAME} group by 1`;
}

/** The bare pool, without migrations. Times come as Date, `jsonb` as parsed JSON, `bytea` as Buffer. */
export function connect(url: string, { log, poolSize }: { log: Log; poolSize: number }): Sql {
  return postgres<{ bigint: postgres.PostgresType<number> }>(url, {
    max: poolSize,
    connect_timeout: CONNECT_TIMEOUT_S,
    onnotice: (notice) => log.debug({ notice: notice.message }, 'PostgreSQL says'),
    connection: {
      application_name: APPLICATION_NAME,
      TimeZone: 'UTC',
      statement_timeout: STATEMENT_TIMEOUT_MS,
    },
    types: {
      bigint: {
        to: 20,
        from: [20],
        serialize: (value: number) => String(value),
        parse: (text: string) => {
          const value = Number(text);
          if (!Number.isSafeInteger(value)) throw new RangeError(`The bigint ${text} does not fit a number.`);
          return value;
        },
      },
    },
  });
}

/** Turns what a driver or server says at the first connection into a sentence that names the remedy. */
export function connectionErrorOf(error: unknown, url: string): VerbatimError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const target = URL.parse(url);
  // Never the URL itself: it holds the password.
  const where = target === null ? 'the database' : `PostgreSQL at ${target.host}${target.pathname}`;
  const name = target === null ? '' : decodeURIComponent(target.pathname.slice(1));
  const user = target === null ? '' : decodeURIComponent(target.username);
  const sentence =
    {
      ECONNREFUSED: `Nothing answers for ${where}: start it, or correct database.url.`,
      ENOTFOUND: `The host of ${where} is not known: correct database.url.`,
      CONNECT_TIMEOUT: `${where} did not answer within ${CONNECT_TIMEOUT_S} s: check the network, or correct database.url.`,
      '28P01': `${where} refused the password of "${user}": correct database.url.`,
      '28000': `${where} refused the user "${user}": correct database.url or its pg_hba.conf.`,
      '3D000': `${where} has no database "${name}": create it, or correct database.url.`,
      '53300': `${where} has no free connection: raise its max_connections, or lower database.poolSize.`,
      '42501': `The user "${user}" may not create tables in ${where}: make it the owner of the database.`,
    }[code] ?? `${where} cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  return new VerbatimError('unavailable', sentence, { cause: error });
}
