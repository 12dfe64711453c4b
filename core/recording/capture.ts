import type { CaptureLeg, RecorderCommand, RecorderEvent, Side } from '#protocol';
import { VerbatimError } from '#protocol';

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

/**
 * One recording while its call runs, as the call sees it. Made when a recorder listens; `start` lets the legs in,
 * `armed` resolves when audio of both is durable, `stop` ends it. A recorder that is lost is told by `lost`, once.
 */
export class Capture {
  readonly recordingId: string;
  readonly callId: string;
  readonly epoch: number;
  readonly recorder: RecorderAddress;
  /** Rejects with `recorder_unavailable` when the capture ends before. Nobody has to wait for it. */
  readonly armed: Promise<Head>;
  readonly #acts: CaptureActs;
  readonly #ready: Promise<void>;
  readonly #ended: Promise<EndEvent | undefined>;
  readonly #lostHandlers: LostHandler[] = [];
  #isArmed = false;
  #lost: string | undefined;
  #stopping: Promise<void> | undefined;
  #resolveArmed: (head: Head) => void = () => undefined;
  #rejectArmed: (error: Error) => void = () => undefined;
  #resolveReady: () => void = () => undefined;
  #rejectReady: (error: Error) => void = () => undefined;
  #resolveEnded: (event: EndEvent | undefined) => void = () => undefined;

  constructor(
    about: { recordingId: string; callId: string; epoch: number; recorder: RecorderAddress },
    acts: CaptureActs,
  ) {
    this.recordingId = about.recordingId;
    this.callId = about.callId;
    this.epoch = about.epoch;
    this.recorder = about.recorder;
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
  mark(mark: 'mute' | 'unmute', side: Side, atMs: number = Date.now()): void {
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
  heard(
    event: Exclude<RecorderEvent, { type: 'heartbeat' | 'leaving' | 'listening' | 'released' | 'finalised' }>,
  ): void {
    switch (event.type) {
      case 'ready':
        this.#resolveReady();
        return;
      case 'armed':
        // After a stop nobody lets the two sides hear each other any more: there is nothing to keep.
        if (this.#stopping !== undefined) return;
        this.#isArmed = true;
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

  /** The recorder will not answer any more. */
  lose(reason: string): void {
    if (this.#lost !== undefined) return;
    this.#lost = reason;
    const error = new VerbatimError('recorder_unavailable', `the recorder is gone: ${reason}`);
    this.#rejectReady(error);
    this.#rejectArmed(error);
    this.#resolveEnded(undefined);
    for (const handler of this.#lostHandlers) handler(reason);
    // The call is told and will stop this; but the journal must come to its end even if it does not.
    void this.stop('recording_lost');
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
