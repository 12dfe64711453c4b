import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { VerbatimError } from '#protocol';
import { HERE, POSTGRES_ENV } from './embedded-init.ts';
import { postmasterOf } from './embedded-leftovers.ts';
import type { Log } from './log.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import type { PostgresUser } from './postgres-user.ts';

/** Where PostgreSQL writes its log, and from where on it is this run's. */
export interface LogFile {
  handle: FileHandle;
  path: string;
  offset: number;
}

export interface PostmasterOptions {
  cluster: string;
  binaries: PostgresBinaries;
  user: PostgresUser | undefined;
  logFile: LogFile;
  log: Log;
}

/** Recovery after a crash may take a while; a server that lives is given this long. */
const READY_TIMEOUT_MS = 300_000;
const STILL_STARTING_MS = 5_000;
const STOP_TIMEOUT_MS = 30_000;
const HARD_STOP_MS = 5_000;
const POLL_MS = 10;
/** A free port may be taken by somebody between our look and PostgreSQL's. */
const PORT_ATTEMPTS = 5;
const LAST_WORDS_BYTES = 4_096;

/**
 * The guard: starts the server, and asks it to shut down when the pipe from us closes. We close it to stop; the
 * kernel closes it if we are killed. So the server never outlives us, and Ctrl-C, which goes to our process group,
 * does not reach it before we are done with it.
 */
const GUARD = `
"$@" </dev/null 3<&- &
server=$!
( read -r _; kill -INT "$server" ) <&3 &
watcher=$!
exec 3<&-
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`;

/** One run of the server. */
export class Postmaster {
  readonly port: number;
  /** Resolves when the server has ended, with the last thing that it said. */
  readonly ended: Promise<string>;
  readonly #guard: ChildProcess;
  readonly #cluster: string;
  readonly #log: Log;

  private constructor(port: number, guard: ChildProcess, ended: Promise<string>, options: PostmasterOptions) {
    this.port = port;
    this.ended = ended;
    this.#guard = guard;
    this.#cluster = options.cluster;
    this.#log = options.log;
  }

  /** Answers when the server takes connections. */
  static async start(options: PostmasterOptions): Promise<Postmaster> {
    for (let attempt = 1; ; attempt++) {
      const port = await freePort();
      const postmaster = Postmaster.#spawn(port, options);
      const failure = await postmaster.#untilReady();
      if (failure === undefined) return postmaster;
      if (/could not bind|could not create any TCP\/IP sockets/.test(failure) && attempt < PORT_ATTEMPTS)
        continue;
      if (/No space left on device/.test(failure)) {
        throw Object.assign(new Error(failure), { code: 'ENOSPC' });
      }
      throw new VerbatimError(
        'unavailable',
        `The embedded PostgreSQL does not start: ${failure} (${options.logFile.path} has more)`,
      );
    }
  }

  /** Asks for a fast shutdown and waits for it; past 30 s it is ended hard, which costs a recovery and no data. */
  async stop(): Promise<void> {
    this.#guard.stdio[3]?.destroy();
    const stopped = await Promise.race([this.ended, delay(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    if (stopped !== undefined) return;
    const postmaster = await postmasterOf(this.#cluster);
    this.#log.warn({ pid: postmaster?.pid }, 'The embedded PostgreSQL does not shut down, ending it hard');
    if (postmaster !== undefined) process.kill(postmaster.pid, 'SIGQUIT');
    await Promise.race([this.ended, delay(HARD_STOP_MS, undefined, { ref: false })]);
  }

  static #spawn(port: number, options: PostmasterOptions): Postmaster {
    const { cluster, binaries, user, logFile } = options;
    const { fd } = logFile.handle;
    const guard = spawn(
      '/bin/sh',
      ['-c', GUARD, 'verbatim-postgres', binaries.postgres, ...serverArguments(port)],
      {
        cwd: cluster,
        env: POSTGRES_ENV,
        stdio: ['ignore', fd, fd, 'pipe'],
        detached: true,
        ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
      },
    );
    guard.stdio[3]?.on('error', () => undefined); // It only ever ends; a reset is an end, too.
    const ended = new Promise<string>((resolve) => {
      guard.on('error', (error) => resolve(error.message));
      guard.on('exit', () => resolve(lastWords(logFile)));
    });
    return new Postmaster(port, guard, ended, options);
  }

  /** Undefined when ready, otherwise what the server said before it ended. */
  async #untilReady(): Promise<string | undefined> {
    const deadline = Date.now() + READY_TIMEOUT_MS;
    let lastWords: string | undefined;
    this.ended.then((words) => {
      lastWords = words;
    });
    let toldAt = Date.now();
    while (lastWords === undefined) {
      const state = await postmasterOf(this.#cluster);
      if (state?.ready && state.port === this.port) return undefined;
      if (Date.now() > deadline) {
        await this.stop();
        return `it is not ready after ${READY_TIMEOUT_MS / 1_000} s.`;
      }
      if (Date.now() - toldAt > STILL_STARTING_MS) {
        toldAt = Date.now();
        this.#log.info({}, 'The embedded PostgreSQL is still starting, probably recovering from a crash');
      }
      await delay(POLL_MS);
    }
    return lastWords;
  }
}

/** Durability is never traded for speed here: fsync, synchronous commit and full pages stay on whatever the file says. */
function serverArguments(port: number): string[] {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    password_encryption: 'scram-sha-256',
    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',
    max_connections: '100',
    shared_buffers: '64MB',
    max_wal_size: '256MB',
    // Small queries only: neither helper processes nor compilation pay.
    io_method: 'sync',
    max_parallel_workers_per_gather: '0',
    max_logical_replication_workers: '0',
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_min_messages: 'warning',
    // A failing statement may carry content: the caller logs the error, the server does not log the statement.
    log_min_error_statement: 'panic',
    cluster_name: 'verbatim',
  };
  return ['-D', HERE, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === 'object') resolve(address.port);
        else reject(new Error('A TCP server has no port.'));
      });
    });
  });
}

/** The last error of this run in the log, or its last line. */
async function lastWords({ path, offset }: LogFile): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return 'its log is gone.';
  try {
    const { size } = await file.stat();
    const from = Math.max(offset, size - LAST_WORDS_BYTES);
    const bytes = Buffer.alloc(Math.max(0, size - from));
    await file.read(bytes, 0, bytes.length, from);
    const lines = bytes
      .toString('utf8')
      .split('\n')
      .filter((line) => line.trim() !== '');
    const words = lines.findLast((line) => /\b(FATAL|PANIC):/.test(line)) ?? lines.at(-1);
    return words?.replace(/^.*?\b(FATAL|PANIC|LOG|ERROR): +/, '') ?? 'it said nothing.';
  } finally {
    await file.close();
  }
}
