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
}

/** A capture whose legs were never named, or that heard nothing at all for this long, ends by itself. */
const LEGS_TIMEOUT_MS = 30_000;
const IDLE_END_US = 600_000_000;

/**
 * One capture job from the moment a recorder takes it until its journal has its END: creates the journal, reports
 * `listening`, obeys the commands for its recording and epoch, reports `ready`, `armed`, and `ended` or `failed`.
 */
export class CaptureSession {
  readonly job: CaptureJob;
  /** Resolves when the capture is over and that has been reported; never rejects. */
  readonly done: Promise<void>;
  readonly #deps: SessionDeps;
  readonly #capture: Capture;
  readonly #startedUs = monotonicUs();
  #legsTimer: NodeJS.Timeout | undefined;
  #finish: () => void = () => undefined;
  #ended: Promise<void> | undefined;

  private constructor(job: CaptureJob, deps: SessionDeps, writer: JournalWriter) {
    this.job = job;
    this.#deps = deps;
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#capture = new Capture(writer, deps.socket, {
      armed: ({ seq, head }) => this.#report({ type: 'armed', ...this.#ref(), seq, head }),
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
      writer = await JournalWriter.create({
        log: deps.commitLog,
        recording: job.recordingId,
        call: job.callId,
        epoch: job.epoch,
        recorder: deps.recorderId,
        recipients: await readRecipients(paths.keys),
        onEpoch: (next, cause) =>
          log.warn({ ...about, next, err: cause }, 'the journal goes on in another file'),
        onFailed: (error) => session?.fail(error),
      });
    } catch (error) {
      const code = error instanceof VerbatimError ? error.code : 'internal';
      if (code === 'conflict') {
        log.warn(about, 'this epoch has a journal already, the job is not taken');
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

  /** Ends the capture; resolves when END is durable and reported, or has failed and that is reported. */
  stop(reason: string): Promise<void> {
    this.#ended ??= this.#end(async () => {
      const { seq, head } = await this.#capture.end(reason);
      await this.#deps.report({ type: 'ended', ...this.#ref(), seq, head, legs: this.#capture.counts() });
    });
    return this.#ended;
  }

  /** The journal cannot be written, or the legs cannot be let in: gives the capture up. */
  fail(error: unknown): void {
    if (this.#ended !== undefined) return;
    this.#deps.log.error({ ...this.#ref(), err: error }, 'a capture failed');
    this.#ended = this.#end(async () => {
      // What was acknowledged is in the log. END is one more write to what has just failed, so it may fail as well.
      await this.#capture.end('failed').catch((again: unknown) => {
        this.#deps.log.warn({ ...this.#ref(), err: again }, 'no END could be written');
      });
      const reason = error instanceof VerbatimError ? error.code : 'internal';
      await this.#deps.report({ type: 'failed', ...this.#ref(), reason });
    });
  }

  /** Called now and then: ends a capture that hears nothing, as when the whole media side is gone. */
  checkIdle(nowUs: number): void {
    const last = Math.max(this.#startedUs, this.#capture.lastPacketUs);
    if (nowUs - last > IDLE_END_US) void this.stop('idle');
  }

  async #end(act: () => Promise<void>): Promise<void> {
    clearTimeout(this.#legsTimer);
    try {
      await act();
    } catch (error) {
      this.#deps.log.error({ ...this.#ref(), ...brief(error) }, 'the end of a capture failed');
      const event: RecorderEvent = { type: 'failed', ...this.#ref(), reason: 'end_failed' };
      await this.#deps.report(event).catch(() => undefined);
    } finally {
      this.#finish();
    }
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
