import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { CaptureJob, RecorderEvent } from '#protocol';
import { RECORDER_TIMES, VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { assertFreeSpace, dataPaths } from '#store';
import type { Database } from '../db/index.ts';
import type { NewRecording, RecordingRow } from '../db/recordings.ts';
import { insertRecording, openRecordings, setRecorder } from '../db/recordings.ts';
import type { FinishEvidence, RunningHead } from '../evidence/index.ts';
import type { QueueSettings } from './backend.ts';
import type { CaptureActs } from './capture.ts';
import { Capture } from './capture.ts';
import { Chains } from './chains.ts';
import { WorkerChild } from './children.ts';
import { Endings, OPEN_STATES } from './endings.ts';
import type { RecorderInfo } from './known-recorders.ts';
import { KnownRecorders } from './known-recorders.ts';
import type { OnlyDaemon } from './only-daemon.ts';
import { becomeOnlyDaemon } from './only-daemon.ts';
import { Openings } from './openings.ts';
import type { Log } from './queue.ts';
import { brief, RecorderQueue } from './queue.ts';
import type { FilesReport } from './recovery.ts';
import { Recovery } from './recovery.ts';

export interface RecordingServiceOptions {
  db: Database;
  evidence: FinishEvidence;
  queue: QueueSettings;
  dataDir: string;
  log: Log;
  /** Calls are refused with `no_space` when less than this would be left where journals and recordings lie. */
  minFreeBytes?: number;
  /** What every running capture, and the new one, may still take of that space. */
  reserveBytes?: number;
  /** Another daemon took over the database: this one must end. The sentence is for the operator. */
  onLost?: (sentence: string) => void;
  /** How often open recordings are looked after; for tests. */
  sweepMs?: number;
  /** How long one look waits for a recorder to let go of a journal; for tests. */
  releaseMs?: number;
  /** How long one attempt at finalising may take, or wait without any other coming to its end; for tests. */
  stuckMs?: number;
  /** Worker processes to run as children, and the environment with their settings. None in a test of the service. */
  children?: { recorder: boolean; standby?: boolean; finaliser: boolean; env: NodeJS.ProcessEnv };
}

/** A recorder that was told to stop has END durable within this, or its journal is ended from the files. */
const STOP_TIMEOUT_MS = 5_000;
const SWEEP_MS = 10_000;
/** A recorder that is asked to stop, or that loses its daemon, is gone within this. */
const RELEASE_TIMEOUT_MS = 8_000;
/** An hour's call is finalised in a second: even a machine that does a hundred other things is through by then. */
const STUCK_MS = 900_000;
const MAX_RECOVERED = 100_000;
const RECOVER_AT_ONCE = 16;
/** How long a finished finaliser may take to let go of its job. */
const LET_GO_MS = 10_000;
const LET_GO_POLL_MS = 100;
/** Epochs that one search may find taken, by earlier recorders that opened them by themselves. */
const MAX_EPOCH_TRIES = 8;

/**
 * Every recording's life: `open` when a call is accepted, the `Capture` while it runs, then finalising, until the row
 * says `available` or `failed`. Emits `changed` with the row after each change of state, `recorder` with the id of a
 * recorder that is new, and `recorderGone` with that of one that is lost or has left. `recover` takes up what an
 * earlier daemon left; a sweep takes up what the queue lost. Nothing stays in between for ever.
 */
export class RecordingService extends EventEmitter<{
  changed: [RecordingRow];
  recorder: [string];
  recorderGone: [string];
}> {
  readonly #db: Database;
  readonly #evidence: FinishEvidence;
  readonly #log: Log;
  readonly #paths: DataPaths;
  readonly #queue: RecorderQueue;
  readonly #only: OnlyDaemon;
  readonly #recovery: Recovery;
  readonly #minFreeBytes: number;
  readonly #reserveBytes: number;
  readonly #sweepMs: number;
  readonly #releaseMs: number;
  readonly #openings: Openings;
  /** The newest capture of each recording that runs. */
  readonly #captures = new Map<string, Capture>();
  readonly #recorders: KnownRecorders;
  readonly #acts: CaptureActs;
  readonly #children: WorkerChild[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #chains: Chains;
  readonly #endings: Endings;
  #closing: Promise<void> | undefined;

  private constructor(options: RecordingServiceOptions, queue: RecorderQueue, only: OnlyDaemon) {
    super();
    this.#db = options.db;
    this.#evidence = options.evidence;
    this.#log = options.log;
    this.#paths = dataPaths(options.dataDir);
    this.#minFreeBytes = options.minFreeBytes ?? 0;
    this.#reserveBytes = options.reserveBytes ?? 0;
    this.#sweepMs = options.sweepMs ?? SWEEP_MS;
    this.#releaseMs = options.releaseMs ?? RELEASE_TIMEOUT_MS;
    this.#queue = queue;
    this.#only = only;
    const recovery = new Recovery(this.#paths, options.log);
    this.#recovery = recovery;
    this.#openings = new Openings({
      queue,
      log: options.log,
      writerOf: (recordingId, epoch) => recovery.writerOf(recordingId, epoch),
    });
    this.#recorders = new KnownRecorders({
      log: options.log,
      onNew: (recorderId) => this.#recorderIsNew(recorderId),
      onSilent: (recorderId) => this.#recorderIsSilent(recorderId),
    });
    this.#chains = new Chains(options.log);
    this.#endings = new Endings({
      db: options.db,
      evidence: options.evidence,
      queue,
      recovery,
      chains: this.#chains,
      log: options.log,
      sweepMs: this.#sweepMs,
      releaseMs: this.#releaseMs,
      stuckMs: options.stuckMs ?? STUCK_MS,
      runs: (recordingId) => this.#captures.has(recordingId) || this.#openings.has(recordingId),
      onChanged: (row) => this.emit('changed', row),
      onAbandoned: (row) => this.#forgetUnheard(row),
      // One of ours that hangs would keep all others waiting too.
      onStuck: () => {
        for (const child of this.#children) if (child.role === 'finalise') child.kill();
      },
    });
    this.#acts = {
      send: (recorderId, command) => this.#queue.send(recorderId, command),
      settle: (ended, reason) => this.#settle(ended, reason),
    };
  }

  /** Connects to the queue, begins to hear recorders, and starts the worker processes. One per database. */
  static async open(options: RecordingServiceOptions): Promise<RecordingService> {
    const only = await becomeOnlyDaemon({
      databaseUrl: options.queue.databaseUrl,
      log: options.log,
      ...(options.onLost === undefined ? {} : { onLost: options.onLost }),
    });
    let queue: RecorderQueue | undefined;
    try {
      queue = await RecorderQueue.open(options.queue, options.log);
      const service = new RecordingService(options, queue, only);
      await service.#recovery.prepare();
      await queue.listen((event) => service.#heard(event));
      service.#begin(options);
      return service;
    } catch (error) {
      await queue?.close();
      await only.release();
      throw error;
    }
  }

  /** Recorders that were heard of lately. */
  get recorders(): RecorderInfo[] {
    return this.#recorders.list;
  }

  /** Jobs that no recorder and no finaliser has taken yet. */
  waiting(): Promise<{ capture: number; finalise: number }> {
    return this.#queue.waiting();
  }

  /** Resolves when a recorder has been heard of; false when none is within `timeoutMs`. */
  async whenRecorder(timeoutMs: number): Promise<boolean> {
    if (this.#recorders.size > 0) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const found = () => resolve(true);
    const timer = setTimeout(() => resolve(false), timeoutMs);
    this.once('recorder', found);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.off('recorder', found);
    }
  }

  /**
   * Finds a recorder for a call: enters the recording, queues the capture job and waits until a recorder listens.
   * @throws VerbatimError `recorder_unavailable` when none does within 3 s (a recorder that comes later does not
   * start), `no_space`, `shutting_down`.
   */
  async open(recording: NewRecording): Promise<Capture> {
    this.#assertOpen();
    await this.#assertSpace();
    const { recordingId, callId } = recording;
    const expiresAtMs = Date.now() + RECORDER_TIMES.openMs;
    const job: CaptureJob = { recordingId, callId, epoch: 1, expiresAtMs };
    await insertRecording(this.#db, recording);
    try {
      const recorder = await this.#openings.find(job, RECORDER_TIMES.openMs, new Set());
      return this.#runs(new Capture({ recordingId, callId, epoch: job.epoch, recorder }, this.#acts));
    } catch (error) {
      const failure = asUnavailable(error);
      await this.#endings.change(recordingId, {
        to: 'failed',
        reason: failure.code,
        detail: failure.message,
      });
      throw failure;
    }
  }

  /**
   * Finds another recorder for a recording whose recorder was lost in mid-call: a capture of the next epoch, which
   * starts and is armed like the first. The epoch is greater than every one on disk; where a lost recorder was faster
   * with it, the one after it. When this fails the lost capture is still there to be stopped.
   * @throws VerbatimError `conflict` unless the recording was armed, its recorder is lost and nobody stopped it;
   * `recorder_unavailable` when no recorder listens within RECORDER_TIMES.reattachMs; `no_space`, `shutting_down`.
   */
  async reopen(recordingId: string): Promise<Capture> {
    this.#assertOpen();
    const before = this.#captures.get(recordingId);
    if (before?.lost === undefined || before.isStopping || !before.wasHeard)
      throw new VerbatimError('conflict', 'only a running recording whose recorder is lost is reopened');
    const { callId } = before;
    const until = performance.now() + RECORDER_TIMES.reattachMs;
    const expiresAtMs = Date.now() + RECORDER_TIMES.reattachMs;
    const prev = before.newestHead?.head;
    let epoch = before.epoch;
    for (let turn = 1; ; turn += 1) {
      epoch = Math.max(epoch, ...(await this.#recovery.epochsOf(recordingId))) + 1;
      assertGoesOn(before);
      const job: CaptureJob = {
        recordingId,
        callId,
        epoch,
        expiresAtMs,
        ...(prev === undefined ? {} : { prev }),
      };
      try {
        const recorder = await this.#openings.find(job, until - performance.now(), before.recorders);
        if (before.isStopping) this.#stopLate(recordingId, epoch, recorder.recorderId);
        assertGoesOn(before);
        before.replaced();
        return this.#runs(new Capture({ recordingId, callId, epoch, recorder, before }, this.#acts));
      } catch (error) {
        const failure = asUnavailable(error);
        if (failure.code !== 'conflict' || turn === MAX_EPOCH_TRIES) throw failure;
      }
    }
  }

  /**
   * Takes up what an earlier daemon left behind: replays commit logs into journals and queues finalising for every
   * recording that is not at its end. Call once at the start, before calls are let in. A recorder of before that
   * still runs is told to stop and waited for, within limits; what it leaves open after that the sweep takes up.
   */
  async recover(): Promise<FilesReport & { recordings: number }> {
    this.#assertOpen();
    const report = await this.#recovery.atStart(this.#db);
    const rows = await openRecordings(this.#db, OPEN_STATES, MAX_RECOVERED);
    for (let at = 0; at < rows.length; at += RECOVER_AT_ONCE)
      await Promise.all(
        rows.slice(at, at + RECOVER_AT_ONCE).map((row) => this.#endings.takeUp(row, 'daemon_lost')),
      );
    for (const recorderId of new Set(rows.map((row) => row.recorderId)))
      if (recorderId !== null && !this.#recorders.has(recorderId)) this.#forget(recorderId);
    return { ...report, recordings: rows.length };
  }

  /**
   * Has a recording finalised again that failed although its capture is intact: the disk was full, the key was away.
   * @throws VerbatimError `conflict` when it did not fail, failed for another reason, has no journals any more, or its
   * failure is not entered yet.
   */
  async retry(recordingId: string): Promise<void> {
    this.#assertOpen();
    await this.#endings.retry(recordingId);
  }

  /** Stops every capture, waits until each is queued for finalising, and stops the worker processes. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #begin({ children, log }: RecordingServiceOptions): void {
    this.#timers.push(setInterval(() => void this.#endings.sweep(), this.#sweepMs));
    const start = (role: 'capture' | 'finalise', env: NodeJS.ProcessEnv) =>
      this.#children.push(
        new WorkerChild({
          role,
          env,
          standby: role === 'capture' && (children?.standby ?? false),
          log,
          onMessage: (message) => {
            this.#recorders.seen(message.recorderId);
            if (message.type === 'failed') this.#heard(message);
          },
          onExit: (recorderId) => {
            if (recorderId !== undefined) this.#recorderGone(recorderId, 'the recorder process ended');
          },
        }),
      );
    if (children?.recorder) start('capture', children.env);
    if (children?.finaliser) start('finalise', children.env);
  }

  #runs(capture: Capture): Capture {
    const { recordingId, epoch, recorder } = capture;
    this.#captures.set(recordingId, capture);
    void this.#chains.inOrder(recordingId, () =>
      setRecorder(this.#db, recordingId, epoch, recorder.recorderId),
    );
    return capture;
  }

  /** Every event of every recorder, in order. Returns at once. */
  #heard(event: RecorderEvent): void {
    switch (event.type) {
      case 'heartbeat':
        this.#recorders.heartbeat(event);
        return;
      case 'leaving':
        this.#recorderGone(event.recorderId, 'the recorder left');
        return;
      case 'finalised':
        void this.#chains.inOrder(event.recordingId, () =>
          this.#endings.finalised(event.recordingId, event.result),
        );
        return;
      case 'listening':
        this.#listening(event);
        return;
      case 'heads':
        void this.#evidence.heads(this.#runningHeads(event));
        return;
      case 'released':
        this.#recovery.letGo(event.recordingId, event.recorderId, event.epoch);
        return;
      default: {
        if (event.type === 'failed') this.#openings.failed(event);
        if (event.type === 'ended') this.#recovery.letGo(event.recordingId, event.recorderId, event.epoch);
        const capture = this.#captures.get(event.recordingId);
        if (capture === undefined || capture.epoch !== event.epoch) return;
        if (capture.recorder.recorderId !== event.recorderId) return;
        if (event.type === 'armed')
          void this.#chains.inOrder(event.recordingId, () => this.#armed(capture, event));
        else capture.heard(event);
      }
    }
  }

  /** Only of captures that run, on the recorder that has them: whatever else comes was overtaken. */
  #runningHeads({ recorderId, heads }: Extract<RecorderEvent, { type: 'heads' }>): RunningHead[] {
    return heads.flatMap(({ recordingId, epoch, seq, head }) => {
      const capture = this.#captures.get(recordingId);
      // A recorder whose file broke goes on in a later epoch by itself.
      if (capture === undefined || epoch < capture.epoch || capture.isOver) return [];
      if (capture.recorder.recorderId !== recorderId || !capture.isArmed) return [];
      return capture.noteHead({ epoch, seq, head })
        ? [{ recordingId, callId: capture.callId, epoch, seq, head }]
        : [];
    });
  }

  /** The row comes first: one that does not say `capturing` belongs to a call that nobody heard, and is discarded. */
  async #armed(capture: Capture, event: Extract<RecorderEvent, { type: 'armed' }>): Promise<void> {
    if (capture.isArmed || capture.isOver) return;
    const { recordingId, recorderId } = event;
    try {
      // One that goes on with the recording finds it `capturing`.
      if (capture.before === undefined)
        await this.#endings.change(recordingId, { to: 'capturing', recorderId, startedAt: new Date() });
    } catch (error) {
      capture.lose('its row could not be changed');
      throw error;
    }
    capture.heard(event);
    // A call of a few seconds has a receipt as well: the first head leaves at once.
    if (capture.isArmed) {
      const { epoch, seq, head } = event;
      void this.#evidence.heads([{ recordingId, callId: capture.callId, epoch, seq, head }]);
    }
  }

  #listening(event: Extract<RecorderEvent, { type: 'listening' }>): void {
    const { recordingId, epoch, recorderId } = event;
    this.#recorders.seen(recorderId);
    if (this.#openings.listening(event)) return;
    const capture = this.#captures.get(recordingId);
    // Nobody waits for it any more: it must not sit there with an open journal.
    if (capture?.epoch !== epoch || capture.recorder.recorderId !== recorderId)
      this.#stopLate(recordingId, epoch, recorderId);
  }

  #stopLate(recordingId: string, epoch: number, recorderId: string): void {
    this.#queue
      .send(recorderId, { type: 'stop', recordingId, epoch, reason: 'expired' })
      .catch((error: unknown) =>
        this.#log.warn({ recordingId, ...brief(error) }, 'a late recorder was not stopped'),
      );
  }

  /** One that was lost and wakes up again still has the captures that others went on with: it must end them. */
  #recorderIsNew(recorderId: string): void {
    for (const newest of this.#captures.values())
      for (let capture = newest.before; capture !== undefined; capture = capture.before)
        if (capture.recorder.recorderId === recorderId)
          this.#stopLate(capture.recordingId, capture.epoch, recorderId);
    this.emit('recorder', recorderId);
  }

  #recorderIsSilent(recorderId: string): void {
    this.#recorderGone(recorderId, 'the recorder does not answer');
    // A recorder that hangs must not wake up later and write on.
    for (const child of this.#children) if (child.recorderId === recorderId) child.kill();
  }

  #recorderGone(recorderId: string, reason: string): void {
    if (!this.#recorders.forget(recorderId)) return;
    const captures = [...this.#captures.values()].filter(
      (capture) => capture.recorder.recorderId === recorderId,
    );
    if (captures.length > 0 && this.#closing === undefined)
      this.#log.error({ recorderId, reason, captures: captures.length }, 'a recorder is lost');
    for (const capture of captures) capture.lose(reason);
    this.#openings.recorderGone(recorderId);
    this.emit('recorderGone', recorderId);
    this.#forget(recorderId);
  }

  #forget(recorderId: string): void {
    this.#queue.forget(recorderId).catch((error: unknown) => {
      this.#log.info(
        { recorderId, ...brief(error) },
        'the commands of a recorder that is gone stay in the queue',
      );
    });
  }

  /** Nobody may ever read what a recorder was told that is not heard of. */
  #forgetUnheard({ state, recorderId }: RecordingRow): void {
    if (state !== 'processing' && recorderId !== null && !this.#recorders.has(recorderId))
      this.#forget(recorderId);
  }

  /** The end of a recording: END or the files, then the row, then the finalise job. Never rejects. */
  async #settle(capture: Capture, reason: string): Promise<void> {
    const { recordingId, callId } = capture;
    const newest = this.#captures.get(recordingId);
    if (newest !== undefined && newest !== capture) return newest.stop(reason);
    this.#openings.cancel(recordingId, new VerbatimError('recorder_unavailable', 'the call is over'));
    const word = await capture.lastWord(STOP_TIMEOUT_MS);
    await this.#openings.settled(recordingId);
    this.#captures.delete(recordingId);
    await this.#chains.inOrder(recordingId, async () => {
      const onlyOne = word?.type === 'ended' && capture.before === undefined;
      if (!onlyOne && !(await this.#recovery.released(recordingId, this.#releaseMs))) return;
      if (!capture.wasHeard) {
        // Neither side heard the other, so there is no conversation to keep.
        await this.#endings.notArmed(
          recordingId,
          `the call ended before both sides were recorded: ${reason}`,
        );
        return;
      }
      await this.#endings.change(recordingId, { to: 'processing', endedAt: new Date(), reason });
      await this.#endings.finalise(recordingId, callId);
    });
  }

  /**
   * The recording is about to be destroyed: no finaliser works on it when this resolves, and none begins.
   * @throws VerbatimError `conflict` while one has it and does not come to its end
   */
  async letGo(recordingId: string): Promise<void> {
    const until = performance.now() + LET_GO_MS;
    for (;;) {
      try {
        await this.#queue.clearFinalise(recordingId);
        break;
      } catch (error) {
        // A job is locked for a moment after its result came.
        if (performance.now() > until)
          throw new VerbatimError('conflict', 'a finaliser still works on it', { cause: error });
        await delay(LET_GO_POLL_MS);
      }
    }
    this.#recovery.settled(recordingId);
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new VerbatimError('shutting_down');
  }

  /** The calls that run may need all of theirs before the new one ends, so their share counts as taken. */
  async #assertSpace(): Promise<void> {
    const neededBytes =
      this.#minFreeBytes + this.#reserveBytes * (this.#captures.size + this.#openings.size + 1);
    if (neededBytes === 0) return;
    const { journals, wal, recordings, ledger } = this.#paths;
    await assertFreeSpace([journals, wal, recordings, ledger], neededBytes);
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#recorders.close();
    this.#openings.cancelAll(new VerbatimError('shutting_down'));
    await Promise.all([...this.#captures.values()].map((capture) => capture.stop('shutdown')));
    await this.#endings.close();
    await this.#chains.settled();
    await Promise.all(this.#children.map((child) => child.close()));
    // What the workers said last is heard before the queue goes.
    await this.#queue.close();
    await this.#chains.settled();
    await this.#only
      .release()
      .catch((error: unknown) => this.#log.warn(brief(error), 'the database is gone'));
  }
}

function asUnavailable(error: unknown): VerbatimError {
  if (error instanceof VerbatimError) return error;
  return new VerbatimError('recorder_unavailable', 'no recorder could be asked', { cause: error });
}

/** Whoever looked for another recorder may have been overtaken by the end of the call. */
function assertGoesOn(before: Capture): void {
  if (before.isStopping) throw new VerbatimError('recorder_unavailable', 'the call is over');
}
