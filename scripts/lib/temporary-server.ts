import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { buildClient } from './client-build.ts';

/** A first start makes a whole database. */
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
/** Calls end, journals become durable, PostgreSQL shuts down. */
const STOP_TIMEOUT_MS = 20_000;

export interface TemporaryServer {
  /** `http://localhost:PORT`: a name for which browsers give pages the microphone without HTTPS. */
  url: string;
  dataDir: string;
  /** Everything that the server logged. */
  logFile: string;
  process: ChildProcess;
  /** Starts the same data folder again, after a `kill`. */
  restart(): Promise<void>;
  /** Kills the daemon without warning. */
  kill(): Promise<void>;
  /** Ends the server; its data folder goes too, unless it is to be kept. Does nothing the second time. */
  close(options?: { keep?: boolean }): Promise<void>;
}

export interface TemporaryServerOptions {
  /** The worker that media is carried by; `ensureMediaWorker` names one. */
  mediaWorker?: string;
  /** Settings by their names in the environment, such as `VERBATIM_CALL_GRACE_MS`. */
  env?: Readonly<Record<string, string>>;
  log?: (sentence: string) => void;
}

const root = resolve(import.meta.dirname, '../..');

/**
 * A server of its own on free ports, with a data folder of its own, the demo messenger and nothing shared with any
 * other server on this machine. @throws Error with the server's last words when it does not become ready
 */
export async function startTemporaryServer(options: TemporaryServerOptions = {}): Promise<TemporaryServer> {
  await buildClient(root, options.log ?? (() => {}));
  const dataDir = await mkdtemp(join(tmpdir(), 'verbatim-'));
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const logFile = join(dataDir, 'daemon.log');
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VERBATIM_'))),
    ...(options.mediaWorker === undefined ? {} : { MEDIASOUP_WORKER_BIN: options.mediaWorker }),
    VERBATIM_DATA_DIR: dataDir,
    VERBATIM_LISTEN_PORT: String(port),
    VERBATIM_MEDIA_BASE_PORT: '0',
    VERBATIM_MEDIA_WORKERS: '1',
    VERBATIM_DEMO_ENABLED: 'true',
    ...options.env,
  };

  let daemon = await startDaemon(env, url, logFile);
  let closing: Promise<void> | undefined;
  return {
    url,
    dataDir,
    logFile,
    get process() {
      return daemon;
    },
    async restart() {
      daemon = await startDaemon(env, url, logFile);
    },
    async kill() {
      daemon.kill('SIGKILL');
      await exited(daemon);
    },
    close({ keep = false } = {}) {
      closing ??= (async () => {
        await stopDaemon(daemon);
        if (!keep) await rm(dataDir, { recursive: true, force: true });
      })();
      return closing;
    },
  };
}

async function startDaemon(env: NodeJS.ProcessEnv, url: string, logFile: string): Promise<ChildProcess> {
  const daemon = spawn(process.execPath, ['core/main.ts'], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
  daemon.stdout?.pipe(log, { end: false });
  daemon.stderr?.pipe(log, { end: false });
  daemon.once('close', () => log.end());
  const ended = exited(daemon).then(() => 'ended' as const);
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (await isReady(url)) return daemon;
    if ((await Promise.race([ended, delay(POLL_MS)])) === 'ended') break;
  }
  await stopDaemon(daemon);
  const words = (await readFile(logFile, 'utf8').catch(() => '')).trim().split('\n').slice(-8).join('\n');
  throw new Error(`The server did not become ready; its last words:\n${words}`);
}

/** Whether calls can be placed on this server. */
export async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/v1/health/ready`, { signal: AbortSignal.timeout(2_000) });
    return answer.ok;
  } catch {
    return false;
  }
}

async function stopDaemon(daemon: ChildProcess): Promise<void> {
  daemon.kill('SIGTERM');
  const late = setTimeout(() => daemon.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await exited(daemon);
  clearTimeout(late);
}

/** Resolves when the process is gone, also when it was gone before. */
function exited(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return Promise.resolve();
  return new Promise((done) => daemon.once('exit', () => done()));
}

/** A TCP port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(0, '127.0.0.1', done);
  });
  const address = server.address();
  await new Promise<void>((done) => server.close(() => done()));
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.');
  return address.port;
}
