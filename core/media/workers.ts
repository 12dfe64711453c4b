import { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { VerbatimError } from '#protocol';
import { browserCapabilities } from './codecs.ts';
import type { CallMedia, MediaOptions, MediaServer, MediaWorkerStats, Opaque } from './contract.ts';
import { MediaWorker } from './worker.ts';

/** Waits before a worker that died young is started again, by how often in a row it did; the last one repeats. */
const restartDelaysMs = [0, 500, 2_000, 10_000, 30_000];
/** A worker that lived longer than this did not die of its start. */
const youngMs = 30_000;

/** Starts every worker; rejects, leaving none behind, when one of them cannot start. */
export async function createMediaServer(options: MediaOptions): Promise<MediaServer> {
  const count = options.workers ?? availableParallelism();
  const started = await Promise.allSettled(
    Array.from({ length: count }, (_, index) => MediaWorker.start(index, options)),
  );
  const workers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = started.find((result) => result.status === 'rejected');
  if (failed) {
    await Promise.all(workers.map((worker) => worker.close()));
    throw failed.reason;
  }
  return new MediaWorkers(workers, options);
}

class MediaWorkers extends EventEmitter<{ workerDied: [string[]] }> implements MediaServer {
  readonly #options: MediaOptions;
  /** By index; undefined while one is being started again. */
  readonly #workers: (MediaWorker | undefined)[];
  readonly #restarts = new Set<NodeJS.Timeout>();
  readonly #starting = new Set<Promise<void>>();
  readonly #capabilities: Opaque;
  #closing: Promise<void> | undefined;

  constructor(workers: MediaWorker[], options: MediaOptions) {
    super();
    const [first] = workers;
    if (!first) throw new VerbatimError('internal', 'media.workers: expected at least one');
    this.#options = options;
    this.#workers = workers;
    this.#capabilities = { ...browserCapabilities(first.router.rtpCapabilities) };
    for (const worker of workers) this.#watch(worker, 0);
  }

  routerRtpCapabilities(): Opaque {
    return structuredClone(this.#capabilities);
  }

  async openCall(callId: string): Promise<CallMedia> {
    if (this.#closing) throw new VerbatimError('shutting_down');
    const workers = this.#workers.filter((worker) => worker !== undefined);
    if (workers.some((worker) => worker.has(callId))) {
      throw new VerbatimError('conflict', `the media of call ${callId} is open already`);
    }
    const [best] = workers.toSorted((a, b) => a.load - b.load);
    if (!best) throw new VerbatimError('unavailable', 'no media worker runs at this moment');
    if (best.full || best.load >= this.#options.maxCpu) {
      throw new VerbatimError(
        'busy_server',
        `every media worker is past ${this.#options.maxCpu * 100} % of a core`,
      );
    }
    return best.openCall(callId);
  }

  forgetRecorder(recorderId: string): void {
    for (const worker of this.#workers) worker?.forgetRecorder(recorderId);
  }

  async stats(): Promise<MediaWorkerStats[]> {
    return this.#workers.flatMap((worker) => (worker ? [worker.stats()] : []));
  }

  async close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    await this.#closing;
  }

  async #closeAll(): Promise<void> {
    for (const timer of this.#restarts) clearTimeout(timer);
    this.#restarts.clear();
    // One that is starting right now ends up in #workers, or is closed where it was started.
    await Promise.all(this.#starting);
    await Promise.all(this.#workers.map((worker) => worker?.close()));
    this.removeAllListeners();
  }

  /** @param youngDeaths how many workers in a row died young on this index. */
  #watch(worker: MediaWorker, youngDeaths: number): void {
    worker.onDied((callIds, error) => {
      this.#workers[worker.index] = undefined;
      this.#options.log?.error(
        { err: error, pid: worker.pid, callIds },
        'A media worker died; its calls have ended',
      );
      this.emit('workerDied', callIds);
      const diedYoung = performance.now() - worker.startedAt < youngMs;
      this.#restartLater(worker.index, diedYoung ? youngDeaths + 1 : 0);
    });
  }

  #restartLater(index: number, youngDeaths: number): void {
    if (this.#closing) return;
    // The first death of a run is answered at once.
    const step = Math.min(Math.max(youngDeaths - 1, 0), restartDelaysMs.length - 1);
    const timer = setTimeout(() => {
      this.#restarts.delete(timer);
      const starting = this.#restart(index, youngDeaths).finally(() => this.#starting.delete(starting));
      this.#starting.add(starting);
    }, restartDelaysMs[step]);
    this.#restarts.add(timer);
  }

  /** Never rejects. */
  async #restart(index: number, youngDeaths: number): Promise<void> {
    try {
      const worker = await MediaWorker.start(index, this.#options);
      if (this.#closing) return await worker.close();
      this.#workers[index] = worker;
      this.#watch(worker, youngDeaths);
      this.#options.log?.info({ pid: worker.pid }, 'A new media worker runs in place of the one that died');
    } catch (error) {
      this.#options.log?.error({ err: error }, 'A media worker cannot be started again; trying later');
      this.#restartLater(index, youngDeaths + 1);
    }
  }
}
