import type {
  CallMode,
  CallView,
  Consent,
  ConsumerParams,
  EndReason,
  Params,
  Party,
  Result,
  Side,
} from '#protocol';
import { RECORDER_TIMES, VerbatimError } from '#protocol';
import type { CallMedia, IceState } from '../media/index.ts';
import type { Capture, Head } from '../recording/index.ts';
import type { CallEffect, CallEvent, CallStatus, TimerName } from './machine.ts';
import { placeCall, step } from './machine.ts';
import type { Clock, Devices, Participant } from './ports.ts';

/** A running capture, as far as a call is concerned with it. */
export type RunningCapture = Pick<
  Capture,
  'epoch' | 'recorder' | 'armed' | 'lost' | 'start' | 'mark' | 'stop' | 'on'
>;

/** The acts of the outer world that one call needs; the service builds them. */
export interface CallActs {
  readonly clock: Clock;
  readonly devices: Devices;
  readonly timeoutsMs: Readonly<Record<'ring' | 'connect' | 'grace', number>>;
  storeAccept(call: Call, consent: Consent | null): Promise<void>;
  storeActive(call: Call): Promise<void>;
  storeEnd(call: Call, reason: EndReason): Promise<void>;
  openRecording(call: Call): Promise<RunningCapture>;
  /** Another recorder for the same recording, whose recorder was lost. */
  reopenRecording(call: Call): Promise<RunningCapture>;
  /** Enters in the ledger from which head on both sides are recorded. Never rejects. */
  enterStart(call: Call, epoch: number, head: Head): Promise<void>;
  /** Enters the end of a secure call, once its row and recording are settled. Never rejects. */
  enterEnd(call: Call): Promise<void>;
  /** The newest checkpoint of the ledger, if there is one. */
  checkpoint(): string | undefined;
  /** The call is over and nothing of it is left to do but the recording's finish. */
  forget(call: Call): void;
  trouble(call: Call, doing: string, error: unknown): void;
}

export interface CallPeople {
  readonly caller: Party;
  readonly callee: Party;
}

interface MediaSide {
  rtpCapabilities: Record<string, unknown>;
  send: string;
  recv: string;
  consumed: boolean;
}

/** A moment that the journal tells of. */
interface Moment {
  mark: Parameters<RunningCapture['mark']>[0];
  side: Side;
  atMs: number;
}

/** What happened to either side so long before a recorder was known to be lost may never have reached its journal. */
const UNSURE_MS = RECORDER_TIMES.lostAfterMs + 2_000;
/** Moments that are kept for the next recorder; nobody mutes faster than that. */
const MAX_MOMENTS = 64;

/**
 * One running call. `dispatch` moves the pure machine at once; its effects are carried out one after the
 * other in a queue of the call, so that two events never interleave. Long work (finding a recorder) is
 * started from the queue but reports back as an event. Only the end waits for nothing: a database or a worker
 * that does not answer must not keep two people in a call that is over.
 */
export class Call {
  readonly id: string;
  readonly recordingId: string | null;
  readonly startedAt: Date;
  readonly mode: CallMode;
  readonly appId: string;
  readonly chatId: string;
  readonly people: CallPeople;
  acceptedAt: Date | null = null;
  activeAt: Date | null = null;
  endedAt: Date | null = null;

  #status: CallStatus;
  #queue: Promise<void> = Promise.resolve();
  #timers = new Map<TimerName, () => void>();
  #media: CallMedia;
  #mediaSides: Partial<Record<Side, MediaSide>> = {};
  #opening = new Set<Side>();
  /** What each side was offered to receive, for a device that was away when it was told. */
  #offered: Partial<Record<Side, ConsumerParams>> = {};
  #capture: RunningCapture | null = null;
  /** The newest mutes and reconnects, and since when the recorder that should have noted them is lost. */
  #moments: Moment[] = [];
  #lostAtMs: number | null = null;
  #calleeConsent: Consent | null = null;
  #othersStopped = false;
  #acts: CallActs;
  /** Settles when the call has ended and everything it held is released. */
  readonly finished: Promise<void>;
  #finish: () => void = () => {};

  constructor(
    fixed: Pick<Call, 'id' | 'recordingId' | 'mode' | 'appId' | 'chatId' | 'people'>,
    media: CallMedia,
    callerDevice: string,
    consented: boolean,
    acts: CallActs,
  ) {
    this.id = fixed.id;
    this.recordingId = fixed.recordingId;
    this.mode = fixed.mode;
    this.appId = fixed.appId;
    this.chatId = fixed.chatId;
    this.people = fixed.people;
    this.#media = media;
    this.#acts = acts;
    this.startedAt = acts.clock.now();
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    media.on('iceState', (side, state) => this.#onIceState(side, state));
    media.on('closed', () => void this.dispatch({ type: 'mediaFailed' }));
    const first = placeCall(fixed.mode, callerDevice, consented);
    this.#status = first.status;
    this.#enqueue(first.effects);
  }

  get status(): CallStatus {
    return this.#status;
  }

  get ended(): boolean {
    return this.#status.phase === 'ended';
  }

  /** Moves the machine and resolves when the effects of this event have been carried out. */
  dispatch(event: CallEvent): Promise<void> {
    const next = step(this.#status, event);
    this.#status = next.status;
    return this.#enqueue(next.effects);
  }

  /** Which side this device takes part as; null when it has no part (any more). */
  sideOf(who: Participant): Side | null {
    if (who.appId !== this.appId) return null;
    if (who.userId === this.people.caller.userId && who.device === this.#status.device.caller)
      return 'caller';
    if (who.userId === this.people.callee.userId && who.device === this.#status.device.callee)
      return 'callee';
    return null;
  }

  hasParty(appId: string, userId: string): boolean {
    return (
      appId === this.appId && (userId === this.people.caller.userId || userId === this.people.callee.userId)
    );
  }

  /** The side's device signed in again: what it may have missed is told once more. */
  welcomeBack(side: Side): CallView {
    void this.dispatch({ type: 'sideBack', side, path: 'signaling' });
    this.#offerAgain(side);
    return this.view(side);
  }

  accept(device: string, consent: Consent | null): Promise<void> {
    if (this.#status.phase === 'ringing') this.#calleeConsent = consent;
    return this.dispatch({ type: 'accepted', device, consent: consent !== null });
  }

  view(side: Side): CallView {
    const status = this.#status;
    const view: CallView = {
      callId: this.id,
      chatId: this.chatId,
      mode: this.mode,
      side,
      state: status.phase,
      recording: status.phase === 'active' && status.recorder === 'armed',
      peer: side === 'caller' ? this.people.callee : this.people.caller,
      peerMuted: status.muted[side === 'caller' ? 'callee' : 'caller'],
      startedAt: this.startedAt.toISOString(),
    };
    if (this.recordingId !== null) view.recordingId = this.recordingId;
    if (this.activeAt) view.activeAt = this.activeAt.toISOString();
    if (this.endedAt) view.endedAt = this.endedAt.toISOString();
    if (status.endReason) view.endReason = status.endReason;
    // It leaves the building with every secure call: who keeps it sees a ledger that is changed later.
    const checkpoint = this.ended && this.mode === 'secure' ? this.#acts.checkpoint() : undefined;
    if (checkpoint !== undefined) view.checkpoint = checkpoint;
    return view;
  }

  /** Builds this side's two transports; the caller may while it still rings, so that accepting is quick. */
  async openMedia(side: Side, p: Params<'media.open'>): Promise<Result<'media.open'>> {
    this.#assertOpen();
    if (this.#mediaSides[side] || this.#opening.has(side)) {
      throw new VerbatimError('conflict', 'this side has opened its media already');
    }
    this.#opening.add(side);
    try {
      const [send, recv] = await Promise.all([
        this.#media.createTransport(side, 'send'),
        this.#media.createTransport(side, 'recv'),
      ]);
      this.#assertOpen();
      this.#mediaSides[side] = {
        rtpCapabilities: p.rtpCapabilities,
        send: send.id,
        recv: recv.id,
        consumed: false,
      };
      // The answer goes out first: the browser needs its receiving transport before a consumer for it.
      queueMicrotask(() => setImmediate(() => this.#offerConsumers()));
      return { send, recv };
    } finally {
      this.#opening.delete(side);
    }
  }

  async connectMedia(side: Side, p: Params<'media.connect'>): Promise<void> {
    const ours = this.#sideMedia(side);
    await this.#media.connectTransport(side, ours[p.direction], p.dtlsParameters);
  }

  async produce(side: Side, p: Params<'media.produce'>): Promise<Result<'media.produce'>> {
    const ours = this.#sideMedia(side);
    const { producerId } = await this.#media.produce(side, ours.send, p.rtpParameters);
    this.#assertOpen();
    this.#offerConsumers();
    void this.dispatch({ type: 'produced', side });
    return { producerId };
  }

  async restartIce(side: Side, p: Params<'media.restartIce'>): Promise<Result<'media.restartIce'>> {
    const ours = this.#sideMedia(side);
    return { iceParameters: await this.#media.restartIce(side, ours[p.direction]) };
  }

  #sideMedia(side: Side): MediaSide {
    this.#assertOpen();
    const ours = this.#mediaSides[side];
    if (!ours) throw new VerbatimError('conflict', 'media.open has to come first');
    return ours;
  }

  #assertOpen(): void {
    if (this.ended) throw new VerbatimError('conflict', 'the call has ended');
  }

  /** Gives each side that can receive a (paused) consumer of the other's microphone, as soon as there is one. */
  #offerConsumers(): void {
    for (const side of ['caller', 'callee'] as const) {
      const ours = this.#mediaSides[side];
      const other = side === 'caller' ? 'callee' : 'caller';
      if (!ours || ours.consumed || this.ended || !this.#media.hasProducer(other)) continue;
      ours.consumed = true;
      this.#media
        .consume(side, ours.rtpCapabilities)
        .then((consumer) => {
          this.#offered[side] = { ...consumer, callId: this.id };
          this.#offerAgain(side);
        })
        .catch((error: unknown) => {
          this.#acts.trouble(this, 'consume', error);
          void this.dispatch({ type: 'mediaFailed' });
        });
    }
  }

  #offerAgain(side: Side): void {
    const device = this.#status.device[side];
    const offered = this.#offered[side];
    if (!this.ended && device !== null && offered) this.#notify(side, device, 'media.consumer', offered);
  }

  #onIceState(side: Side, state: IceState): void {
    if (state === 'disconnected' || state === 'failed') {
      void this.dispatch({ type: 'sideLost', side, path: 'media' });
    } else if (state === 'connected') {
      void this.dispatch({ type: 'sideBack', side, path: 'media' });
    }
  }

  #enqueue(effects: readonly CallEffect[]): Promise<void> {
    if (effects.length === 0) return this.#queue;
    // What an earlier effect still waits for finds the call ended and its media closed, and gives up.
    const before = effects.some(({ type }) => type === 'finish') ? Promise.resolve() : this.#queue;
    const work = before.then(async () => {
      for (const effect of effects) await this.#carryOut(effect);
    });
    // A failed effect must not stop the effects of the events after it, least of all the end.
    this.#queue = work.catch((error: unknown) => {
      this.#acts.trouble(this, effects.map((effect) => effect.type).join(' '), error);
      void this.dispatch({ type: 'mediaFailed' });
    });
    return work;
  }

  async #carryOut(effect: CallEffect): Promise<void> {
    // Between an event and its effects the call may have ended: then only the end is still carried out.
    if (this.ended && effect.type !== 'finish' && effect.type !== 'stopTimer') return;
    switch (effect.type) {
      case 'ring':
        return this.#notify('callee', 'all', 'call.incoming', { call: this.view('callee') });
      case 'storeAccept':
        this.acceptedAt = this.#acts.clock.now();
        return this.#acts.storeAccept(this, this.#calleeConsent);
      case 'stopOtherDevices':
        return this.#stopOtherDevices();
      case 'openRecording':
        return this.#useCapture(this.#acts.openRecording(this));
      case 'reopenRecording':
        return this.#useCapture(this.#acts.reopenRecording(this));
      case 'attachRecorder':
        return this.#attachRecorder();
      case 'stopAudio':
        this.#lostAtMs = this.#acts.clock.now().getTime();
        return this.#media.pauseConsumers();
      case 'letAudioThrough':
        // The recorder that made it possible may be lost by now.
        if (this.mode === 'secure' && this.#status.recorder !== 'armed') return;
        return this.#letAudioThrough();
      case 'markMute':
        return this.#mark(effect.muted ? 'mute' : 'unmute', effect.side);
      case 'markReconnect':
        return this.#mark('reattach', effect.side);
      case 'startTimer':
        return this.#startTimer(effect.timer);
      case 'stopTimer':
        return this.#stopTimer(effect.timer);
      case 'tell':
        return this.#tell('call.changed');
      case 'finish':
        return this.#end(effect.reason);
    }
  }

  /** Once, when a device has accepted: at once after it, or with the end if that comes first. */
  #stopOtherDevices(): void {
    if (this.#othersStopped || this.#status.device.callee === null) return;
    this.#othersStopped = true;
    const callee = this.people.callee.userId;
    const call: CallView = {
      ...this.view('callee'),
      state: 'ended',
      endReason: 'answered_elsewhere',
    };
    for (const device of this.#acts.devices.devicesOf(this.appId, callee)) {
      if (device !== this.#status.device.callee) this.#notify('callee', device, 'call.ended', { call });
    }
  }

  async #letAudioThrough(): Promise<void> {
    const begins = this.activeAt === null;
    this.activeAt ??= this.#acts.clock.now();
    await this.#media.resumeConsumers();
    // The row may follow: nobody is told anything false if the process dies in between.
    if (!begins) return;
    this.#acts.storeActive(this).catch((error: unknown) => this.#acts.trouble(this, 'storeActive', error));
    this.#enterStart();
  }

  /** Nobody waits for it: the head that it names is durable already. */
  #enterStart(): void {
    const capture = this.#capture;
    if (this.mode !== 'secure' || capture === null) return;
    capture.armed.then(
      (head) => void this.#acts.enterStart(this, capture.epoch, head),
      () => undefined,
    );
  }

  /** What comes of the search for a recorder, and of the recorder, as events; of this one only while it is the newest. */
  #useCapture(found: Promise<RunningCapture>): void {
    found.then(
      (capture) => {
        if (this.ended)
          return void capture.stop(this.#status.endReason ?? 'shutdown').catch(this.#ignoreAfterEnd);
        this.#capture = capture;
        let over = false;
        const lost = (): void => {
          if (over || this.#capture !== capture) return;
          over = true;
          void this.dispatch({ type: 'recorderLost' });
        };
        void this.dispatch({ type: 'recorderListening' });
        capture.on('lost', lost);
        capture.armed.then(() => {
          if (!over && this.#capture === capture) void this.dispatch({ type: 'recorderArmed' });
        }, lost);
      },
      (error: unknown) => {
        this.#acts.trouble(this, 'openRecording', error);
        void this.dispatch({ type: 'recorderUnavailable' });
      },
    );
  }

  async #attachRecorder(): Promise<void> {
    const capture = this.#capture;
    if (!capture) throw new VerbatimError('internal', 'a recorder listens but is not known');
    try {
      const { source, legs } = await this.#media.attachRecorder(capture.recorder);
      await capture.start(source, legs);
      this.#tellMoments(capture);
      // Last, so that not one packet comes before the recorder knows its leg.
      if (!this.ended) await this.#media.resumeRecorder();
    } catch (error) {
      this.#acts.trouble(this, 'attachRecorder', error);
      // One that was lost meanwhile has told so itself, and another may be on its way.
      if (capture.lost === undefined) void this.dispatch({ type: 'recorderUnavailable' });
    }
  }

  #mark(mark: Moment['mark'], side: Side): void {
    const atMs = this.#acts.clock.now().getTime();
    this.#moments.push({ mark, side, atMs });
    if (this.#moments.length > MAX_MOMENTS) this.#moments.shift();
    this.#capture?.mark(mark, side, atMs);
  }

  /** What the lost recorder may not have written down, with the time when it was. Told twice it still counts once. */
  #tellMoments(capture: RunningCapture): void {
    if (this.#lostAtMs === null) return;
    for (const { mark, side, atMs } of this.#moments)
      if (atMs >= this.#lostAtMs - UNSURE_MS) capture.mark(mark, side, atMs);
  }

  #startTimer(name: TimerName): void {
    this.#stopTimer(name);
    this.#timers.set(
      name,
      this.#acts.clock.after(this.#timeoutMs(name), () => void this.dispatch({ type: 'timer', timer: name })),
    );
  }

  #timeoutMs(name: TimerName): number {
    if (name === 'reattach') return RECORDER_TIMES.reattachMs;
    return name === 'ring' || name === 'connect' ? this.#acts.timeoutsMs[name] : this.#acts.timeoutsMs.grace;
  }

  #stopTimer(name: TimerName): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  /** Closes in the order that loses nothing: audio stops, both are told, the journal gets its END, rows follow. */
  async #end(reason: EndReason): Promise<void> {
    this.endedAt = this.#acts.clock.now();
    for (const name of [...this.#timers.keys()]) this.#stopTimer(name);
    this.#media.close();
    this.#stopOtherDevices();
    this.#tell('call.ended');
    this.#acts.forget(this);
    const results = await Promise.allSettled([
      this.#acts.storeEnd(this, reason),
      this.#capture?.stop(reason) ?? Promise.resolve(),
    ]);
    for (const result of results) {
      if (result.status === 'rejected') this.#acts.trouble(this, 'end', result.reason);
    }
    // Both were told long ago; a crash before it leaves the entry owed, and the next start makes it.
    if (this.mode === 'secure') await this.#acts.enterEnd(this);
    this.#finish();
  }

  #tell(name: 'call.changed' | 'call.ended'): void {
    const { device } = this.#status;
    this.#notify('caller', device.caller, name, { call: this.view('caller') });
    // Until one device accepted, all of the callee's ring and all have to stop.
    if (device.callee !== null) this.#notify('callee', device.callee, name, { call: this.view('callee') });
    else if (name === 'call.ended') this.#notify('callee', 'all', name, { call: this.view('callee') });
  }

  #notify: (...args: [Side, ...NotifyRest]) => void = (side, device, name, params) => {
    this.#acts.devices.notify(this.appId, this.people[side].userId, device, name, params);
  };

  #ignoreAfterEnd = (error: unknown): void => this.#acts.trouble(this, 'stop after end', error);
}

type NotifyRest = Parameters<Devices['notify']> extends [unknown, unknown, ...infer Rest] ? Rest : never;
