import { setTimeout as delay } from 'node:timers/promises';
import type { IQueueBackend, WorkerOptions } from 'bullmq';
import { Queue, Worker } from 'bullmq';
import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/value';
import type { RecorderEvent } from '#protocol';
import { CaptureJob, FinaliseJob, QUEUES, RecorderCommand } from '#protocol';
import type { QueueBackend, QueueSettings } from './backend.ts';
import { queueBackend } from './backend.ts';

/** What a worker process needs from a logger; pino's fits. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

type AnyWorker = Worker<unknown, void, string, IQueueBackend, object, object>;
type AnyQueue = Queue<unknown, unknown, string, unknown, unknown, string, IQueueBackend, object>;

/** Heartbeats of one recorder that may wait in the queue while nobody reads: later ones replace none and are dropped. */
const HEARTBEAT_SLOTS = 8;
/** An event other than a heartbeat is offered to the queue this often before it is given up and logged. */
const REPORT_ATTEMPTS = 6;
const REPORT_BACKOFF_MS = 100;
/**
 * A new capture wakes one waiting recorder on Redis. When that one hangs, the others must look by themselves, and well
 * within the seconds that a call waits.
 */
const LOOK_AGAIN_S = 0.5;
/** Kept up while a finaliser works, however long that takes. */
const FINALISE_LOCK_MS = 20_000;

/**
 * The end of the queue (protocol `QUEUES`) in a recorder or finaliser process: takes jobs and commands, reports
 * events. Every message is checked against its schema; one that does not fit is logged and dropped.
 */
export class WorkerQueue {
  readonly #backend: QueueBackend;
  readonly #log: Log;
  readonly #events: AnyQueue;
  readonly #workers: AnyWorker[] = [];
  #beats = 0;
  #leaving = false;
  #closing: Promise<void> | undefined;

  private constructor(settings: QueueSettings, log: Log) {
    this.#backend = queueBackend(settings);
    this.#log = log;
    this.#events = new Queue(QUEUES.events, this.#backend.options, this.#backend.factory);
    this.#events.on('error', (error: Error) => log.warn(brief(error), 'queue of events'));
  }

  /** @throws when the server cannot be reached, or its tables are not there yet. */
  static async open(settings: QueueSettings, log: Log): Promise<WorkerQueue> {
    const queue = new WorkerQueue(settings, log);
    try {
      await queue.#events.waitUntilReady();
    } catch (error) {
      await queue.close();
      throw error;
    }
    return queue;
  }

  /**
   * Takes capture jobs, each for as long as its handler runs (the length of a call), up to `limit` at once. A job
   * whose recorder died is not given to another one (`maxStalledCount: 0`): its epoch has a journal already.
   */
  async takeCaptures(handler: (job: CaptureJob) => Promise<void>, limit: number): Promise<void> {
    await this.#take(QUEUES.capture, CaptureJob, handler, {
      concurrency: limit,
      drainDelay: LOOK_AGAIN_S,
      maxStalledCount: 0,
      lockDuration: 60_000,
      stalledInterval: 30_000,
    });
  }

  /** Takes the commands for this recorder, in order. The handler must return at once. */
  async takeCommands(recorderId: string, handler: (command: RecorderCommand) => void): Promise<void> {
    await this.#take(QUEUES.commands(recorderId), RecorderCommand, async (command) => handler(command), {
      concurrency: 1,
    });
  }

  /**
   * Takes finalise jobs. A handler that throws is tried again later by the queue, and after the last attempt `failed`
   * is told why. A dead finaliser's job is handed to its successor when its lock has run out and that was noticed: after
   * the lock and up to half of it more.
   */
  async takeFinalises(
    handler: (job: FinaliseJob) => Promise<void>,
    failed: (job: FinaliseJob, error: Error) => void,
    { concurrency, lockMs = FINALISE_LOCK_MS }: { concurrency: number; lockMs?: number },
  ): Promise<void> {
    const options = { concurrency, maxStalledCount: 3, lockDuration: lockMs, stalledInterval: lockMs / 4 };
    const worker = await this.#take(QUEUES.finalise, FinaliseJob, handler, options, false);
    worker.on('failed', (job, error) => {
      if (job === undefined || job.attemptsMade < (job.opts.attempts ?? 1)) return;
      const data = parse(FinaliseJob, job.data);
      if (data !== undefined) failed(data, error);
    });
  }

  /** One heartbeat; it may be lost. While nobody listens at most HEARTBEAT_SLOTS of them wait. */
  async beat(event: RecorderEvent & { type: 'heartbeat' }): Promise<void> {
    this.#beats = (this.#beats + 1) % HEARTBEAT_SLOTS;
    const jobId = `beat-${event.recorderId}-${this.#beats}`;
    await this.#events.add(event.type, event, { jobId, removeOnComplete: true, removeOnFail: true });
  }

  /** Reports an event; tries again a few times when the queue does not answer. Rejects when it was given up. */
  async report(event: RecorderEvent): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#events.add(event.type, event, { removeOnComplete: true, removeOnFail: true });
        return;
      } catch (error) {
        if (attempt === REPORT_ATTEMPTS || this.#leaving) throw error;
        this.#log.warn({ ...brief(error), event: event.type, attempt }, 'event not reported, trying again');
        await delay(REPORT_BACKOFF_MS * 2 ** attempt);
      }
    }
  }

  /** Takes no more jobs from now on; those in hand go on. Reports are tried once from now on. */
  async pause(): Promise<void> {
    this.#leaving = true;
    await Promise.all(this.#workers.map((worker) => worker.pause(true)));
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await Promise.all(this.#workers.map((worker) => worker.close()));
      await this.#events.close();
    })();
    return this.#closing;
  }

  async #take<T extends TSchema>(
    name: string,
    schema: T,
    handler: (data: Static<T>) => Promise<void>,
    options: Partial<WorkerOptions<object>>,
    remove = true,
  ): Promise<AnyWorker> {
    const worker: AnyWorker = new Worker<unknown, void, string, IQueueBackend, object, object>(
      name,
      async (job) => {
        const data = parse(schema, job.data);
        if (data === undefined)
          this.#log.warn({ queue: name, job: job.name }, 'a job of unknown shape was dropped');
        else await handler(data);
      },
      {
        ...this.#backend.options,
        ...options,
        ...(remove ? { removeOnComplete: { count: 0 }, removeOnFail: { count: 0 } } : {}),
      },
      this.#backend.factory,
    );
    worker.on('error', (error) => this.#log.warn({ ...brief(error), queue: name }, 'queue worker'));
    this.#workers.push(worker);
    await worker.waitUntilReady();
    return worker;
  }
}

function parse<T extends TSchema>(schema: T, value: unknown): Static<T> | undefined {
  return Check(schema, value) ? value : undefined;
}

/** What a log line needs of a driver's error; the whole one carries its connection with all its settings. */
export function brief(error: unknown): { error: string; code?: string } {
  if (!(error instanceof Error)) return { error: String(error) };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { error: error.message, ...code };
}
