import { asClientError, VerbatimClientError } from './errors.ts';
import type { MicrophoneWish } from './microphone.ts';
import type { Transport } from './transport.ts';

export interface CallMicrophoneDeps {
  /** What the page wishes now. */
  wish(): MicrophoneWish;
  /** Aborts when the call is over: whatever is open then is off at once. */
  signal: AbortSignal;
  open: Transport['openMicrophone'];
  /** Another track takes the place of the one that is sent; the old one is stopped afterwards. */
  replace(track: MediaStreamTrack): Promise<void>;
  /** Another microphone is used than before. */
  onChanged(): void;
  onTrouble(error: VerbatimClientError): void;
}

/** The microphone of one call: opened once, exchanged while it runs, never on when the call is over. */
export class CallMicrophone {
  readonly #deps: CallMicrophoneDeps;
  #track: MediaStreamTrack | undefined;
  #opening: Promise<MediaStreamTrack> | undefined;
  #muted = false;
  /** Exchanges come one after the other, so that the last one asked for is the one in use. Never rejects. */
  #line: Promise<void> = Promise.resolve();

  constructor(deps: CallMicrophoneDeps) {
    this.#deps = deps;
  }

  get track(): MediaStreamTrack | undefined {
    return this.#track;
  }

  get deviceId(): string | undefined {
    return this.#track?.getSettings().deviceId;
  }

  get muted(): boolean {
    return this.#muted;
  }

  /**
   * Silence instead of no packets: a disabled track goes on as (DTX) silence, so the leg's clock runs on, the
   * recording shows a silent span and not a hole, and a call that begins muted still arms its recorder.
   */
  set muted(muted: boolean) {
    this.#muted = muted;
    if (this.#track) this.#track.enabled = !muted;
  }

  /** Opens it once; the second call waits for the same one. @throws as `openMicrophone` */
  open(): Promise<MediaStreamTrack> {
    this.#opening ??= this.#openAny().then((track) => {
      this.#use(track);
      return track;
    });
    return this.#opening;
  }

  /** The wish changed: the call goes on with the old one until the new one is open. @throws as `openMicrophone` */
  exchange(wish: MicrophoneWish): Promise<void> {
    const run = this.#line.then(async () => {
      // What is opened later is opened as the page wishes then.
      if (this.#deps.signal.aborted || this.#opening === undefined) return;
      await this.#opening;
      await this.#put(await this.#deps.open(wish, this.#deps.signal));
    });
    this.#line = run.catch(() => {});
    return run;
  }

  /** A device came or went: a call without a microphone tries again. */
  retry(): void {
    if (this.#track?.readyState === 'ended') this.#replaceLost();
  }

  stop(): void {
    this.#track?.stop();
  }

  /** Unplugged, or taken away in the browser's settings: the call goes on, with another one if there is one. */
  #replaceLost(): void {
    this.#line = this.#line.then(async () => {
      if (this.#deps.signal.aborted || this.#track?.readyState !== 'ended') return;
      try {
        await this.#put(await this.#openAny());
        this.#deps.onTrouble(new VerbatimClientError('microphone_replaced'));
      } catch (error) {
        if (!this.#deps.signal.aborted) this.#deps.onTrouble(asClientError(error, 'microphone_missing'));
      }
    });
  }

  /** The wished one, or any other when it is not there. */
  async #openAny(): Promise<MediaStreamTrack> {
    const wish = this.#deps.wish();
    try {
      return await this.#deps.open(wish, this.#deps.signal);
    } catch (error) {
      const missing = error instanceof VerbatimClientError && error.code === 'microphone_missing';
      if (!missing || wish.id === undefined || this.#deps.signal.aborted) throw error;
    }
    return await this.#deps.open({ ...wish, id: undefined }, this.#deps.signal);
  }

  async #put(track: MediaStreamTrack): Promise<void> {
    const before = this.#track;
    this.#use(track);
    try {
      await this.#deps.replace(track);
    } finally {
      before?.stop();
    }
    if (!this.#deps.signal.aborted) this.#deps.onChanged();
  }

  #use(track: MediaStreamTrack): void {
    this.#track = track;
    track.enabled = !this.#muted;
    // It does not come for a track that this page stopped.
    track.addEventListener('ended', () => this.#replaceLost());
  }
}
