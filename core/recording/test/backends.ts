import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startEmbeddedPostgres } from '../../db/index.ts';
import type { QueueSettings } from '../backend.ts';

export interface Servers {
  databaseUrl: string;
  /** The queue on either backend; the tests of the queue run on both. */
  queues: Record<'postgresql' | 'redis', QueueSettings>;
  stop(): Promise<void>;
}

export const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** A PostgreSQL and a Redis of their own, on free loopback ports, gone without a trace afterwards. */
export async function startServers(): Promise<Servers> {
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-queue-'));
  const postgres = await startEmbeddedPostgres({ dataDir: dir, password: 'p'.repeat(43), log: silent });
  const redis = await startRedis(dir);
  const queues = {
    postgresql: { databaseUrl: postgres.url },
    redis: { databaseUrl: postgres.url, redisUrl: redis.url },
  };
  return {
    databaseUrl: postgres.url,
    queues,
    stop: async () => {
      await redis.stop();
      await postgres.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function startRedis(dir: string): Promise<{ url: string; stop(): Promise<void> }> {
  const port = await freePort();
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    dir,
    '--save',
    '',
    '--appendonly',
    'no',
  ];
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(server, 'exit');
  for await (const line of createInterface({ input: server.stdout }))
    if (line.includes('Ready to accept connections')) break;
  // Nobody reads on: a full pipe would stop the server.
  server.stdout.resume();
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: async () => {
      server.kill('SIGTERM');
      await exited;
    },
  };
}

/** Redis cannot choose a port by itself. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
