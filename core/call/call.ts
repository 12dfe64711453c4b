import type {
  CallMode,
  CallView,
  Consent,
  EndReason,
  NotificationName,
  NotificationParams,
  Params,
  Party,
  Result,
  Side,
} from '#protocol';
import { RECORDER_TIMES, VerbatimError } from '#protocol';
import type { CallMedia, IceState } from '../media/index.ts';
import type { Head } from '../recording/index.ts';
import type { RunningCapture } from './call-recorder.ts';
import { CallRecorder } from './call-recorder.ts';
import type { IceSettings } from './ice-servers.ts';
import type { CallEffect, CallEvent, CallStatus, TimerName } from './machine.ts';
import { placeCall, step } from './machine.ts';
import type { PeerRelayDeps } from './peer-relay.ts';
import { PeerRelay } from './peer-relay.ts';
import type { Clock, Devices, Participant } from './ports.ts';
import { ServerMedia } from './server-media.ts';

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

/** The way of a secure call's audio, through the server, and what writes it down. */
interface SecureWay {
  readonly media: CallMedia;
  readonly server: ServerMedia;
  readonly recorder: CallRecorder;
}

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
  /** Of a voice call: those of its app, or of the server, when it began. */
  readonly ice: IceSettings;
  acceptedAt: Date | null = null;
  activeAt: Date | null = null;
  endedAt: Date | null = null;

  #status: CallStatus;
  #queue: Promise<void> = Promise.resolve();
  #timers = new Map<TimerName, () => void>();
  /** A call has one of them by its mode: a voice call has nothing to do with the media server. */
  #secure: SecureWay | null;
  #peer: PeerRelay | null;
  #calleeConsent: Consent | null = null;
  #othersStopped = false;
  #acts: CallActs;
  /** Settles when the call has ended and everything it held is released. */
  readonly finished: Promise<void>;
  #finish: () => void = () => {};

  constructor(
    fixed: Pick<Call, 'id' | 'recordingId' | 'mode' | 'appId' | 'chatId' | 'people' | 'ice'>,
    media: CallMedia | null,
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
    this.ice = fixed.ice;
    this.#acts = acts;
    this.startedAt = acts.clock.now();
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#secure = media === null ? null : this.#secureWay(media);
    const tell: PeerRelayDeps['tell'] = (side, name, params) => this.#tellSide(side, name, params);
    this.#peer = media === null ? new PeerRelay({ callId: this.id, tell }) : null;
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
    this.#secure?.server.offerAgain(side);
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

  /** The way of a secure call's audio. @throws VerbatimError `wrong_media_path` in a voice call */
  get serverMedia(): ServerMedia {
    if (this.#secure === null)
      throw new VerbatimError('wrong_media_path', 'a voice call goes from browser to browser');
    return this.#secure.server;
  }

  /** May be asked while it still rings, so that accepting is quick. @throws VerbatimError `wrong_media_path` */
  countIceServers(side: Side): void {
    this.#voiceWay().countServers(side);
  }

  describe(side: Side, p: Params<'peer.description'>): void {
    const peer = this.#voiceWay('accepted');
    peer.description(side, p);
    if (p.kind === 'answer') void this.dispatch({ type: 'answered' });
  }

  passCandidates(side: Side, p: Params<'peer.candidates'>): Result<'peer.candidates'> {
    const peer = this.#voiceWay('accepted');
    return { relayed: peer.candidates(side, p) };
  }

  /** What this side says of its path: it stands, it broke and is to be mended, or none can be made. */
  async report(side: Side, what: 'connected' | 'broken' | 'failed'): Promise<void> {
    const peer = this.#voiceWay('accepted');
    peer.countReport(side);
    if (what === 'broken') peer.broken(side);
    if (what === 'connected' && !this.#status.answered)
      throw new VerbatimError('conflict', 'no offer has been answered yet');
    if (what === 'connected') await this.dispatch({ type: 'pathStands', side });
    else if (what === 'broken') await this.dispatch({ type: 'sideLost', side, path: 'media' });
    else await this.dispatch({ type: 'noPath' });
  }

  #secureWay(media: CallMedia): SecureWay {
    media.on('iceState', (side, state) => this.#onIceState(side, state));
    media.on('closed', () => void this.dispatch({ type: 'mediaFailed' }));
    const server = new ServerMedia({
      callId: this.id,
      media,
      ended: () => this.ended,
      produced: (side) => void this.dispatch({ type: 'produced', side }),
      offer: (side, consumer) => this.#tellSide(side, 'media.consumer', consumer),
      failed: (error) => {
        this.#acts.trouble(this, 'consume', error);
        void this.dispatch({ type: 'mediaFailed' });
      },
    });
    const recorder = new CallRecorder({
      media,
      nowMs: () => this.#acts.clock.now().getTime(),
      endReason: () => this.#status.endReason,
      dispatch: (event) => void this.dispatch(event),
      armed: (epoch, head) => void this.#acts.enterStart(this, epoch, head),
      trouble: (doing, error) => this.#acts.trouble(this, doing, error),
    });
    return { media, server, recorder };
  }

  #voiceWay(phase?: 'accepted'): PeerRelay {
    if (this.#peer === null)
      throw new VerbatimError('wrong_media_path', 'a secure call goes through the server, which records it');
    if (this.ended) throw new VerbatimError('conflict', 'the call has ended');
    if (phase === 'accepted' && this.#status.phase === 'ringing')
      throw new VerbatimError('conflict', 'the call has to be accepted first');
    return this.#peer;
  }

  /** To the device that takes part, and only while the call runs. */
  #tellSide<N extends NotificationName>(side: Side, name: N, params: NotificationParams<N>): void {
    const device = this.#status.device[side];
    if (this.ended || device === null) return;
    this.#acts.devices.notify(this.appId, this.people[side].userId, device, name, params);
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
        return this.#secure?.recorder.use(this.#acts.openRecording(this));
      case 'reopenRecording':
        return this.#secure?.recorder.use(this.#acts.reopenRecording(this));
      case 'attachRecorder':
        return this.#secure?.recorder.attach();
      case 'stopAudio':
        this.#secure?.recorder.silenced();
        return this.#secure?.media.pauseConsumers();
      case 'letAudioThrough':
        // The recorder that made it possible may be lost by now.
        if (this.mode === 'secure' && this.#status.recorder !== 'armed') return;
        return this.#letAudioThrough();
      case 'markMute':
        return this.#secure?.recorder.mark(effect.muted ? 'mute' : 'unmute', effect.side);
      case 'markReconnect':
        return this.#secure?.recorder.mark('reattach', effect.side);
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
    // Two browsers that hear each other directly were never silent.
    await this.#secure?.media.resumeConsumers();
    // The row may follow: nobody is told anything false if the process dies in between.
    if (!begins) return;
    this.#acts.storeActive(this).catch((error: unknown) => this.#acts.trouble(this, 'storeActive', error));
    this.#secure?.recorder.begun();
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
    this.#secure?.media.close();
    this.#stopOtherDevices();
    this.#tell('call.ended');
    this.#acts.forget(this);
    const results = await Promise.allSettled([
      this.#acts.storeEnd(this, reason),
      this.#secure?.recorder.stop(reason) ?? Promise.resolve(),
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
}

type NotifyRest = Parameters<Devices['notify']> extends [unknown, unknown, ...infer Rest] ? Rest : never;
