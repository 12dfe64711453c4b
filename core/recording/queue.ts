import type { IQueueBackend } from 'bullmq';
import { Queue, Worker } from 'bullmq';
import type { Static, TSchema } from 'typebox';
import { Check } from 'typebox/value';
import type { CaptureJob, FinaliseJob, RecorderCommand } from '#protocol';
import { QUEUES, RecorderEvent, VerbatimError } from '#protocol';
import type { QueueBackend, QueueSettings } from './backend.ts';
import { migrateQueue, queueBackend } from './backend.ts';

/** What the queue needs from a logger; pino's fits. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type FinaliseState =
  /** `turn` grows each time that somebody begins with it. */
  | { state: 'none' | 'queued' }
  | { state: 'active' | 'delayed'; turn: number }
  | { state: 'failed'; reason: string };

type AnyQueue = Queue<unknown, unknown, string, unknown, unknown, string, IQueueBackend, object>;

/** Recorders that this daemon has ever talked to and not forgotten. */
const MAX_RECORDERS = 256;
/** Recordings whose finalise job was given up for a new one, until each is cleared. */
const MAX_REPLACED = 8192;
/** A finalise job is tried this often, each time after a longer pause. */
export const FINALISE_ATTEMPTS = 5;
const FINALISE_BACKOFF_MS = 1_000;

/**
 * The daemon's end of the queue (protocol `QUEUES`): adds capture and finalise jobs, sends commands to recorders and
 * hears their events in the order in which they were reported. Same behaviour on PostgreSQL and on Redis.
 */
export class RecorderQueue {
  readonly #volatile: QueueBackend;
  readonly #log: Log;
  readonly #captures: AnyQueue;
  readonly #finalises: AnyQueue;
  readonly #commands = new Map<string, AnyQueue>();
  /** How often a recording's finalise job was given up for a new one. */
  readonly #replaced = new Map<string, number>();
  #events: Worker<unknown, void, string, IQueueBackend, object, object> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(settings: QueueSettings, log: Log) {
    this.#log = log;
    this.#volatile = queueBackend(settings, false);
    this.#captures = this.#queue(QUEUES.capture, this.#volatile);
    this.#finalises = this.#queue(QUEUES.finalise, queueBackend(settings, true));
  }

  /** Connects, and on PostgreSQL brings the queue's tables up to date. */
  static async open(settings: QueueSettings, log: Log): Promise<RecorderQueue> {
    await migrateQueue(settings);
    const queue = new RecorderQueue(settings, log);
    try {
      await Promise.all([queue.#captures.waitUntilReady(), queue.#finalises.waitUntilReady()]);
    } catch (error) {
      await queue.close();
      throw error;
    }
    return queue;
  }

  /** Offers a capture to all recorders. The same recording and epoch is offered once only. */
  async addCapture(job: CaptureJob): Promise<void> {
    await this.#captures.add('capture', job, {
      jobId: `${job.recordingId}-${job.epoch}`,
      removeOnComplete: true,
      removeOnFail: true,
    });
  }

  /**
   * Takes back a capture that no recorder took; one that is taken is not touched. True when no recorder has the job (any
   * more), false when one holds it.
   */
  async withdrawCapture(job: CaptureJob): Promise<boolean> {
    const waiting = await this.#captures.getJob(`${job.recordingId}-${job.epoch}`);
    if (waiting === undefined) return true;
    try {
      // A job that a recorder holds is locked and cannot be removed; its expiry makes the recorder give up.
      await waiting.remove();
      return true;
    } catch (error) {
      this.#log.info(brief(error), 'capture job already taken');
      return false;
    }
  }

  /** Queues the finalising of a recording; while such a job exists a second one is not made. */
  async addFinalise(
    job: FinaliseJob,
    { attempts = FINALISE_ATTEMPTS, backoffMs = FINALISE_BACKOFF_MS } = {},
  ): Promise<void> {
    await this.#finalises.add('finalise', job, {
      jobId: this.#finaliseId(job.recordingId),
      attempts,
      backoff: { type: 'exponential', delay: backoffMs },
      removeOnComplete: true,
      // A failed job stays until the daemon has written the failure down and calls clearFinalise.
      removeOnFail: false,
    });
  }

  async finaliseState(recordingId: string): Promise<FinaliseState> {
    const job = await this.#finalises.getJob(this.#finaliseId(recordingId));
    if (job === undefined) return { state: 'none' };
    const state = await job.getState();
    if (state === 'failed') return { state: 'failed', reason: job.failedReason };
    if (state === 'active' || state === 'delayed') return { state, turn: job.attemptsStarted };
    return { state: state === 'completed' || state === 'unknown' ? 'none' : 'queued' };
  }

  /** Jobs that nobody has taken yet. */
  async waiting(): Promise<{ capture: number; finalise: number }> {
    const [capture, finalise] = await Promise.all(
      [this.#captures, this.#finalises].map((queue) => queue.getJobCountByTypes('waiting', 'delayed')),
    );
    return { capture: capture ?? 0, finalise: finalise ?? 0 };
  }

  async clearFinalise(recordingId: string): Promise<void> {
    const job = await this.#finalises.getJob(this.#finaliseId(recordingId));
    await job?.remove();
  }

  /**
   * Gives up the finalise job that there is, which somebody holds and does not finish, or whose time never comes: the
   * next one that is added is a new one. The old one cannot be removed as long as its lock stands; whoever finishes it
   * later changes nothing.
   */
  replaceFinalise(recordingId: string): void {
    const count = (this.#replaced.get(recordingId) ?? 0) + 1;
    this.#replaced.delete(recordingId);
    this.#replaced.set(recordingId, count);
    const [oldest] = this.#replaced.keys();
    if (this.#replaced.size > MAX_REPLACED && oldest !== undefined) this.#replaced.delete(oldest);
  }

  #finaliseId(recordingId: string): string {
    const count = this.#replaced.get(recordingId);
    return count === undefined ? recordingId : `${recordingId}-${count}`;
  }

  /** Sends a command to one recorder. Commands to the same recorder arrive in order. */
  async send(recorderId: string, command: RecorderCommand): Promise<void> {
    let queue = this.#commands.get(recorderId);
    if (queue === undefined) {
      if (this.#commands.size >= MAX_RECORDERS)
        throw new VerbatimError('unavailable', `more than ${MAX_RECORDERS} recorders are known`);
      queue = this.#queue(QUEUES.commands(recorderId), this.#volatile);
      this.#commands.set(recorderId, queue);
    }
    await queue.add(command.type, command, { removeOnComplete: true, removeOnFail: true });
  }

  /** Removes the command queue of a recorder that is gone. */
  async forget(recorderId: string): Promise<void> {
    // One that is made only to be removed must not write down its own settings a moment after that.
    const queue =
      this.#commands.get(recorderId) ??
      this.#queue(QUEUES.commands(recorderId), this.#volatile, { skipMetasUpdate: true });
    this.#commands.delete(recorderId);
    try {
      await queue.obliterate({ force: true });
    } finally {
      await queue.close();
    }
  }

  /**
   * Hears every event from now on, one at a time and in order. The handler must return at once: what takes longer it
   * does on its own time, or every other call waits.
   */
  async listen(handler: (event: RecorderEvent) => void): Promise<void> {
    if (this.#events !== undefined) throw new VerbatimError('internal', 'the events are already listened to');
    this.#events = new Worker<unknown, void, string, IQueueBackend, object, object>(
      QUEUES.events,
      async (job) => {
        const event = parse(RecorderEvent, job.data);
        if (event === undefined)
          this.#log.warn({ name: job.name }, 'a recorder event of unknown shape was dropped');
        else handler(event);
      },
      {
        ...this.#volatile.options,
        concurrency: 1,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
        // An event that was being handled when the daemon died is delivered again soon after its restart.
        lockDuration: 10_000,
        stalledInterval: 5_000,
      },
      this.#volatile.factory,
    );
    this.#events.on('error', (error) => this.#log.warn(brief(error), 'queue of recorder events'));
    await this.#events.waitUntilReady();
  }

  /** Stops hearing and sending. Jobs that are queued stay queued. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#events?.close();
      await Promise.all(
        [this.#captures, this.#finalises, ...this.#commands.values()].map((queue) => queue.close()),
      );
      this.#commands.clear();
    })();
    return this.#closing;
  }

  #queue(name: string, backend: QueueBackend, more: { skipMetasUpdate?: boolean } = {}): AnyQueue {
    const queue: AnyQueue = new Queue(name, { ...backend.options, ...more }, backend.factory);
    queue.on('error', (error: Error) => this.#log.warn({ ...brief(error), queue: name }, 'queue'));
    return queue;
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
