import { setTimeout as delay } from 'node:timers/promises';
import type { Config, Secrets } from '#config';
import { loadSecrets } from '#config';
import { VerbatimError } from '#protocol';
import type { Database, Log } from '../../core/db/index.ts';
import { findEmbeddedPostgres, openDatabase, startEmbeddedPostgres } from '../../core/db/index.ts';

/** A server that starts or stops at this moment has settled within this time. */
const SETTLE_MS = 15_000;
const POLL_MS = 200;

export interface OperatorDatabase extends Database {
  secrets: Secrets;
}

/**
 * The database that the daemon with these settings uses, for a command that runs beside it: the configured one, the
 * embedded one of a running daemon, or the embedded one started for the length of this command.
 */
export async function openOperatorDatabase(config: Config, log: Log): Promise<OperatorDatabase> {
  const secrets = loadSecrets(config.dataDir);
  const { url, stop } = await serverOf(config, secrets.postgresPassword, log);
  try {
    const database = await openDatabase({ url, log, poolSize: 1 });
    return {
      secrets,
      sql: database.sql,
      close: async () => {
        await database.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function serverOf(
  { dataDir, database }: Config,
  password: string,
  log: Log,
): Promise<{ url: string; stop: () => Promise<void> }> {
  if (database.url !== undefined) return { url: database.url, stop: async () => undefined };
  const deadline = Date.now() + SETTLE_MS;
  for (;;) {
    const url = await findEmbeddedPostgres(dataDir, password);
    if (url !== undefined) return { url, stop: async () => undefined };
    try {
      return await startEmbeddedPostgres({ dataDir, password, log, purpose: 'scripts/app', waitMs: 0 });
    } catch (error) {
      // Somebody has the folder but no server answers yet: a daemon that starts or stops.
      const inUse = error instanceof VerbatimError && error.message.includes('is in use by');
      if (!inUse || Date.now() > deadline) throw error;
      await delay(POLL_MS);
    }
  }
}
