import type { Playback } from './contract.ts';
import { asClientError, VerbatimClientError } from './errors.ts';

export interface PlaybackDeps {
  audio: HTMLAudioElement;
  recordingId: string;
  /** A fresh address. */
  address(): Promise<string>;
  onError: ((error: VerbatimClientError) => void) | undefined;
}

/** An address that fails sooner than this after it was given has not run out: something is wrong with it. */
const EARLY_MS = 5_000;
/** Early failures in a row after which another address would fail, too. The first one may be a grant that was ended. */
const MAX_EARLY = 2;

/**
 * A recording in an audio element. Addresses run out, also while somebody listens or has paused for lunch: then
 * the element fails, and this asks for a new address and goes on where it stood.
 */
export class RecordingPlayback implements Playback {
  readonly #deps: PlaybackDeps;
  #closed = false;
  #renewedAtMs = 0;
  #early = 0;
  #renewing = false;

  constructor(deps: PlaybackDeps) {
    this.#deps = deps;
  }

  get recordingId(): string {
    return this.#deps.recordingId;
  }

  /** @throws VerbatimClientError `recording_not_ready`, … */
  async open(): Promise<void> {
    const { audio } = this.#deps;
    const url = await this.#deps.address();
    if (this.#closed) return;
    this.#renewedAtMs = performance.now();
    audio.addEventListener('error', this.#onError);
    // The session cookie that came with the address is what makes it work.
    audio.crossOrigin = 'use-credentials';
    audio.src = url;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { audio } = this.#deps;
    audio.removeEventListener('error', this.#onError);
    audio.pause();
    audio.removeAttribute('src');
    // Ends the running request.
    audio.load();
  }

  #onError = (): void => {
    if (this.#closed || this.#renewing) return;
    const cause = this.#deps.audio.error;
    this.#early = performance.now() - this.#renewedAtMs < EARLY_MS ? this.#early + 1 : 0;
    if (this.#early >= MAX_EARLY) {
      this.#deps.onError?.(new VerbatimClientError('playback_failed', undefined, { cause }));
      return;
    }
    this.#renewing = true;
    void this.#renew()
      .catch((error: unknown) => {
        if (!this.#closed) this.#deps.onError?.(asClientError(error, 'playback_failed'));
      })
      .finally(() => {
        this.#renewing = false;
      });
  };

  async #renew(): Promise<void> {
    const { audio } = this.#deps;
    const { currentTime, paused, playbackRate } = audio;
    const url = await this.#deps.address();
    if (this.#closed) return;
    this.#renewedAtMs = performance.now();
    audio.src = url;
    audio.currentTime = currentTime;
    audio.playbackRate = playbackRate;
    // A pause in between is no failure; an address that fails again comes as the element's `error` event.
    if (!paused) await audio.play().catch(() => {});
  }
}
