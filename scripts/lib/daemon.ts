import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Value } from 'typebox/value';
import { Health } from '#protocol';
import { OperatorError } from './operator-error.ts';

/** A first start makes a database; a start after a crash recovers journals. */
const READY_TIMEOUT_MS = 180_000;
/** The recorder reports a moment after the server listens; one that does not is told and not waited for. */
const DEGRADED_AFTER_MS = 30_000;
/** Health checks that get well by themselves at a start. What else does not work needs somebody, and is told at once. */
const COMING = ['recorder'];
const HEALTH_TIMEOUT_MS = 5_000;
const POLL_MS = 50;
/** Calls are ended, journals become durable, PostgreSQL shuts down. */
const STOP_TIMEOUT_MS = 40_000;
const LOG_LIMIT_BYTES = 50 * 1024 * 1024;
const KEPT_CHARACTERS = 16_384;

export interface DaemonOptions {
  root: string;
  env: NodeJS.ProcessEnv;
  /** Where the daemon answers; its port counts once the daemon has said which it got. http://localhost if not given. */
  url?: string;
  logFile: string;
}

/** The daemon as a child that is ended with us. */
export class Daemon {
  readonly logFile: string;
  /** Resolves when the process is gone, with the last thing it said that a person can use. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  /** Undefined until the daemon listens. */
  #url: string | undefined;
  #stopping: Promise<void> | undefined;
  #said = '';
  /** The daemon's own sentence about why it cannot start. */
  #failure: string | undefined;

  private constructor(child: ChildProcess, { logFile }: DaemonOptions) {
    this.#child = child;
    this.logFile = logFile;
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', (code, signal) =>
        resolve(this.#failure ?? lastSentence(this.#said) ?? `it ended with ${signal ?? code}.`),
      );
    });
  }

  /** Starts it; `untilReady` tells when it can be used. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const log = await openLog(options.logFile);
    try {
      const child = spawn(process.execPath, ['core/main.ts'], {
        cwd: options.root,
        env: options.env,
        // The channel is how the daemon notices that we are gone. Its log goes straight to the file.
        stdio: ['ignore', log.fd, 'pipe', 'ipc'],
        // A process group of its own: Ctrl-C reaches us alone, and we end it in order.
        detached: true,
      });
      const daemon = new Daemon(child, options);
      child.stderr?.on('data', (chunk: Buffer) => {
        daemon.#said = (daemon.#said + chunk.toString('utf8')).slice(-KEPT_CHARACTERS);
      });
      child.on('message', (message) => {
        const { type, sentence, url }: Record<string, unknown> = Object(message);
        if (type === 'failed' && typeof sentence === 'string') daemon.#failure = sentence;
        if (type === 'listening' && typeof url === 'string') daemon.#url = withPortOf(url, options.url);
      });
      return daemon;
    } finally {
      await log.close();
    }
  }

  /** Known once it listens. */
  get url(): string {
    if (this.#url === undefined) throw new Error('the daemon does not listen yet');
    return this.#url;
  }

  get process(): ChildProcess {
    return this.#child;
  }

  /**
   * Answers what does not work, usually nothing: a part that voice calls can do without gets a moment, not for ever.
   * @throws OperatorError with the daemon's own sentence when it ends or does not become ready
   */
  async untilReady(signal: AbortSignal): Promise<string[]> {
    const startedAt = Date.now();
    let words: string | undefined;
    /** On a busy machine the server itself takes its time; the recorder's moment begins when it answers. */
    let answeredAtMs: number | undefined;
    this.ended.then((sentence) => {
      words = sentence;
    });
    for (;;) {
      const health = this.#url === undefined ? undefined : await healthAt(this.#url);
      signal.throwIfAborted();
      if (words !== undefined) throw new OperatorError(`Verbatim did not start: ${words}`);
      const elapsedMs = Date.now() - startedAt;
      if (health?.status === 'ok') return [];
      if (health?.status === 'degraded') {
        const coming = Object.entries(health.checks).some(([name, { ok }]) => !ok && COMING.includes(name));
        answeredAtMs ??= elapsedMs;
        if (!coming || elapsedMs - answeredAtMs > DEGRADED_AFTER_MS) return faultsOf(health);
      }
      if (elapsedMs > READY_TIMEOUT_MS) {
        const why = health === undefined ? '' : ` (${faultsOf(health).join('; ')})`;
        throw new OperatorError(
          `Verbatim did not become ready within ${READY_TIMEOUT_MS / 1_000} s${why}: see ${this.logFile}.`,
        );
      }
      await delay(POLL_MS);
    }
  }

  /** Ends it in order; hard after 40 s, or at once when `hard`. Resolves when it is gone. */
  stop({ hard = false } = {}): Promise<void> {
    if (hard) this.#child.kill('SIGKILL');
    this.#stopping ??= (async () => {
      this.#child.kill('SIGTERM');
      const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await this.ended;
      clearTimeout(late);
    })();
    return this.#stopping;
  }
}

/** The name, not the address: browsers give pages of `localhost` the microphone without HTTPS. */
function withPortOf(heard: string, url = 'http://localhost'): string {
  return Object.assign(new URL(url), { port: new URL(heard).port }).origin;
}

/** What the server says about itself; undefined when nobody answers there, or somebody else. */
export async function healthAt(url: string): Promise<Health | undefined> {
  try {
    const body: unknown = JSON.parse(await get(`${url}/v1/health`));
    return Value.Check(Health, body) ? body : undefined;
  } catch {
    // Nobody listens, or what listens does not speak like this.
    return undefined;
  }
}

/** A certificate is for the public name and not for this machine's: whom we ask here is told by the port alone. */
function get(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = url.startsWith('https:') ? httpsRequest : httpRequest;
    const asked = request(
      url,
      { rejectUnauthorized: false, timeout: HEALTH_TIMEOUT_MS, agent: false },
      (answer) => {
        text(answer).then(resolve, reject);
      },
    );
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.on('error', reject);
    asked.end();
  });
}

function faultsOf({ checks }: Health): string[] {
  return Object.entries(checks).flatMap(([name, { ok, detail }]) =>
    ok ? [] : [`${name}: ${detail ?? 'does not work'}`],
  );
}

/** Appends; one older file is kept when it has become long. */
async function openLog(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
  const size = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (size > LOG_LIMIT_BYTES) {
    await rm(`${path}.1`, { force: true });
    await rename(path, `${path}.1`);
  }
  return open(path, 'a', 0o600);
}

/** The daemon says why it does not start in plain words on its error stream; Node's own warnings are not that. */
function lastSentence(said: string): string | undefined {
  return said
    .split('\n')
    .map((line) => line.trim())
    .findLast((line) => line !== '' && !/^(\(|at |Node\.js v|\{|\})/.test(line));
}
