import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Check } from 'typebox/value';
import { ChildMessage } from '#protocol';
import type { Log } from './queue.ts';

export type ChildRole = 'capture' | 'finalise';

export interface ChildOptions {
  role: ChildRole;
  /** The whole environment of the child: its settings are in it, so it is not in the argument list. */
  env: NodeJS.ProcessEnv;
  log: Log;
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
 * Keeps one worker process running: starts it, starts it again with growing pauses when it dies, stops it on close.
 * The IPC channel is how the child notices that this process is gone, even after `kill -9`.
 */
export class WorkerChild {
  readonly #options: ChildOptions;
  #process: ChildProcess | undefined;
  #recorderId: string | undefined;
  #startedAt = 0;
  #backoffMs = FIRST_BACKOFF_MS;
  #timer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#start();
  }

  /** The running process, if one runs at this moment. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get recorderId(): string | undefined {
    return this.#recorderId;
  }

  /** Ends a child that no longer answers, at once; another one takes its place. */
  kill(): void {
    this.#process?.kill('SIGKILL');
  }

  /** SIGTERM, and SIGKILL when that is not obeyed in time. Resolves when the process is gone. */
  close(): Promise<void> {
    this.#closing ??= this.#stop();
    return this.#closing;
  }

  #start(): void {
    const { role, env, log, execArgv } = this.#options;
    this.#recorderId = undefined;
    this.#startedAt = Date.now();
    const args = [...(execArgv ?? NODE_FLAGS[role]), this.#options.program ?? WORKER_PROGRAM, role];
    const child = spawn(process.execPath, args, {
      env: { ...MEMORY_ENV[role], ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#process = child;
    child.on('message', (message: unknown) => {
      if (!Check(ChildMessage, message)) return;
      this.#recorderId = message.recorderId;
      this.#options.onMessage?.(message);
    });
    child.on('error', (error) => {
      log.error({ err: error, role }, 'worker process');
      // Without a pid it never ran, and no exit will be told.
      if (child.pid === undefined) this.#gone(child, null, null);
    });
    child.on('exit', (code, signal) => this.#gone(child, code, signal));
  }

  #gone(child: ChildProcess, code: number | null, signal: string | null): void {
    if (this.#process !== child) return;
    this.#process = undefined;
    const { role, log, onExit } = this.#options;
    onExit?.(this.#recorderId);
    if (this.#closing !== undefined) return;
    if (Date.now() - this.#startedAt > STEADY_AFTER_MS) this.#backoffMs = FIRST_BACKOFF_MS;
    log.warn(
      { role, code, signal, againInMs: this.#backoffMs },
      'a worker process died and is started again',
    );
    this.#timer = setTimeout(() => this.#start(), this.#backoffMs);
    this.#backoffMs = Math.min(this.#backoffMs * 2, MAX_BACKOFF_MS);
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#timer);
    const child = this.#process;
    if (child === undefined) return;
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
