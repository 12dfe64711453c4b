import { EventEmitter } from 'node:events';
import { statfs } from 'node:fs/promises';
import type { CaptureJob, FinaliseResult, RecorderEvent } from '#protocol';
import { RECORDER_TIMES, VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { dataPaths } from '#store';
import type { Database } from '../db/index.ts';
import type { NewRecording, RecordingChange, RecordingRow } from '../db/recordings.ts';
import {
  changeRecording,
  insertRecording,
  openRecordings,
  recordingById,
  setRecorder,
} from '../db/recordings.ts';
import type { QueueSettings } from './backend.ts';
import type { RecorderAddress } from './capture.ts';
import { Capture } from './capture.ts';
import { WorkerChild } from './children.ts';
import type { OnlyDaemon } from './only-daemon.ts';
import { becomeOnlyDaemon } from './only-daemon.ts';
import type { Log } from './queue.ts';
import { brief, RecorderQueue } from './queue.ts';
import { RecorderClocks } from './recorder-clocks.ts';
import type { FilesReport } from './recovery.ts';
import { Recovery } from './recovery.ts';

export interface RecordingServiceOptions {
  db: Database;
  queue: QueueSettings;
  dataDir: string;
  log: Log;
  /** Calls are refused with `no_space` when less than this is free for journals. */
  minFreeBytes?: number;
  /** Another daemon took over the database: this one must end. The sentence is for the operator. */
  onLost?: (sentence: string) => void;
  /** How often open recordings are looked after; for tests. */
  sweepMs?: number;
  /** How long one look waits for a recorder to let go of a journal; for tests. */
  releaseMs?: number;
  /** Worker processes to run as children, and the environment with their settings. None in a test of the service. */
  children?: { recorder: boolean; finaliser: boolean; env: NodeJS.ProcessEnv };
}

/** A recorder as the daemon sees it. */
export interface RecorderInfo {
  recorderId: string;
  captures: number;
  /** Since the last heartbeat. */
  silentMs: number;
  kernelDrops: number;
  commitMs: number;
}

interface KnownRecorder {
  seenMs: number;
  heartbeat: Extract<RecorderEvent, { type: 'heartbeat' }> | undefined;
}

/** One open() that waits for a recorder. */
interface Opening {
  listening(address: RecorderAddress): void;
  failed(error: VerbatimError): void;
}

const MAX_RECORDERS = 256;
const MONITOR_MS = 250;
/** A recorder that was told to stop has END durable within this, or its journal is ended from the files. */
const STOP_TIMEOUT_MS = 5_000;
const SWEEP_MS = 10_000;
const SWEEP_ROWS = 500;
/** A recorder that is asked to stop, or that loses its daemon, is gone within this. */
const RELEASE_TIMEOUT_MS = 8_000;
const MAX_RECOVERED = 100_000;
const RECOVER_AT_ONCE = 16;
const OPEN_STATES = ['armed', 'capturing', 'processing'] as const;
/** How often a finalise job that vanished from the queue is made again before the recording is given up. */
const MAX_REQUEUES = 3;

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
  readonly #log: Log;
  readonly #paths: DataPaths;
  readonly #queue: RecorderQueue;
  readonly #only: OnlyDaemon;
  readonly #recovery: Recovery;
  readonly #minFreeBytes: number;
  readonly #sweepMs: number;
  readonly #releaseMs: number;
  readonly #openings = new Map<string, Opening>();
  readonly #captures = new Map<string, Capture>();
  readonly #recorders = new Map<string, KnownRecorder>();
  readonly #clocks = new RecorderClocks();
  readonly #children: WorkerChild[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  /** Work on one recording happens in order; another recording does not wait for it. */
  readonly #chains = new Map<string, Promise<unknown>>();
  readonly #requeues = new Map<string, number>();
  #absent = new Set<string>();
  #monitoredMs = performance.now();
  #sweeping: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: RecordingServiceOptions, queue: RecorderQueue, only: OnlyDaemon) {
    super();
    this.#db = options.db;
    this.#log = options.log;
    this.#paths = dataPaths(options.dataDir);
    this.#minFreeBytes = options.minFreeBytes ?? 0;
    this.#sweepMs = options.sweepMs ?? SWEEP_MS;
    this.#releaseMs = options.releaseMs ?? RELEASE_TIMEOUT_MS;
    this.#queue = queue;
    this.#only = only;
    this.#recovery = new Recovery(this.#paths, options.log);
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
    const now = performance.now();
    return [...this.#recorders].map(([recorderId, { seenMs, heartbeat }]) => ({
      recorderId,
      captures: heartbeat?.captures ?? 0,
      silentMs: Math.round(now - seenMs),
      kernelDrops: heartbeat?.kernelDrops ?? 0,
      commitMs: heartbeat?.commitMs ?? 0,
    }));
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
    const job: CaptureJob = {
      recordingId,
      callId,
      epoch: 1,
      expiresAtMs: Date.now() + RECORDER_TIMES.openMs,
    };
    await insertRecording(this.#db, recording);
    try {
      const recorder = await this.#findRecorder(job);
      const capture = new Capture(
        { recordingId, callId, epoch: job.epoch, recorder },
        {
          send: (recorderId, command) => this.#queue.send(recorderId, command),
          settle: (ended, reason) => this.#settle(ended, reason),
        },
      );
      this.#captures.set(recordingId, capture);
      void this.#inOrder(recordingId, () =>
        setRecorder(this.#db, recordingId, job.epoch, recorder.recorderId),
      );
      return capture;
    } catch (error) {
      const failure =
        error instanceof VerbatimError
          ? error
          : new VerbatimError('recorder_unavailable', 'no recorder could be asked', { cause: error });
      await this.#change(recordingId, { to: 'failed', reason: failure.code, detail: failure.message });
      throw failure;
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
      await Promise.all(rows.slice(at, at + RECOVER_AT_ONCE).map((row) => this.#takeUp(row, 'daemon_lost')));
    for (const recorderId of new Set(rows.map((row) => row.recorderId)))
      if (recorderId !== null && !this.#recorders.has(recorderId)) this.#forget(recorderId);
    return { ...report, recordings: rows.length };
  }

  /** Stops every capture, waits until each is queued for finalising, and stops the worker processes. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #begin({ children, log }: RecordingServiceOptions): void {
    this.#timers.push(
      setInterval(() => this.#monitor(), MONITOR_MS),
      setInterval(() => void this.#sweep(), this.#sweepMs),
    );
    const start = (role: 'capture' | 'finalise', env: NodeJS.ProcessEnv) =>
      this.#children.push(
        new WorkerChild({
          role,
          env,
          log,
          onMessage: (message) => {
            this.#seen(message.recorderId);
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

  async #findRecorder(job: CaptureJob): Promise<RecorderAddress> {
    const { recordingId } = job;
    let timer: NodeJS.Timeout | undefined;
    const listening = new Promise<RecorderAddress>((resolve, reject) => {
      this.#openings.set(recordingId, { listening: resolve, failed: reject });
      timer = setTimeout(() => {
        const seconds = RECORDER_TIMES.openMs / 1000;
        reject(new VerbatimError('recorder_unavailable', `no recorder was ready within ${seconds} s`));
      }, RECORDER_TIMES.openMs);
    });
    // The queue may refuse the job first.
    listening.catch(() => undefined);
    try {
      await this.#queue.addCapture(job);
      return await listening;
    } catch (error) {
      this.#queue.withdrawCapture(job).catch((again: unknown) => {
        this.#log.warn(
          { recordingId, ...brief(again) },
          'a capture job could not be taken back; it expires by itself',
        );
      });
      throw error;
    } finally {
      clearTimeout(timer);
      this.#openings.delete(recordingId);
    }
  }

  /** Every event of every recorder, in order. Returns at once. */
  #heard(event: RecorderEvent): void {
    switch (event.type) {
      case 'heartbeat': {
        // One that lay in the queue while no daemon ran says nothing about now.
        if (!this.#clocks.isFresh(event.recorderId, event.atMs, performance.now(), Date.now())) return;
        const known = this.#seen(event.recorderId);
        if (known !== undefined) known.heartbeat = event;
        return;
      }
      case 'leaving':
        this.#recorderGone(event.recorderId, 'the recorder left');
        return;
      case 'finalised':
        void this.#inOrder(event.recordingId, () => this.#finalised(event.recordingId, event.result));
        return;
      case 'listening':
        this.#listening(event);
        return;
      case 'heads':
        return;
      case 'released':
        this.#recovery.letGo(event.recordingId, event.recorderId);
        return;
      default: {
        const opening = this.#openings.get(event.recordingId);
        if (event.type === 'failed' && opening !== undefined) opening.failed(openingFailure(event.reason));
        const capture = this.#captures.get(event.recordingId);
        if (capture === undefined || capture.epoch !== event.epoch) return;
        if (capture.recorder.recorderId !== event.recorderId) return;
        if (event.type === 'armed') void this.#inOrder(event.recordingId, () => this.#armed(capture, event));
        else capture.heard(event);
      }
    }
  }

  /** The row comes first: one that does not say `capturing` belongs to a call that nobody heard, and is discarded. */
  async #armed(capture: Capture, event: Extract<RecorderEvent, { type: 'armed' }>): Promise<void> {
    if (capture.isArmed || capture.isOver) return;
    const { recordingId, recorderId } = event;
    try {
      await this.#change(recordingId, { to: 'capturing', recorderId, startedAt: new Date() });
    } catch (error) {
      capture.lose('its row could not be changed');
      throw error;
    }
    capture.heard(event);
  }

  #listening(event: Extract<RecorderEvent, { type: 'listening' }>): void {
    const { recordingId, epoch, recorderId, ip, port } = event;
    this.#seen(recorderId);
    const opening = this.#openings.get(recordingId);
    if (opening !== undefined) {
      this.#openings.delete(recordingId);
      opening.listening({ recorderId, ip, port });
    } else if (this.#captures.get(recordingId)?.recorder.recorderId !== recorderId) {
      // Nobody waits for it any more: it must not sit there with an open journal.
      this.#queue
        .send(recorderId, { type: 'stop', recordingId, epoch, reason: 'expired' })
        .catch((error: unknown) =>
          this.#log.warn({ recordingId, ...brief(error) }, 'a late recorder was not stopped'),
        );
    }
  }

  #seen(recorderId: string): KnownRecorder | undefined {
    const known = this.#recorders.get(recorderId);
    if (known !== undefined) {
      known.seenMs = performance.now();
      return known;
    }
    if (this.#recorders.size >= MAX_RECORDERS) {
      this.#log.warn({ recorderId }, `more than ${MAX_RECORDERS} recorders report; this one is not watched`);
      return undefined;
    }
    const fresh: KnownRecorder = { seenMs: performance.now(), heartbeat: undefined };
    this.#recorders.set(recorderId, fresh);
    this.emit('recorder', recorderId);
    return fresh;
  }

  #monitor(): void {
    const now = performance.now();
    // When this process itself stood still, nobody's silence means anything: the time does not count.
    const stalledMs = now - this.#monitoredMs - MONITOR_MS;
    this.#monitoredMs = now;
    for (const [recorderId, known] of this.#recorders) {
      if (stalledMs > MONITOR_MS) known.seenMs += stalledMs;
      if (now - known.seenMs <= RECORDER_TIMES.lostAfterMs) continue;
      this.#recorderGone(recorderId, 'the recorder does not answer');
      // A recorder that hangs must not wake up later and write on.
      for (const child of this.#children) if (child.recorderId === recorderId) child.kill();
    }
  }

  #recorderGone(recorderId: string, reason: string): void {
    if (!this.#recorders.delete(recorderId)) return;
    const captures = [...this.#captures.values()].filter(
      (capture) => capture.recorder.recorderId === recorderId,
    );
    if (captures.length > 0 && this.#closing === undefined)
      this.#log.error({ recorderId, reason, captures: captures.length }, 'a recorder is lost');
    for (const capture of captures) capture.lose(reason);
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

  /** The end of one capture: END or the files, then the row, then the finalise job. Never rejects. */
  async #settle(capture: Capture, reason: string): Promise<void> {
    const { recordingId } = capture;
    const word = await capture.lastWord(STOP_TIMEOUT_MS);
    this.#captures.delete(recordingId);
    await this.#inOrder(recordingId, async () => {
      if (word?.type !== 'ended' && !(await this.#released(recordingId, capture.recorder.recorderId))) return;
      if (!capture.isArmed) {
        // Neither side heard the other, so there is no conversation to keep.
        await this.#notArmed(recordingId, `the call ended before both sides were recorded: ${reason}`);
        return;
      }
      await this.#change(recordingId, { to: 'processing', endedAt: new Date(), reason });
      await this.#finalise(recordingId, capture.callId);
    });
  }

  /** An unheard call: its journals may hold what either side said into its microphone, so they go. */
  async #notArmed(recordingId: string, detail: string): Promise<void> {
    if (await this.#change(recordingId, { to: 'failed', reason: 'not_armed', detail }))
      await this.#recovery.discard(recordingId);
  }

  async #finalise(recordingId: string, callId: string): Promise<void> {
    const epochs = await this.#recovery.epochsOf(recordingId);
    if (epochs.length === 0) {
      const detail = 'no journal of this recording is on this disk';
      await this.#change(recordingId, { to: 'failed', reason: 'journal_missing', detail });
      return;
    }
    await this.#queue.addFinalise({ recordingId, callId, epochs });
  }

  async #finalised(recordingId: string, result: FinaliseResult): Promise<void> {
    await this.#change(
      recordingId,
      result.ok
        ? { to: 'available', result }
        : { to: 'failed', reason: result.reason, detail: result.detail },
    );
    await this.#queue.clearFinalise(recordingId).catch(() => undefined);
  }

  /** One recording whose daemon or finalise job is gone: brings it to where only finalising is missing, or to Failed. */
  async #takeUp({ recordingId }: RecordingRow, reason: 'daemon_lost' | 'recording_lost'): Promise<void> {
    await this.#inOrder(recordingId, async () => {
      // What it was when somebody looked may be long ago.
      const row = await recordingById(this.#db, recordingId);
      if (row === null || !OPEN_STATES.some((state) => state === row.state)) return;
      const { callId, epoch, recorderId } = row;
      if (row.state !== 'processing') {
        if (recorderId !== null) {
          await this.#queue.send(recorderId, { type: 'stop', recordingId, epoch, reason });
          if (!(await this.#released(recordingId, recorderId))) return;
        }
        const audio = await this.#recovery.audioOf(recordingId);
        if (row.state === 'armed' || audio === undefined) {
          await this.#notArmed(recordingId, 'the server stopped before both sides were recorded');
          return;
        }
        await this.#change(recordingId, { to: 'processing', endedAt: audio.endedAt, reason });
      }
      await this.#finalise(recordingId, callId);
    });
  }

  /** False, and said so, when a recorder still has the journal: the sweep comes back to it. */
  async #released(recordingId: string, recorderId: string): Promise<boolean> {
    const released = await this.#recovery.released(recordingId, recorderId, this.#releaseMs);
    if (!released) this.#log.warn({ recordingId, recorderId }, 'a recorder does not let go of its journal');
    return released;
  }

  /** Recordings in `processing` whose job the queue lost or gave up; also those whose settling failed half-way. */
  #sweep(): Promise<void> {
    this.#sweeping ??= this.#sweepOnce()
      .catch((error: unknown) => this.#log.warn(brief(error), 'looking after open recordings failed'))
      .finally(() => {
        this.#sweeping = undefined;
      });
    return this.#sweeping;
  }

  async #sweepOnce(): Promise<void> {
    const absent = new Set<string>();
    for (const row of await openRecordings(this.#db, OPEN_STATES, SWEEP_ROWS)) {
      const { recordingId } = row;
      if (this.#closing !== undefined) return;
      if (this.#captures.has(recordingId) || this.#openings.has(recordingId)) continue;
      // Work that is under way on it, or an event that is on its way, gets until the next look.
      if (this.#chains.has(recordingId) || Date.now() - row.updatedAt.getTime() < this.#sweepMs) continue;
      const job = await this.#queue.finaliseState(recordingId);
      if (job.state === 'failed') {
        await this.#inOrder(recordingId, () =>
          this.#finalised(recordingId, { ok: false, reason: 'finalise_failed', detail: job.reason }),
        );
      } else if (job.state === 'none') {
        // Once may be a result that is on its way here; twice in a row is a job that is gone.
        if (this.#absent.has(recordingId)) {
          await this.#requeue(row);
          this.#forgetUnheard(row);
        } else absent.add(recordingId);
      }
    }
    this.#absent = absent;
  }

  async #requeue(row: RecordingRow): Promise<void> {
    const { recordingId } = row;
    // Not `processing` yet: there never was a job, and its recorder may take as long as it needs to let go.
    if (row.state !== 'processing') return this.#takeUp(row, 'recording_lost');
    const count = (this.#requeues.get(recordingId) ?? 0) + 1;
    this.#requeues.set(recordingId, count);
    this.#log.warn({ recordingId, count }, 'a recording had no finalise job');
    if (count <= MAX_REQUEUES) return this.#takeUp(row, 'recording_lost');
    const detail = `the finalise job was lost ${MAX_REQUEUES} times`;
    await this.#inOrder(recordingId, () =>
      this.#finalised(recordingId, { ok: false, reason: 'finalise_failed', detail }),
    );
  }

  /** False when the row is past this. */
  async #change(recordingId: string, change: RecordingChange): Promise<boolean> {
    const row = await changeRecording(this.#db, recordingId, change);
    if (row === null) return false;
    if (row.state === 'available' || row.state === 'failed') {
      this.#requeues.delete(recordingId);
      this.#recovery.settled(recordingId);
    }
    this.#log.info({ recordingId, state: row.state, reason: row.reason }, 'recording changed');
    this.emit('changed', row);
    return true;
  }

  /** Runs after everything asked before for the same recording. A failure is logged: the sweep takes it up. */
  async #inOrder(recordingId: string, work: () => Promise<unknown>): Promise<void> {
    const chain = (this.#chains.get(recordingId) ?? Promise.resolve()).then(work).catch((error: unknown) => {
      this.#log.error(
        { recordingId, ...brief(error) },
        'a step of a recording failed and is taken up again later',
      );
    });
    this.#chains.set(recordingId, chain);
    await chain;
    if (this.#chains.get(recordingId) === chain) this.#chains.delete(recordingId);
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new VerbatimError('shutting_down');
  }

  async #assertSpace(): Promise<void> {
    if (this.#minFreeBytes === 0) return;
    const { bavail, bsize } = await statfs(this.#paths.journals);
    if (bavail * bsize < this.#minFreeBytes) throw new VerbatimError('no_space');
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const opening of this.#openings.values()) opening.failed(new VerbatimError('shutting_down'));
    await Promise.all([...this.#captures.values()].map((capture) => capture.stop('shutdown')));
    await this.#sweeping;
    await Promise.all(this.#chains.values());
    await Promise.all(this.#children.map((child) => child.close()));
    // What the workers said last is heard before the queue goes.
    await this.#queue.close();
    await Promise.all(this.#chains.values());
    await this.#only
      .release()
      .catch((error: unknown) => this.#log.warn(brief(error), 'the database is gone'));
  }
}

function openingFailure(reason: string): VerbatimError {
  if (reason === 'no_space') return new VerbatimError('no_space');
  return new VerbatimError('recorder_unavailable', `the recorder could not start: ${reason}`);
}
