import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Check } from 'typebox/value';
import type { TakeOver } from '#protocol';
import { ChildMessage } from '#protocol';
import type { Log } from './queue.ts';

export type ChildRole = 'capture' | 'finalise';

export interface ChildOptions {
  role: ChildRole;
  /** The whole environment of the child: its settings are in it, so it is not in the argument list. */
  env: NodeJS.ProcessEnv;
  log: Log;
  /** Keep a second process ready, which takes over when the first one dies. */
  standby?: boolean;
  /** Another program than recorder-worker/main.ts; for tests. */
  program?: string;
  /** Time between SIGTERM and SIGKILL on close; for tests. */
  stopMs?: number;
  /** Flags of node itself. */
  execArgv?: readonly string[];
  onMessage?: (message: ChildMessage) => void;
  /** The child with this recorder id (if it ever said so) is gone and will write nothing any more. */
  onExit?: (recorderId: string | undefined) => void;
}

const WORKER_PROGRAM = fileURLToPath(new URL('../../recorder-worker/main.ts', import.meta.url));
/** The argument that tells a worker to get ready and wait for its order. */
const STANDBY = 'standby';
/** A start takes most of a second of a processor, which whatever has just begun needs more. */
const STANDBY_AFTER_MS = 1_000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 10_000;
/** A child that lived this long did not die of its start: the next back-off begins small again. */
const STEADY_AFTER_MS = 30_000;
/** Time for a child to end its captures and leave before it is killed. */
const STOP_MS = 8_000;
/**
 * A recorder's packets die young: a larger young generation copies fewer of those that do not, and costs memory once.
 * A finaliser's megabytes lie outside the heap and make V8 collect all the time: in a small young generation they die
 * early, and collector threads of its own would only take the processor from its one busy thread (after hour-long
 * calls they took as much as the work itself).
 */
const NODE_FLAGS: Readonly<Record<ChildRole, readonly string[]>> = {
  capture: ['--max-semi-space-size=4'],
  finalise: ['--single-threaded-gc', '--max-semi-space-size=2'],
};
/** One heap for all threads of a recorder: glibc's one for each leaves a quarter of its memory unused but held. */
const MEMORY_ENV: Readonly<Record<ChildRole, NodeJS.ProcessEnv>> = {
  capture: { MALLOC_ARENA_MAX: '1' },
  finalise: {},
};

/**
 * Keeps one worker process running: starts it, starts it again with growing pauses when it dies, stops it on close. With
 * a standby, another one is kept ready and takes over at once; then it is the next standby that is started.
 * The IPC channel is how the child notices that this process is gone, even after `kill -9`.
 */
export class WorkerChild {
  readonly #options: ChildOptions;
  #process: ChildProcess | undefined;
  #standby: ChildProcess | undefined;
  #recorderId: string | undefined;
  #startedAt = 0;
  #backoffMs = FIRST_BACKOFF_MS;
  #timer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#start();
    if (options.standby === true) this.#startLater(STANDBY_AFTER_MS);
  }

  /** The running process, if one runs at this moment. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get role(): ChildRole {
    return this.#options.role;
  }

  get standbyPid(): number | undefined {
    return this.#standby?.pid;
  }

  get recorderId(): string | undefined {
    return this.#recorderId;
  }

  /** Ends a child that no longer answers, at once; another one takes its place. */
  kill(): void {
    this.#process?.kill('SIGKILL');
  }

  /** SIGTERM, and SIGKILL when that is not obeyed in time. Resolves when the processes are gone. */
  close(): Promise<void> {
    this.#closing ??= this.#stop();
    return this.#closing;
  }

  #start(): void {
    this.#recorderId = undefined;
    this.#startedAt = Date.now();
    this.#process = this.#spawn([]);
  }

  #spawn(more: readonly string[]): ChildProcess {
    const { role, env, log, execArgv } = this.#options;
    const args = [...(execArgv ?? NODE_FLAGS[role]), this.#options.program ?? WORKER_PROGRAM, role, ...more];
    const child = spawn(process.execPath, args, {
      env: { ...MEMORY_ENV[role], ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    child.on('message', (message: unknown) => {
      if (child !== this.#process || !Check(ChildMessage, message)) return;
      this.#recorderId = message.recorderId;
      this.#options.onMessage?.(message);
    });
    child.on('error', (error) => {
      log.error({ err: error, role }, 'worker process');
      // Without a pid it never ran, and no exit will be told.
      if (child.pid === undefined) this.#gone(child, null, null);
    });
    child.on('exit', (code, signal) => this.#gone(child, code, signal));
    return child;
  }

  #gone(child: ChildProcess, code: number | null, signal: string | null): void {
    const { role, log, onExit } = this.#options;
    if (child === this.#standby) {
      this.#standby = undefined;
    } else if (child === this.#process) {
      this.#process = undefined;
      // Before anybody hears of the loss and asks for another one.
      if (this.#closing === undefined) this.#takeOver(child);
      onExit?.(this.#recorderId);
      this.#recorderId = undefined;
    } else {
      return;
    }
    if (this.#closing !== undefined) return;
    if (Date.now() - this.#startedAt > STEADY_AFTER_MS) this.#backoffMs = FIRST_BACKOFF_MS;
    // Another one works already: the next standby may wait until it has nothing more urgent to do.
    const againInMs =
      this.#process === undefined ? this.#backoffMs : Math.max(this.#backoffMs, STANDBY_AFTER_MS);
    log.warn({ role, code, signal, againInMs }, 'a worker process died and is started again');
    this.#backoffMs = Math.min(this.#backoffMs * 2, MAX_BACKOFF_MS);
    this.#startLater(againInMs);
  }

  #takeOver(dead: ChildProcess): void {
    const next = this.#standby;
    if (next === undefined || next === dead || !next.connected) return;
    this.#standby = undefined;
    this.#process = next;
    this.#startedAt = Date.now();
    const order: TakeOver = { type: 'take-over' };
    // One that is gone by now is told of by its exit.
    next.send(order, () => undefined);
  }

  /** What is missing by then: the process itself, or its standby after it. */
  #startLater(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#process === undefined) {
        this.#start();
        if (this.#options.standby === true && this.#standby === undefined) this.#startLater(STANDBY_AFTER_MS);
      } else if (this.#options.standby === true && this.#standby === undefined) {
        this.#standby = this.#spawn([STANDBY]);
      }
    }, ms);
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#timer);
    // It has nothing to end.
    this.#standby?.kill('SIGKILL');
    await Promise.all([this.#standby, this.#process].map((child) => child && this.#ended(child)));
  }

  async #ended(child: ChildProcess): Promise<void> {
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.log.warn(
        { role: this.#options.role },
        'a worker process did not leave in time and is killed',
      );
      child.kill('SIGKILL');
    }, this.#options.stopMs ?? STOP_MS);
    await gone;
    clearTimeout(timer);
  }
}
