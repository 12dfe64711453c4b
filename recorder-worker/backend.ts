import type { BackendFactory, IQueueBackend } from 'bullmq';
import { createPostgresBackend, createRedisBackend } from 'bullmq';
import { QUEUE_NAMESPACE } from '#protocol';

/** Where the queue lives; the same settings as the daemon's. */
export interface QueueSettings {
  databaseUrl: string;
  redisUrl?: string;
  /** PostgreSQL schema or Redis prefix; only tests give one of their own. */
  namespace?: string;
}

export interface QueueBackend {
  options: { connection: object; prefix: string };
  factory: BackendFactory<IQueueBackend, object>;
}

const MAX_CONNECTIONS = 2;

/**
 * The recorder's connection to the queue. It never changes the queue's tables (the daemon does), and never waits for
 * the database's disk: what is durable in a recorder is the journal, and a lost message is noticed by its silence.
 */
export function queueBackend(settings: QueueSettings): QueueBackend {
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
    options: '-c synchronous_commit=off',
  };
  return {
    options,
    factory: (name, opts, extra) => createPostgresBackend(name, { ...opts, connection }, extra),
  };
}
