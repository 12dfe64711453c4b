import type { CaptureLeg, RecorderCommand, RecorderEvent, Side } from '#protocol';
import { RECORDER_TIMES, VerbatimError } from '#protocol';

export interface RecorderAddress {
  recorderId: string;
  ip: string;
  port: number;
}

export interface Head {
  seq: number;
  /** c[seq] of the journal, hex. */
  head: string;
}

/** A head that cannot be lost any more, and the journal it is in. */
export interface EpochHead extends Head {
  epoch: number;
}

export interface CaptureAbout {
  recordingId: string;
  callId: string;
  epoch: number;
  recorder: RecorderAddress;
  /** The capture that this one goes on with, after the loss of its recorder. */
  before?: Capture;
}

/** What a capture asks of the service that owns it. */
export interface CaptureActs {
  send(recorderId: string, command: RecorderCommand): Promise<void>;
  /** Brings the recording to its end: asked once, whatever ends it. */
  settle(capture: Capture, reason: string): Promise<void>;
}

type LostHandler = (reason: string) => void;
type EndEvent = Extract<RecorderEvent, { type: 'ended' | 'failed' }>;

/** A recorder that listens answers a command within this time or is as good as gone. */
const READY_TIMEOUT_MS = 3_000;
/** A recording whose recorder was lost ends by itself when its call neither goes on with another one nor stops it. */
const ABANDONED_MS = RECORDER_TIMES.reattachMs + RECORDER_TIMES.openMs;

/**
 * One recording and one recorder while the call runs, as the call sees it. Made when a recorder listens; `start` lets the
 * legs in, `armed` resolves when audio of both is durable, `stop` ends the recording. A recorder that is lost is told
 * by `lost`, once; then the recording goes on with the capture that `RecordingService.reopen` answers, or is stopped.
 */
export class Capture {
  readonly recordingId: string;
  readonly callId: string;
  readonly epoch: number;
  readonly recorder: RecorderAddress;
  readonly before: Capture | undefined;
  /** Rejects with `recorder_unavailable` when the capture ends before. Nobody has to wait for it. */
  readonly armed: Promise<Head>;
  readonly #acts: CaptureActs;
  readonly #ready: Promise<void>;
  readonly #ended: Promise<EndEvent | undefined>;
  readonly #lostHandlers: LostHandler[] = [];
  #isArmed = false;
  #newestHead: EpochHead | undefined;
  #lost: string | undefined;
  #abandoned: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;
  #resolveArmed: (head: Head) => void = () => undefined;
  #rejectArmed: (error: Error) => void = () => undefined;
  #resolveReady: () => void = () => undefined;
  #rejectReady: (error: Error) => void = () => undefined;
  #resolveEnded: (event: EndEvent | undefined) => void = () => undefined;

  constructor(about: CaptureAbout, acts: CaptureActs) {
    this.recordingId = about.recordingId;
    this.callId = about.callId;
    this.epoch = about.epoch;
    this.recorder = about.recorder;
    this.before = about.before;
    this.#newestHead = about.before?.newestHead;
    this.#acts = acts;
    this.armed = new Promise((resolve, reject) => {
      this.#resolveArmed = resolve;
      this.#rejectArmed = reject;
    });
    this.#ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    // Whoever waits hears the rejection; that nobody waits is no fault.
    this.armed.catch(() => undefined);
    this.#ready.catch(() => undefined);
  }

  /** True once audio of both legs is durable; stays true. */
  get isArmed(): boolean {
    return this.#isArmed;
  }

  /** True once both sides could hear each other under this recorder or one before it. */
  get wasHeard(): boolean {
    return this.#isArmed || (this.before?.wasHeard ?? false);
  }

  /** What of the recording is known to be safe: the next epoch names it as the one that it continues. */
  get newestHead(): EpochHead | undefined {
    return this.#newestHead;
  }

  /** Recorders that this recording has had so far, with this one. */
  get recorders(): Set<string> {
    return (this.before?.recorders ?? new Set<string>()).add(this.recorder.recorderId);
  }

  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** True from the moment that somebody stopped it or its recorder was lost. */
  get isOver(): boolean {
    return this.#stopping !== undefined || this.#lost !== undefined;
  }

  /** Why the recorder is gone, if it is. */
  get lost(): string | undefined {
    return this.#lost;
  }

  /**
   * Tells the recorder where the two legs come from; resolves when it would take their packets.
   * @throws VerbatimError `recorder_unavailable` when it does not answer or cannot take them.
   */
  async start(source: { ip: string; port: number }, legs: readonly CaptureLeg[]): Promise<void> {
    this.#assertLive();
    const timer = setTimeout(() => {
      this.#rejectReady(
        new VerbatimError('recorder_unavailable', 'the recorder did not take the legs in time'),
      );
    }, READY_TIMEOUT_MS);
    try {
      await this.#acts.send(this.recorder.recorderId, {
        type: 'legs',
        ...this.#ref(),
        source: { ip: source.ip, port: source.port },
        legs: [...legs],
      });
      await this.#ready;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Notes a moment of the call in the journal. A mark that cannot be sent is dropped: the audio itself shows it. */
  mark(mark: 'mute' | 'unmute' | 'reattach', side: Side, atMs: number = Date.now()): void {
    if (this.isOver) return;
    this.#acts
      .send(this.recorder.recorderId, { type: 'mark', ...this.#ref(), mark, side, atMs })
      .catch(() => undefined);
  }

  /** Ends the recording; resolves when it is queued for finalising or has failed. Every call gets the same answer. */
  stop(reason: string): Promise<void> {
    this.#stopping ??= this.#stop(reason);
    return this.#stopping;
  }

  on(_event: 'lost', handler: LostHandler): void {
    this.#lostHandlers.push(handler);
    if (this.#lost !== undefined) handler(this.#lost);
  }

  // From here on: called by the service.

  /** What the recorder reported of this capture. */
  heard(event: Extract<RecorderEvent, { type: 'ready' | 'armed' | 'ended' | 'failed' }>): void {
    switch (event.type) {
      case 'ready':
        this.#resolveReady();
        return;
      case 'armed':
        // After a stop nobody lets the two sides hear each other any more: there is nothing to keep.
        if (this.#stopping !== undefined) return;
        this.#isArmed = true;
        this.noteHead({ epoch: event.epoch, seq: event.seq, head: event.head });
        this.#resolveArmed({ seq: event.seq, head: event.head });
        return;
      case 'ended':
      case 'failed':
        this.#resolveEnded(event);
        // An end that nobody asked for is a loss: the recorder shut down, or its disk failed.
        if (this.#stopping === undefined)
          this.lose(event.type === 'failed' ? event.reason : 'recorder_ended');
        return;
    }
  }

  /** A newer head that cannot be lost; an older one changes nothing. False then. */
  noteHead(head: EpochHead): boolean {
    const known = this.#newestHead;
    if (
      known !== undefined &&
      (head.epoch < known.epoch || (head.epoch === known.epoch && head.seq < known.seq))
    )
      return false;
    this.#newestHead = head;
    return true;
  }

  /** Another capture goes on with this recording: nobody has to stop this one. */
  replaced(): void {
    clearTimeout(this.#abandoned);
  }

  /** The recorder will not answer any more. */
  lose(reason: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = reason;
    const error = new VerbatimError('recorder_unavailable', `the recorder is gone: ${reason}`);
    this.#rejectReady(error);
    this.#rejectArmed(error);
    this.#resolveEnded(undefined);
    for (const handler of this.#lostHandlers) handler(reason);
    if (this.#stopping !== undefined) return;
    // The call is told, and goes on with another recorder or stops this; but the recording must come to its end even
    // if it does neither. Where nobody heard anything there is nothing to go on with.
    if (!this.wasHeard) void this.stop('recording_lost');
    else this.#abandoned = setTimeout(() => void this.stop('recording_lost'), ABANDONED_MS);
  }

  /** Resolves with the recorder's last word, or with nothing when it is lost or silent for `timeoutMs`. */
  async lastWord(timeoutMs: number): Promise<EndEvent | undefined> {
    const timer = setTimeout(() => this.#resolveEnded(undefined), timeoutMs);
    try {
      return await this.#ended;
    } finally {
      clearTimeout(timer);
    }
  }

  async #stop(reason: string): Promise<void> {
    clearTimeout(this.#abandoned);
    this.#rejectReady(new VerbatimError('recorder_unavailable', 'the capture was stopped'));
    this.#rejectArmed(
      new VerbatimError('recorder_unavailable', 'the capture was stopped before it was armed'),
    );
    if (this.#lost === undefined) {
      await this.#acts
        .send(this.recorder.recorderId, { type: 'stop', ...this.#ref(), reason })
        // A stop that cannot be sent ends like one that is not answered: from the files.
        .catch(() => undefined);
    }
    await this.#acts.settle(this, reason);
  }

  #assertLive(): void {
    if (this.isOver) throw new VerbatimError('recorder_unavailable', 'the capture is over');
  }

  #ref(): { recordingId: string; epoch: number } {
    return { recordingId: this.recordingId, epoch: this.epoch };
  }
}
