/** `together`: both voices from the middle. `apart`: the caller left and the callee right, as in the file. */
export type VoicePlacement = 'together' | 'apart';

/**
 * Mixing two channels to one halves each (Web Audio, "Up-mixing and down-mixing"). This brings a single voice back to
 * the loudness that it has when it comes from one side (equal power).
 */
const MIX_GAIN = Math.SQRT2;

/**
 * Where the two voices of a recording come from. One gain node does it: with one channel its input is mixed down, and
 * the output plays it on both sides; with two channels it passes them on.
 */
export class Voices {
  readonly #audio: HTMLAudioElement;
  #placement: VoicePlacement = 'together';
  #graph: { context: AudioContext; gain: GainNode } | undefined;
  #closed = false;

  constructor(audio: HTMLAudioElement) {
    this.#audio = audio;
  }

  get placement(): VoicePlacement {
    return this.#placement;
  }

  place(placement: VoicePlacement): void {
    this.#placement = placement;
    this.#apply();
  }

  /** Call it in a click, before the element plays: browsers let pages make sound only then. */
  wake(): void {
    if (this.#closed) return;
    this.#graph ??= this.#build();
    this.#apply();
    // Not waited for: without a loudspeaker it may never come, and the element plays on its own clock.
    this.#graph.context.resume().catch(() => {});
  }

  /** Lets the loudspeaker rest. */
  rest(): void {
    if (!this.#closed) this.#graph?.context.suspend().catch(() => {});
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#graph?.context.close().catch(() => {});
  }

  #build(): { context: AudioContext; gain: GainNode } {
    const context = new AudioContext({ latencyHint: 'playback' });
    const gain = new GainNode(context, { channelCountMode: 'explicit', channelInterpretation: 'speakers' });
    context.createMediaElementSource(this.#audio).connect(gain).connect(context.destination);
    return { context, gain };
  }

  #apply(): void {
    if (this.#graph === undefined) return;
    const { gain } = this.#graph;
    const together = this.#placement === 'together';
    gain.channelCount = together ? 1 : 2;
    gain.gain.value = together ? MIX_GAIN : 1;
  }
}
