import type { FinaliseJob, FinaliseResult } from '#protocol';
import type { DataPaths } from '#store';
import { readIdentity, readRecipients } from '#store';
import { finaliseRecording } from './finalise.ts';
import type { Log, WorkerQueue } from './queue.ts';

export interface FinaliserOptions {
  paths: DataPaths;
  queue: WorkerQueue;
  log: Log;
  /** Recordings worked on at once. */
  concurrency: number;
  /** A job whose finaliser has died is handed on after this time. */
  lockMs?: number;
}

/**
 * Works off the finalise queue: journals in, one sealed recording out, the result reported as `finalised`. What can
 * never succeed is a result as well (`ok: false`); what may succeed later throws, and the queue tries again.
 */
export class Finaliser {
  readonly #options: FinaliserOptions;
  #closing: Promise<void> | undefined;

  private constructor(options: FinaliserOptions) {
    this.#options = options;
  }

  static async open(options: FinaliserOptions): Promise<Finaliser> {
    const finaliser = new Finaliser(options);
    const { queue, concurrency, lockMs } = options;
    await queue.takeFinalises(
      (job) => finaliser.#finalise(job),
      (job, error) => void finaliser.#giveUp(job, error),
      { concurrency, ...(lockMs === undefined ? {} : { lockMs }) },
    );
    return finaliser;
  }

  /** Finishes what is in hand, takes nothing more. */
  close(): Promise<void> {
    this.#closing ??= this.#options.queue.close();
    return this.#closing;
  }

  async #finalise(job: FinaliseJob): Promise<void> {
    const { paths, queue, log } = this.#options;
    const { recordingId } = job;
    const startedMs = performance.now();
    const result = await finaliseRecording({
      recordingId,
      journals: job.epochs.map((epoch) => paths.journal(recordingId, epoch)),
      acknowledged: job.acknowledged,
      // Read for each job: the key is in memory only while it is needed, and a restored one is found.
      identity: await readIdentity(paths.secrets),
      recipients: await readRecipients(paths.keys),
      pay: paths.pay(recordingId),
      hdr: paths.hdr(recordingId),
    });
    log.info({ recordingId, ok: result.ok, tookMs: Math.round(performance.now() - startedMs) }, 'finalised');
    await queue.report({ type: 'finalised', recordingId, result });
  }

  async #giveUp({ recordingId }: FinaliseJob, error: Error): Promise<void> {
    const { queue, log } = this.#options;
    log.error({ recordingId, err: error }, 'a recording could not be finalised');
    const result: FinaliseResult = { ok: false, reason: 'finalise_failed', detail: error.message };
    // The daemon also looks for failed jobs by itself, so a report that is lost costs only time.
    await queue.report({ type: 'finalised', recordingId, result }).catch(() => undefined);
  }
}
