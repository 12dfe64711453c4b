import type { BackendFactory, IQueueBackend } from 'bullmq';
import { createPostgresBackend, createRedisBackend } from 'bullmq';
import { QUEUE_NAMESPACE } from '#protocol';

/** Where the queue lives: on Redis when `redisUrl` is given, else beside everything else in PostgreSQL. */
export interface QueueSettings {
  databaseUrl: string;
  redisUrl?: string;
  /** PostgreSQL schema or Redis prefix; only tests give one of their own. */
  namespace?: string;
}

/** Everything that a BullMQ queue or worker needs beside its name. The connection is known to the factory alone. */
export interface QueueBackend {
  options: { connection: object; prefix: string };
  factory: BackendFactory<IQueueBackend, object>;
}

/** Connections of one queue or worker to PostgreSQL, beside the one that listens. */
const MAX_CONNECTIONS = 2;

/**
 * The backend for one class of queues. `durable: false` is for messages whose loss in a crash of the database server
 * is noticed anyway (heartbeats, commands, events): PostgreSQL then answers before its log is on disk, which saves
 * three flushes a message. Redis decides that in its own configuration.
 */
export function queueBackend(settings: QueueSettings, durable: boolean): QueueBackend {
  const namespace = settings.namespace ?? QUEUE_NAMESPACE;
  const options = { connection: {}, prefix: namespace };
  if (settings.redisUrl !== undefined) {
    const connection = { url: settings.redisUrl, maxRetriesPerRequest: null };
    return {
      options,
      factory: (name, opts, extra) => createRedisBackend(name, { ...opts, connection }, extra),
    };
  }
  const connection = {
    connectionString: settings.databaseUrl,
    schema: namespace,
    max: MAX_CONNECTIONS,
    idleTimeoutMillis: 0,
    keepAlive: true,
    options: durable ? '-c synchronous_commit=on' : '-c synchronous_commit=off',
  };
  return {
    options,
    factory: (name, opts, extra) => createPostgresBackend(name, { ...opts, connection }, extra),
  };
}

/** Creates or updates the queue's tables. The daemon does it once, before a recorder may connect; no-op on Redis. */
export async function migrateQueue(settings: QueueSettings): Promise<void> {
  if (settings.redisUrl !== undefined) return;
  const connection = {
    connectionString: settings.databaseUrl,
    schema: settings.namespace ?? QUEUE_NAMESPACE,
  };
  const backend = createPostgresBackend('migrate', { connection: { ...connection, max: 1, migrate: true } });
  try {
    await backend.waitUntilReady();
  } finally {
    await backend.close();
  }
}
