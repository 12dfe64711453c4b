import { setTimeout as delay } from 'node:timers/promises';
import type { CaptureJob, RecorderCommand, RecorderEvent } from '#protocol';
import { VerbatimError } from '#protocol';
import type { CommitLog, DataPaths } from '#store';
import { JournalWriter, monotonicUs, readRecipients, unlinkDurable } from '#store';
import { Capture } from './capture.ts';
import type { Log } from './queue.ts';
import { brief } from './queue.ts';
import type { RtpSocket } from './socket.ts';

export interface SessionDeps {
  recorderId: string;
  paths: DataPaths;
  commitLog: CommitLog;
  socket: RtpSocket;
  /** Where media workers reach the socket. */
  address: { ip: string; port: number };
  log: Log;
  report(event: RecorderEvent): Promise<void>;
  /** Refuses a new capture when the disk would not hold it. @throws VerbatimError `no_space` */
  assertSpace?: () => Promise<void>;
}

/** The newest block of a capture that cannot be lost. */
export interface CaptureHead {
  recordingId: string;
  epoch: number;
  seq: number;
  head: string;
}

/** A capture whose legs were never named, or that heard nothing at all for this long, ends by itself. */
const LEGS_TIMEOUT_MS = 30_000;
const IDLE_END_US = 600_000_000;
/** Between two tries to make the journals of a failed capture whole, doubling; as often as the process lives. */
const FIRST_RELEASE_PAUSE_MS = 250;
const MAX_RELEASE_PAUSE_MS = 10_000;

/**
 * One capture job from the moment a recorder takes it until its journal has its END: creates the journal, reports
 * `listening`, obeys the commands for its recording and epoch, reports `ready`, `armed`, and `ended`, or `failed` and
 * then `released`.
 */
export class CaptureSession {
  readonly job: CaptureJob;
  /** Resolves when the capture is over and that has been reported; never rejects. */
  readonly done: Promise<void>;
  readonly #deps: SessionDeps;
  readonly #capture: Capture;
  readonly #writer: JournalWriter;
  readonly #leaving = new AbortController();
  readonly #startedUs = monotonicUs();
  #legsTimer: NodeJS.Timeout | undefined;
  #finish: () => void = () => undefined;
  #ended: Promise<void> | undefined;
  /** When its newest head is to be told, on the clock of `monotonicUs`; Infinity until it is armed. */
  #headDueUs = Number.POSITIVE_INFINITY;
  #toldHead = '';
  /** The report of `failed`, once the capture has; never rejects. */
  #failure: Promise<void> | undefined;
  #named = false;

  private constructor(job: CaptureJob, deps: SessionDeps, writer: JournalWriter) {
    this.job = job;
    this.#deps = deps;
    this.#writer = writer;
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#capture = new Capture(writer, deps.socket, {
      armed: ({ seq, head }) => {
        this.#headDueUs = monotonicUs();
        this.#report({ type: 'armed', ...this.#ref(), seq, head });
      },
    });
  }

  /**
   * Makes the journal and reports where the recorder listens. Undefined when there is nothing to do: nobody waits
   * for the answer any more, or the epoch has a journal already and so a writer, or had one. It is O_EXCL on the
   * journal that decides; the queue alone could hand a job out twice.
   */
  static async start(job: CaptureJob, deps: SessionDeps): Promise<CaptureSession | undefined> {
    const { paths, log } = deps;
    const expired = () => Date.now() >= job.expiresAtMs;
    const about = { recordingId: job.recordingId, epoch: job.epoch };
    if (expired()) {
      log.info(about, 'capture job came too late');
      return undefined;
    }
    let writer: JournalWriter;
    let session: CaptureSession | undefined;
    try {
      // The place of a recording that goes on was set aside when it began.
      if (job.epoch === 1) await deps.assertSpace?.();
      writer = await JournalWriter.create({
        log: deps.commitLog,
        recording: job.recordingId,
        call: job.callId,
        epoch: job.epoch,
        recorder: deps.recorderId,
        ...(job.prev === undefined ? {} : { prev: job.prev }),
        recipients: await readRecipients(paths.keys),
        onEpoch: (next, cause) =>
          log.warn({ ...about, next, err: cause }, 'the journal goes on in another file'),
        onFailed: (error) => session?.fail(error),
      });
    } catch (error) {
      const code = error instanceof VerbatimError ? error.code : 'internal';
      if (code === 'conflict') {
        log.warn(about, 'this epoch has a journal already, the job is not taken');
        // Made by a lost recorder the epoch is used up and the daemon offers the next. A first one can only be this
        // very job, delivered twice.
        if (job.epoch > 1)
          await deps.report({ type: 'failed', ...about, recorderId: deps.recorderId, reason: code });
      } else {
        log.error({ ...about, err: error }, 'no journal could be created');
        await deps.report({ type: 'failed', ...about, recorderId: deps.recorderId, reason: code });
      }
      return undefined;
    }
    if (expired()) {
      log.info(about, 'the journal was ready too late');
      await writer.end('expired');
      // Nothing was heard and nobody was told of it: a file without audio would only be a riddle later.
      await unlinkDurable(writer.path);
      return undefined;
    }
    // Before any packet: whoever reads the journals knows that what is missing before it was never heard.
    if (job.epoch > 1) writer.mark({ mark: 'reattach', atMs: Date.now() });
    const started = new CaptureSession(job, deps, writer);
    session = started;
    started.#legsTimer = setTimeout(() => void started.stop('abandoned'), LEGS_TIMEOUT_MS);
    started.#report({ type: 'listening', ...started.#ref(), ...deps.address });
    return started;
  }

  command(command: RecorderCommand): void {
    switch (command.type) {
      case 'legs':
        clearTimeout(this.#legsTimer);
        if (this.#ended !== undefined) return;
        this.#named = true;
        try {
          this.#capture.setLegs(command.source, command.legs);
        } catch (error) {
          this.fail(error);
          return;
        }
        this.#report({ type: 'ready', ...this.#ref() });
        return;
      case 'mark':
        this.#capture.mark(command);
        return;
      case 'stop':
        void this.stop(command.reason);
        return;
    }
  }

  /** Ends the capture; resolves when that is reported and its journals are whole, or when this process leaves. */
  stop(reason: string): Promise<void> {
    this.#ended ??= this.#end(reason);
    return this.#ended;
  }

  /** Stops because the process leaves: what the disk does not take by now stays in the log for recovery. */
  leave(reason: string): Promise<void> {
    this.#leaving.abort();
    return this.stop(reason);
  }

  /** The journal cannot be written, or the legs cannot be let in: gives the capture up. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#deps.log.error({ ...this.#ref(), err: error }, 'a capture failed');
    // First of all: until the daemon hears it both sides believe that they are recorded, and the end of the journal
    // may take as long as the disk hangs.
    this.#tellFailed(error instanceof VerbatimError ? error.code : 'internal');
    void this.stop('failed');
  }

  /** Called now and then: ends a capture that hears nothing, as when the whole media side is gone. */
  checkIdle(nowUs: number): void {
    const last = Math.max(this.#startedUs, this.#capture.lastPacketUs);
    if (nowUs - last > IDLE_END_US) void this.stop('idle');
  }

  /** The newest head, when it is time to tell it and there is a newer one; asked for again `everyMs` later. */
  takeHead(nowUs: number, everyMs: number): CaptureHead | undefined {
    if (nowUs < this.#headDueUs || this.#ended !== undefined || this.#failure !== undefined) return undefined;
    this.#headDueUs = nowUs + everyMs * 1000;
    const { epoch, seq, head } = this.#writer.acknowledged;
    if (head === this.#toldHead) return undefined;
    this.#toldHead = head;
    return { recordingId: this.job.recordingId, epoch, seq, head };
  }

  async #end(reason: string): Promise<void> {
    clearTimeout(this.#legsTimer);
    try {
      const { seq, head } = await this.#capture.end(reason);
      // Nobody waited for it and no leg was ever let in: a file without audio would only be a riddle later. Gone before
      // the end is told, because then the daemon looks which journals there are.
      if (reason === 'expired' && !this.#named) await unlinkDurable(this.#writer.path);
      if (this.#failure === undefined)
        await this.#deps.report({ type: 'ended', ...this.#ref(), seq, head, legs: this.#capture.counts() });
    } catch (error) {
      this.#deps.log.error({ ...this.#ref(), ...brief(error) }, 'the end of a capture failed');
      this.#tellFailed('end_failed');
    }
    if (this.#failure !== undefined) {
      await this.#failure;
      await this.#release();
    }
    this.#finish();
  }

  /** Once: the daemon gives a capture up for its first reason. */
  #tellFailed(reason: string): void {
    this.#failure ??= this.#deps
      .report({ type: 'failed', ...this.#ref(), reason })
      .catch((error: unknown) =>
        this.#deps.log.error({ ...this.#ref(), ...brief(error) }, 'the queue does not carry the failure'),
      );
  }

  /** What was acknowledged gets into the journals as soon as the disk takes it; then the daemon may finalise them. */
  async #release(): Promise<void> {
    const { log, report } = this.#deps;
    const { signal } = this.#leaving;
    let pauseMs = FIRST_RELEASE_PAUSE_MS;
    for (;;) {
      try {
        await this.#writer.makeWhole();
        break;
      } catch (error) {
        log.error({ ...this.#ref(), ...brief(error) }, 'acknowledged audio is not in its journal yet');
        // Trying again would not help: the journal is finalised or quarantined as it is.
        if (error instanceof VerbatimError && error.code === 'corrupt') break;
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      pauseMs = Math.min(pauseMs * 2, MAX_RELEASE_PAUSE_MS);
    }
    // A daemon that misses it asks again, by `stop`.
    await report({ type: 'released', ...this.#ref(), epoch: this.#writer.epoch }).catch((error: unknown) =>
      log.warn({ ...this.#ref(), ...brief(error) }, 'the daemon does not know that the journal is released'),
    );
  }

  /** Reports without waiting; a report that is given up leaves nobody who knows of this capture. */
  #report(event: RecorderEvent): void {
    this.#deps.report(event).catch((error: unknown) => {
      this.#deps.log.error(
        { ...this.#ref(), event: event.type, ...brief(error) },
        'the daemon cannot be told',
      );
      void this.stop('daemon_unreachable');
    });
  }

  #ref(): { recordingId: string; epoch: number; recorderId: string } {
    return {
      recordingId: this.job.recordingId,
      epoch: this.job.epoch,
      recorderId: this.#deps.recorderId,
    };
  }
}
