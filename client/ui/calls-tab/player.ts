import type { Ref, ShallowRef } from 'vue';
import { onScopeDispose, ref, shallowRef } from 'vue';
import type { Playback, VerbatimClient, VerbatimClientError } from '../../sdk/index.ts';
import { isClientError } from './errors.ts';
import type { VoicePlacement } from './voices.ts';
import { Voices } from './voices.ts';

export const SPEEDS = [0.75, 1, 1.25, 1.5, 1.75, 2] as const;

/** `idle`: nothing was fetched. `ready`: it can be played. `failed`: see `error`. */
export type PlayerPhase = 'idle' | 'loading' | 'ready' | 'failed';

export interface Player {
  phase: Ref<PlayerPhase>;
  /** Plays, or will as soon as enough has come. */
  playing: Ref<boolean>;
  /** Wants to play, and waits for the network. */
  waiting: Ref<boolean>;
  positionMs: Ref<number>;
  speed: Ref<number>;
  voices: Ref<VoicePlacement>;
  error: ShallowRef<VerbatimClientError | undefined>;
  /** Call it in a click. The first time it fetches the recording. */
  play(): Promise<void>;
  pause(): void;
  toggle(): void;
  /** To a point in the recording; before it was fetched, too. */
  seek(ms: number): void;
  setSpeed(speed: number): void;
  place(voices: VoicePlacement): void;
}

/** The player that is heard: starting another one pauses it. */
let heard: Player | undefined;

/**
 * Plays one recording. Nothing is fetched before the first `play`, because the server enters who listened. The
 * position lasts over a new address and over a failure.
 */
export function usePlayer(deps: {
  client: VerbatimClient;
  recordingId: string;
  durationMs: number;
  audio: HTMLAudioElement;
}): Player {
  const { client, recordingId, durationMs, audio } = deps;
  const phase = ref<PlayerPhase>('idle');
  const playing = ref(false);
  const waiting = ref(false);
  const positionMs = ref(0);
  const speed = ref(1);
  const voices = ref<VoicePlacement>('together');
  const error = shallowRef<VerbatimClientError>();
  const graph = new Voices(audio);
  let playback: Playback | undefined;
  let opening: Promise<boolean> | undefined;
  let frame = 0;
  let closed = false;

  function fail(failure: VerbatimClientError): void {
    if (closed) return;
    playback?.close();
    playback = undefined;
    error.value = failure;
    phase.value = 'failed';
    playing.value = false;
    waiting.value = false;
  }

  /** @returns whether it can be played now */
  async function open(): Promise<boolean> {
    phase.value = 'loading';
    error.value = undefined;
    try {
      const opened = await client.loadRecording(audio, recordingId, fail);
      if (closed) {
        opened.close();
        return false;
      }
      playback = opened;
      audio.playbackRate = speed.value;
      audio.currentTime = positionMs.value / 1_000;
      return true;
    } catch (failure) {
      if (!isClientError(failure)) throw failure;
      fail(failure);
      return false;
    }
  }

  async function play(): Promise<void> {
    if (heard !== player) heard?.pause();
    heard = player;
    graph.wake();
    playing.value = true;
    if (playback === undefined) {
      opening ??= open().finally(() => {
        opening = undefined;
      });
      if (!(await opening)) return;
    }
    // Paused while it was fetched.
    if (closed || !playing.value) return;
    if (positionMs.value >= durationMs) seek(0);
    try {
      await audio.play();
    } catch {
      // A pause or a new address came in between; and what the element itself cannot do comes as its `error` event.
    }
  }

  function pause(): void {
    playing.value = false;
    waiting.value = false;
    audio.pause();
  }

  function seek(ms: number): void {
    positionMs.value = Math.min(Math.max(0, ms), durationMs);
    if (playback) audio.currentTime = positionMs.value / 1_000;
  }

  function follow(): void {
    cancelAnimationFrame(frame);
    if (playback === undefined || audio.seeking || audio.readyState === 0) return;
    positionMs.value = Math.min(audio.currentTime * 1_000, durationMs);
    if (!audio.paused) frame = requestAnimationFrame(follow);
  }

  const listeners: Record<string, () => void> = {
    loadedmetadata: () => {
      if (playback) phase.value = 'ready';
    },
    playing: () => {
      playing.value = true;
      waiting.value = false;
      phase.value = 'ready';
      follow();
    },
    play: follow,
    // In a page that is not looked at there are no frames.
    timeupdate: follow,
    seeked: follow,
    waiting: () => {
      waiting.value = playing.value;
    },
    pause: () => {
      // An element that fails or is given a new address pauses by itself.
      if (audio.error || phase.value === 'loading') return;
      playing.value = false;
      waiting.value = false;
      graph.rest();
    },
    ended: () => {
      playing.value = false;
      positionMs.value = durationMs;
    },
  };
  for (const [name, listener] of Object.entries(listeners)) audio.addEventListener(name, listener);

  onScopeDispose(() => {
    closed = true;
    cancelAnimationFrame(frame);
    for (const [name, listener] of Object.entries(listeners)) audio.removeEventListener(name, listener);
    playback?.close();
    graph.close();
    if (heard === player) heard = undefined;
  });

  const player: Player = {
    phase,
    playing,
    waiting,
    positionMs,
    speed,
    voices,
    error,
    play,
    pause,
    toggle: () => {
      if (playing.value) pause();
      else void play();
    },
    seek,
    setSpeed(wish) {
      speed.value = wish;
      audio.playbackRate = wish;
    },
    place(wish) {
      voices.value = wish;
      graph.place(wish);
    },
  };
  return player;
}
