import type { Device } from 'mediasoup-client';
import type { CallView, ConsumerParams, Method, Params, Result } from '#protocol';
import { CallMicrophone } from './call-microphone.ts';
import type { VerbatimClientError } from './errors.ts';
import { asClientError } from './errors.ts';
import { LastingRequests } from './lasting-requests.ts';
import { CallMedia } from './media.ts';
import type { MicrophoneWish } from './microphone.ts';
import { PeerMedia } from './peer-media.ts';
import type { CallStats } from './stats.ts';
import { emptyStats } from './stats.ts';
import type { MediaPath, MediaPathDeps, PeerNotification, Transport } from './transport.ts';

export interface LocalCallDeps {
  request<M extends Method>(method: M, params: Params<M>): Promise<Result<M>>;
  /** The loaded device, the same for every call of a connection. */
  device(): Promise<Device>;
  /** Which microphone the page wishes, now. */
  wish(): MicrophoneWish;
  transport: Transport;
  /** Plays the other side. */
  audio: HTMLAudioElement;
  onFailed(call: LocalCall, error: VerbatimClientError): void;
  onTrouble(error: VerbatimClientError): void;
  /** Another microphone is used than before. */
  onMicrophone(): void;
}

const ORDER: readonly CallView['state'][] = ['ringing', 'connecting', 'active', 'ended'];
/** Reading the last figures must not keep the transports of a call that is over. */
const LAST_STATS_MS = 300;

/** This page's end of one call, from the click until everything it opened is released. */
export class LocalCall {
  readonly #deps: LocalCallDeps;
  /** Aborts when the call is over, for whatever reason; every await below looks at it. */
  readonly #over = new AbortController();
  readonly #lasting: LastingRequests;
  #view: CallView | undefined;
  #media: MediaPath | undefined;
  readonly #microphone: CallMicrophone;
  #early: ConsumerParams[] = [];
  #stats = emptyStats();
  /** Settles when the last figures are read and the transports are closed. */
  #last: Promise<void> | undefined;

  constructor(deps: LocalCallDeps, view?: CallView) {
    this.#deps = deps;
    this.#view = view;
    this.#lasting = new LastingRequests(deps.request);
    this.#microphone = new CallMicrophone({
      wish: deps.wish,
      signal: this.#over.signal,
      open: deps.transport.openMicrophone,
      replace: async (track) => this.#media?.replaceTrack(track),
      onChanged: deps.onMicrophone,
      onTrouble: deps.onTrouble,
    });
  }

  get view(): CallView | undefined {
    return this.#view;
  }

  get over(): boolean {
    return this.#over.signal.aborted;
  }

  get muted(): boolean {
    return this.#microphone.muted;
  }

  /** Takes the newer view; an answer that was overtaken by a notification never turns the state back. */
  update(view: CallView): boolean {
    const now = this.#view;
    if (now !== undefined && ORDER.indexOf(view.state) < ORDER.indexOf(now.state)) return false;
    this.#view = view;
    if (view.state !== 'ringing') this.#media?.accepted?.();
    return true;
  }

  /** What builds this call and is answered only once. @throws VerbatimClientError `call_over`, … */
  ask<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    return this.#lasting.ask(method, params);
  }

  get microphone(): CallMicrophone {
    return this.#microphone;
  }

  /** Opens the media of this call. The answer is not waited for by the caller: failures go to `onFailed`. */
  openMedia(callId: string): void {
    void this.#openMedia(callId).catch((error: unknown) => {
      if (!this.over) this.#deps.onFailed(this, asClientError(error, 'media_failed'));
    });
  }

  async #openMedia(callId: string): Promise<void> {
    const microphone = this.#microphone.open();
    // It is awaited only after the server's answer; a refusal in between has an owner too.
    microphone.catch(() => {});
    const media = await this.#path(callId);
    if (this.over) return media.close();
    this.#media = media;
    if (this.#view?.state !== 'ringing') media.accepted?.();
    for (const offer of this.#early.splice(0)) media.offer?.(offer);
    let sent: MediaStreamTrack | undefined;
    await media.start(async () => {
      const first = await microphone;
      sent = this.#microphone.track ?? first;
      return sent;
    });
    // It may have been exchanged before there was anything to exchange it in.
    const { track } = this.#microphone;
    if (!this.over && track !== undefined && track !== sent) await media.replaceTrack(track);
  }

  async #path(callId: string): Promise<MediaPath> {
    const deps: MediaPathDeps = {
      callId,
      side: this.#view?.side ?? 'caller',
      request: this.#deps.request,
      ask: (method, params) => this.ask(method, params),
      onRemoteTrack: (track) => this.#play(track),
      onFailed: (error) => this.#deps.onFailed(this, error),
    };
    const { transport, device } = this.#deps;
    if (transport.media) return transport.media(deps);
    if (this.#view?.mode === 'voice') return new PeerMedia(deps);
    return new CallMedia({ ...deps, device: await device() });
  }

  /** The other side's audio can be received. */
  offer(params: ConsumerParams): void {
    if (this.over) return;
    if (this.#media) this.#media.offer?.(params);
    else if (this.#early.length < 2) this.#early.push(params);
  }

  /** What the other browser of a voice call says; it cannot say anything before this side has asked for its servers. */
  peer(notification: PeerNotification): void {
    if (!this.over) this.#media?.peer?.(notification);
  }

  /** The signaling connection is back. */
  mend(): void {
    this.#lasting.mend();
    this.#media?.mend();
  }

  /** Figures now; after the end the last ones. */
  async stats(): Promise<CallStats> {
    if (this.#last) await this.#last;
    else if (this.#media) this.#stats = await this.#media.stats();
    return this.#stats;
  }

  /** Releases everything, the microphone first and at once. Does nothing the second time. */
  close(): void {
    if (this.over) return;
    this.#over.abort();
    this.#lasting.close();
    this.#microphone.stop();
    this.#deps.audio.srcObject = null;
    const media = this.#media;
    if (media === undefined) return;
    const last = media.stats().then(
      (stats) => {
        this.#stats = stats;
      },
      () => {},
    );
    const timeout = new Promise((resolve) => setTimeout(resolve, LAST_STATS_MS));
    this.#last = Promise.race([last, timeout]).then(() => media.close());
  }

  #play(track: MediaStreamTrack): void {
    if (this.over) return;
    const { audio } = this.#deps;
    audio.srcObject = new MediaStream([track]);
    audio.play().catch((error: unknown) => {
      // Replaced or ended while starting is no trouble; being forbidden to play without a click is.
      if (!this.over && error instanceof DOMException && error.name === 'NotAllowedError') {
        this.#deps.onTrouble(asClientError(error, 'playback_blocked'));
      }
    });
  }
}
