import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildClient } from './client-build.ts';
import { Daemon, healthAt } from './daemon.ts';

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

/** A first start makes a whole database. */
const READY_TIMEOUT_MS = 60_000;

const root = resolve(import.meta.dirname, '../..');

/**
 * A server of its own on free ports, with a data folder of its own, the demo messenger and nothing shared with any
 * other server on this machine. @throws Error with the server's last words when it does not become ready
 */
export async function startTemporaryServer(options: TemporaryServerOptions = {}): Promise<TemporaryServer> {
  await buildClient(root, options.log ?? (() => {}));
  const dataDir = await mkdtemp(join(tmpdir(), 'verbatim-'));
  const logFile = join(dataDir, 'daemon.log');
  const env = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('VERBATIM_'))),
    ...(options.mediaWorker === undefined ? {} : { MEDIASOUP_WORKER_BIN: options.mediaWorker }),
    VERBATIM_DATA_DIR: dataDir,
    VERBATIM_MEDIA_BASE_PORT: '0',
    VERBATIM_MEDIA_WORKERS: '1',
    VERBATIM_DEMO_ENABLED: 'true',
    ...options.env,
  };

  const start = async (port: string): Promise<Daemon> => {
    const daemon = await Daemon.start({ root, env: { ...env, VERBATIM_LISTEN_PORT: port }, logFile });
    try {
      await daemon.untilReady(AbortSignal.timeout(READY_TIMEOUT_MS));
      return daemon;
    } catch (error) {
      await daemon.stop();
      const words = (await readFile(logFile, 'utf8').catch(() => '')).trim().split('\n').slice(-8).join('\n');
      throw new Error(`${error instanceof Error ? error.message : error} Its last words:\n${words}`, {
        cause: error,
      });
    }
  };

  // The ledger's signer remembers beside the data folder.
  const remove = async (): Promise<void> => {
    for (const folder of [dataDir, `${dataDir}.signer`]) await rm(folder, { recursive: true, force: true });
  };
  let daemon = await start('0').catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  const { url } = daemon;
  let closing: Promise<void> | undefined;
  return {
    url,
    dataDir,
    logFile,
    get process() {
      return daemon.process;
    },
    async restart() {
      // The same port, so that pages find their server again.
      daemon = await start(new URL(url).port);
    },
    kill() {
      return daemon.stop({ hard: true });
    },
    close({ keep = false } = {}) {
      closing ??= (async () => {
        await daemon.stop();
        if (!keep) await remove();
      })();
      return closing;
    },
  };
}

/** Whether calls can be placed on this server. */
export async function isReady(url: string): Promise<boolean> {
  const health = await healthAt(url);
  return health !== undefined && health.status !== 'failing';
}
