import type { CaptureJob, ChildMessage, RecorderCommand, RecorderEvent } from '#protocol';
import { RECORDER_TIMES } from '#protocol';
import type { DataPaths } from '#store';
import { assertFreeSpace, CommitLog, monotonicUs } from '#store';
import { kernelDrops } from './drops.ts';
import type { CaptureHead, SessionDeps } from './job.ts';
import { CaptureSession } from './job.ts';
import type { Log, WorkerQueue } from './queue.ts';
import { brief } from './queue.ts';
import { RECEIVE_BUFFER_BYTES, RtpSocket } from './socket.ts';

export interface RecorderOptions {
  recorderId: string;
  ip: string;
  /** 0 lets the system choose. */
  port: number;
  /** Where media workers reach the socket, if not at `ip`. */
  announcedIp?: string;
  maxCaptures: number;
  /** A new capture is refused when the disk would not keep this, with `reserveBytes` for each that runs and for it. */
  minFreeBytes?: number;
  reserveBytes?: number;
  paths: DataPaths;
  queue: WorkerQueue;
  log: Log;
  /** The IPC channel to the daemon that started this process, if one did. */
  tellParent?: (message: ChildMessage) => void;
  /**
   * A capture failed and nobody could be told. Whoever runs the recorder ends it: a recorder that falls silent is noticed
   * and its calls are ended, while one that lives on would let them talk unrecorded.
   */
  onUntold?: () => void;
}

/** A flood of hang-ups commits together; this bounds how often the disk is asked to flush. */
const MAX_COMMITS_PER_SECOND = 4;
/** Captures that ended last: a repeated `stop` is answered from here. */
const MAX_REMEMBERED = 512;
const IDLE_CHECK_MS = 10_000;
/** Heads that are due are told together this often, so many in one event at most. */
const HEADS_TICK_MS = 1_000;
const MAX_HEADS = 256;

/**
 * One recorder: one UDP socket, one commit log, as many captures as the queue gives it. It takes capture jobs until
 * `close`, which ends every capture with a reason and then says `leaving`.
 */
export class Recorder {
  readonly socket: RtpSocket;
  readonly #options: RecorderOptions;
  readonly #commitLog: CommitLog;
  readonly #deps: SessionDeps;
  readonly #sessions = new Map<string, CaptureSession>();
  /** Jobs whose journal is being made. */
  readonly #starting = new Set<string>();
  readonly #remembered = new Map<string, RecorderEvent>();
  readonly #timers: NodeJS.Timeout[] = [];
  #beating = false;
  #tellingHeads = false;
  #closing: Promise<void> | undefined;

  private constructor(options: RecorderOptions, socket: RtpSocket, commitLog: CommitLog) {
    this.#options = options;
    this.socket = socket;
    this.#commitLog = commitLog;
    const { ip, port } = socket.address;
    this.#deps = {
      recorderId: options.recorderId,
      paths: options.paths,
      commitLog,
      socket,
      address: { ip: options.announcedIp ?? ip, port },
      log: options.log,
      report: (event) => this.#report(event),
      assertSpace: () => this.#assertSpace(),
    };
  }

  /** Listens, opens the log and begins to take jobs. */
  static async open(options: RecorderOptions): Promise<Recorder> {
    const { log, paths } = options;
    const socket = await RtpSocket.open(options);
    socket.onError((error) => log.warn({ err: error }, 'UDP socket'));
    checkReceiveBuffer(socket, log);
    let recorder: Recorder;
    try {
      const commitLog = await CommitLog.open({
        dir: paths.log(options.recorderId),
        journalsDir: paths.journals,
        maxCommitsPerSecond: MAX_COMMITS_PER_SECOND,
        // A capture that this ends hears of it from its own journal.
        onError: (error) => log.error({ err: error }, 'commit log'),
      });
      recorder = new Recorder(options, socket, commitLog);
    } catch (error) {
      await socket.close();
      throw error;
    }
    try {
      await recorder.#begin();
    } catch (error) {
      await recorder.close('failed');
      throw error;
    }
    return recorder;
  }

  get captures(): number {
    return this.#sessions.size;
  }

  /** Takes no more jobs, ends every capture for `reason`, says `leaving`, and closes all it opened. */
  close(reason: string): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  async #begin(): Promise<void> {
    const { queue, recorderId, maxCaptures, tellParent } = this.#options;
    await queue.takeCommands(recorderId, (command) => this.#command(command));
    await queue.takeCaptures((job) => this.#capture(job), maxCaptures);
    tellParent?.({ type: 'started', recorderId });
    void this.#beat();
    this.#timers.push(
      setInterval(() => void this.#beat(), RECORDER_TIMES.heartbeatMs),
      setInterval(() => void this.#tellHeads(), HEADS_TICK_MS),
      setInterval(() => {
        const now = monotonicUs();
        for (const session of this.#sessions.values()) session.checkIdle(now);
      }, IDLE_CHECK_MS),
    );
  }

  /** A job in hand: as long as the capture. A job that comes a second time waits for the first. */
  async #capture(job: CaptureJob): Promise<void> {
    const key = keyOf(job);
    const running = this.#sessions.get(key);
    if (running !== undefined) return running.done;
    if (this.#closing !== undefined) return;
    this.#starting.add(key);
    const session = await CaptureSession.start(job, this.#deps).finally(() => this.#starting.delete(key));
    if (session === undefined) return;
    this.#sessions.set(key, session);
    // The recorder may have begun to close while the journal was made.
    if (this.#closing !== undefined) void session.leave('shutdown');
    await session.done;
    this.#sessions.delete(key);
  }

  #command(command: RecorderCommand): void {
    const key = keyOf(command);
    const session = this.#sessions.get(key);
    if (session !== undefined) {
      session.command(command);
      return;
    }
    this.#options.log.info({ command: command.type, key }, 'a command for a capture that is not here');
    const { recordingId, epoch } = command;
    // Whoever is told that this recorder let go takes it for the whole recording.
    if (command.type !== 'stop' || this.#hasPartIn(recordingId)) return;
    const answer = this.#remembered.get(key) ?? {
      type: 'released',
      recordingId,
      epoch,
      recorderId: this.#options.recorderId,
    };
    void this.#options.queue.report(answer).catch((error: unknown) => this.#untold(error));
  }

  async #report(event: RecorderEvent): Promise<void> {
    if (event.type === 'ended' || event.type === 'failed' || event.type === 'released') {
      this.#remembered.set(keyOf(event), event);
      const [oldest] = this.#remembered.keys();
      if (this.#remembered.size > MAX_REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest);
    }
    const { queue, tellParent, onUntold } = this.#options;
    // The queue may be on the disk that failed; the daemon beside us hears it without.
    if (event.type === 'failed') tellParent?.(event);
    try {
      await queue.report(event);
    } catch (error) {
      if (event.type === 'failed' && tellParent === undefined) onUntold?.();
      throw error;
    }
  }

  #hasPartIn(recordingId: string): boolean {
    return [...this.#starting, ...this.#sessions.keys()].some((key) => key.startsWith(`${recordingId}-`));
  }

  async #assertSpace(): Promise<void> {
    const { minFreeBytes = 0, reserveBytes = 0, paths } = this.#options;
    const neededBytes = minFreeBytes + reserveBytes * (this.#sessions.size + this.#starting.size);
    if (neededBytes > 0) await assertFreeSpace([paths.journals, paths.wal], neededBytes);
  }

  /** Each running capture's newest head, about every headEveryMs, and soon after it was armed. */
  async #tellHeads(): Promise<void> {
    // A queue that does not answer must not gather heads in memory.
    if (this.#tellingHeads) return;
    const now = monotonicUs();
    const due: CaptureHead[] = [];
    for (const session of this.#sessions.values()) {
      if (due.length === MAX_HEADS) break;
      const head = session.takeHead(now, RECORDER_TIMES.headEveryMs);
      if (head !== undefined) due.push(head);
    }
    if (due.length === 0) return;
    this.#tellingHeads = true;
    try {
      const { recorderId, queue } = this.#options;
      await queue.report({ type: 'heads', recorderId, heads: due });
    } catch (error) {
      this.#untold(error);
    } finally {
      this.#tellingHeads = false;
    }
  }

  async #beat(): Promise<void> {
    const { queue, recorderId, tellParent } = this.#options;
    tellParent?.({ type: 'heartbeat', recorderId });
    // A queue that does not answer must not gather heartbeats in memory.
    if (this.#beating) return;
    this.#beating = true;
    try {
      const { user, system } = process.cpuUsage();
      const { taken, bytes: _, ...refused } = this.socket.counters;
      const commits = this.#commitLog.stats();
      await queue.beat({
        type: 'heartbeat',
        recorderId,
        atMs: Date.now(),
        captures: this.#sessions.size,
        commitMs: commits.commitMsMedian,
        commits: commits.commits,
        kernelDrops: await kernelDrops(this.socket.address.port),
        packets: taken,
        refused: Object.values(refused).reduce((sum, count) => sum + count, 0),
        cpuUs: user + system,
        rssBytes: process.memoryUsage.rss(),
      });
    } catch (error) {
      this.#untold(error);
    } finally {
      this.#beating = false;
    }
  }

  async #close(reason: string): Promise<void> {
    const { queue, recorderId, log } = this.#options;
    const steps: (() => Promise<unknown>)[] = [
      () => queue.pause(),
      () => Promise.all([...this.#sessions.values()].map((session) => session.leave(reason))),
      () => queue.report({ type: 'leaving', recorderId, atMs: Date.now() }),
      () => this.socket.close(),
      () => this.#commitLog.close(),
      () => queue.close(),
    ];
    for (const timer of this.#timers) clearInterval(timer);
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        log.error(brief(error), 'a step of leaving failed');
      }
    }
  }

  #untold(error: unknown): void {
    this.#options.log.warn(brief(error), 'the daemon could not be told');
  }
}

function keyOf({ recordingId, epoch }: { recordingId: string; epoch: number }): string {
  return `${recordingId}-${epoch}`;
}

/** A small buffer is no reason to refuse calls, but it will lose packets when the machine is busy. */
function checkReceiveBuffer(socket: RtpSocket, log: Log): void {
  const got = socket.receiveBufferBytes;
  if (got >= RECEIVE_BUFFER_BYTES) return;
  log.warn(
    { wantedBytes: RECEIVE_BUFFER_BYTES, gotBytes: got },
    `the receive buffer is ${got} bytes, ${RECEIVE_BUFFER_BYTES} are needed: packets may be lost under load. ` +
      `Raise it with: sysctl -w net.core.rmem_max=${RECEIVE_BUFFER_BYTES}`,
  );
}
