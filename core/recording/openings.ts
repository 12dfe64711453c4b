import { setTimeout as delay } from 'node:timers/promises';
import type { CaptureJob, RecorderEvent } from '#protocol';
import { VerbatimError } from '#protocol';
import type { RecorderAddress } from './capture.ts';
import type { Log, RecorderQueue } from './queue.ts';
import { brief } from './queue.ts';

export interface OpeningDeps {
  queue: Pick<RecorderQueue, 'addCapture' | 'withdrawCapture'>;
  log: Log;
  /** Which recorder wrote the journal of this epoch; undefined when there is none, or its header is not whole. */
  writerOf(recordingId: string, epoch: number): Promise<string | undefined>;
}

/** One search for a recorder. */
interface Opening {
  job: CaptureJob;
  /** Recorders that this recording had before: a journal of theirs means that the epoch is taken. */
  earlier: ReadonlySet<string>;
  listening(address: RecorderAddress): void;
  failed(error: VerbatimError): void;
  /** A recorder has said something of this very job: nobody else will begin it. */
  answered(): void;
  wasAnswered: Promise<void>;
}

/** A recorder that took a job just before it ran out has made its journal, or removed it again, within this. */
const LATE_MS = 1_500;

/**
 * The searches for a recorder that are under way, one for each recording: offers the capture job to all recorders and
 * hears which one listens. A search that is over may leave a job behind that some recorder still takes up; `settled`
 * tells when that is out of the question.
 */
export class Openings {
  readonly #deps: OpeningDeps;
  readonly #open = new Map<string, Opening>();
  /** Jobs of searches that failed, until nobody can begin them any more. */
  readonly #leftovers = new Map<string, { opening: Opening; gone: Promise<void> }>();

  constructor(deps: OpeningDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#open.size;
  }

  has(recordingId: string): boolean {
    return this.#open.has(recordingId);
  }

  /**
   * Offers the job and waits until a recorder listens, for `timeoutMs` at most.
   * @throws VerbatimError `recorder_unavailable`, `no_space`, whatever it was cancelled with, and `conflict` when an
   * earlier recorder of this recording made a journal of this epoch: the next one may be free.
   */
  async find(job: CaptureJob, timeoutMs: number, earlier: ReadonlySet<string>): Promise<RecorderAddress> {
    const { recordingId } = job;
    if (this.#open.has(recordingId))
      throw new VerbatimError('conflict', 'a recorder is being looked for already');
    const answered = Promise.withResolvers<void>();
    const found = Promise.withResolvers<RecorderAddress>();
    // The queue may refuse the job first.
    found.promise.catch(() => undefined);
    const opening: Opening = {
      job,
      earlier,
      listening: found.resolve,
      failed: found.reject,
      answered: answered.resolve,
      wasAnswered: answered.promise,
    };
    this.#open.set(recordingId, opening);
    const timer = setTimeout(() => {
      const seconds = (timeoutMs / 1000).toFixed(1);
      opening.failed(new VerbatimError('recorder_unavailable', `no recorder was ready within ${seconds} s`));
    }, timeoutMs);
    try {
      await this.#deps.queue.addCapture(job);
      return await found.promise;
    } catch (error) {
      this.#leave(opening);
      throw error;
    } finally {
      clearTimeout(timer);
      if (this.#open.get(recordingId) === opening) this.#open.delete(recordingId);
    }
  }

  /** True when somebody waited for this recorder. */
  listening(event: Extract<RecorderEvent, { type: 'listening' }>): boolean {
    const { recordingId, epoch, recorderId, ip, port } = event;
    const opening = this.#open.get(recordingId);
    if (opening === undefined || opening.job.epoch !== epoch) {
      this.#answered(recordingId, epoch);
      return false;
    }
    this.#open.delete(recordingId);
    opening.answered();
    opening.listening({ recorderId, ip, port });
    return true;
  }

  /** A recorder could not begin. */
  failed(event: Extract<RecorderEvent, { type: 'failed' }>): void {
    const { recordingId, epoch, reason } = event;
    const opening = this.#open.get(recordingId);
    if (opening === undefined || opening.job.epoch !== epoch) {
      if (reason !== 'conflict') this.#answered(recordingId, epoch);
    } else if (reason === 'conflict') {
      void this.#refuseIfTaken(opening, undefined);
    } else {
      opening.answered();
      opening.failed(openingFailure(reason));
    }
  }

  /** One that may have made the journal of a job and died before it could say so. */
  recorderGone(recorderId: string): void {
    for (const opening of this.#open.values())
      if (opening.earlier.size > 0) void this.#refuseIfTaken(opening, recorderId);
  }

  cancel(recordingId: string, error: VerbatimError): void {
    this.#open.get(recordingId)?.failed(error);
  }

  cancelAll(error: VerbatimError): void {
    for (const opening of this.#open.values()) opening.failed(error);
  }

  /** Resolves when no recorder can begin a journal for a search of this recording that has failed. */
  async settled(recordingId: string): Promise<void> {
    await this.#leftovers.get(recordingId)?.gone;
  }

  /**
   * The epoch's journal is there already. An earlier recorder may have made it (one whose disk failed opens a next
   * epoch by itself), or one that died over it: then the epoch is taken. Any other writer took this very job, which
   * the queue may hand out twice, and will say that it listens.
   */
  async #refuseIfTaken(opening: Opening, gone: string | undefined): Promise<void> {
    const { recordingId, epoch } = opening.job;
    try {
      const writer = await this.#deps.writerOf(recordingId, epoch);
      const isTaken =
        gone === undefined ? writer === undefined || opening.earlier.has(writer) : writer === gone;
      if (isTaken) opening.failed(new VerbatimError('conflict', `epoch ${epoch} has a journal already`));
    } catch (error) {
      this.#deps.log.warn({ recordingId, epoch, ...brief(error) }, 'a journal could not be looked at');
    }
  }

  #leave(opening: Opening): void {
    const { recordingId, expiresAtMs } = opening.job;
    const lateMs = Math.max(0, expiresAtMs - Date.now()) + LATE_MS;
    const gone = this.#withdrawn(opening.job)
      .then((isGone) => (isGone ? undefined : Promise.race([opening.wasAnswered, delay(lateMs)])))
      .finally(() => {
        if (this.#leftovers.get(recordingId)?.opening === opening) this.#leftovers.delete(recordingId);
      });
    this.#leftovers.set(recordingId, { opening, gone });
  }

  async #withdrawn(job: CaptureJob): Promise<boolean> {
    try {
      return await this.#deps.queue.withdrawCapture(job);
    } catch (error) {
      const { recordingId } = job;
      this.#deps.log.warn(
        { recordingId, ...brief(error) },
        'a capture job could not be taken back; it expires by itself',
      );
      return false;
    }
  }

  #answered(recordingId: string, epoch: number): void {
    const left = this.#leftovers.get(recordingId)?.opening;
    if (left?.job.epoch === epoch) left.answered();
  }
}

function openingFailure(reason: string): VerbatimError {
  if (reason === 'no_space') return new VerbatimError('no_space');
  return new VerbatimError('recorder_unavailable', `the recorder could not start: ${reason}`);
}
