import type { CallStats, MediaPath } from '../index.ts';
import { VerbatimClientError } from '../index.ts';

const PACKET_MS = 20;

/** The audio of a call without audio: it stands as soon as there is a microphone, and counts as if all arrived. */
export class TestMedia implements MediaPath {
  readonly #ready: () => void;
  #sinceMs: number | undefined;
  #closed = false;

  constructor(ready: () => void) {
    this.#ready = ready;
  }

  async start(microphone: () => Promise<MediaStreamTrack>): Promise<void> {
    await microphone();
    // Behind the request that the call began or was accepted with, as on a wire.
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (this.#closed) return;
    this.#sinceMs = performance.now();
    this.#ready();
  }

  offer(): void {}

  async replaceTrack(): Promise<void> {}

  mend(): void {}

  async stats(): Promise<CallStats> {
    const ms = this.#sinceMs === undefined ? 0 : performance.now() - this.#sinceMs;
    const packets = Math.floor(ms / PACKET_MS);
    const state = this.#closed ? 'closed' : this.#sinceMs === undefined ? 'new' : 'connected';
    return {
      inbound: { packets, bytes: packets, lost: 0, jitter: 0, audioLevel: 0, totalAudioEnergy: 0 },
      outbound: { packets, bytes: packets, audioLevel: 0 },
      rttMs: undefined,
      send: state,
      recv: state,
    };
  }

  close(): void {
    this.#closed = true;
  }
}

export type TestMicrophone = 'granted' | 'denied' | 'missing' | 'busy';

/** A microphone that hears nothing; where a page may not have one, it is refused by its name. */
export function openTestMicrophone(state: TestMicrophone, signal: AbortSignal): MediaStreamTrack {
  if (state !== 'granted') throw new VerbatimClientError(`microphone_${state}`);
  const track = new SilentTrack();
  signal.addEventListener('abort', () => track.stop(), { once: true });
  // What a call does with its microphone is there: `enabled`, `readyState`, `stop`, `getSettings`, `ended`.
  return track as unknown as MediaStreamTrack;
}

class SilentTrack extends EventTarget {
  readonly id = crypto.randomUUID();
  readonly kind = 'audio';
  readonly label = 'Test microphone';
  enabled = true;
  readyState: MediaStreamTrackState = 'live';

  stop(): void {
    this.readyState = 'ended';
  }

  getSettings(): MediaTrackSettings {
    return { deviceId: 'test-microphone' };
  }
}
