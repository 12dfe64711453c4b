/** What rings: made here, so that no file has to be fetched and no policy of the page has to allow it. */
export type ToneName = 'incoming' | 'ringback';

interface Note {
  /** Seconds from the beginning. */
  at: number;
  lasts: number;
  hz: number;
  loudness: number;
  /** A struck bar fades from the start; a dial tone keeps its level. */
  struck: boolean;
}

interface Tone {
  /** Seconds until it begins again. */
  period: number;
  notes: readonly Note[];
}

const struck = (at: number, hz: number): Note => ({ at, lasts: 1.1, hz, loudness: 0.32, struck: true });

const TONES: Readonly<Record<ToneName, Tone>> = {
  // Two rising figures of a marimba, then a rest.
  incoming: {
    period: 3.2,
    notes: [
      struck(0, 659.26),
      struck(0.16, 830.61),
      struck(0.32, 987.77),
      struck(0.8, 659.26),
      struck(0.96, 830.61),
      struck(1.12, 1318.51),
    ],
  },
  // ETSI TR 101 041: 425 Hz, one second in five.
  ringback: { period: 5, notes: [{ at: 0.1, lasts: 1, hz: 425, loudness: 0.1, struck: false }] },
};

/** So short that it is not heard, so long that the edge does not click. */
const RAMP_SECONDS = 0.012;

/** Plays a tone over and over until it is closed. */
export class Ringing {
  readonly #context = new AudioContext();

  constructor(name: ToneName) {
    const source = this.#context.createBufferSource();
    source.buffer = rendered(TONES[name], this.#context);
    source.loop = true;
    source.connect(this.#context.destination);
    source.start();
    // A page that nobody has touched yet stays silent; the first touch lets it be heard.
    addEventListener('pointerdown', this.#wake, { capture: true });
    addEventListener('keydown', this.#wake, { capture: true });
  }

  close(): void {
    removeEventListener('pointerdown', this.#wake, { capture: true });
    removeEventListener('keydown', this.#wake, { capture: true });
    if (this.#context.state !== 'closed') void this.#context.close();
  }

  #wake = (): void => {
    // Refused is as silent as before.
    if (this.#context.state === 'suspended') this.#context.resume().catch(() => {});
  };
}

function rendered({ period, notes }: Tone, context: AudioContext): AudioBuffer {
  const { sampleRate } = context;
  const buffer = context.createBuffer(1, Math.round(period * sampleRate), sampleRate);
  const samples = buffer.getChannelData(0);
  for (const note of notes) {
    const first = Math.round(note.at * sampleRate);
    const count = Math.round(note.lasts * sampleRate);
    for (let index = 0; index < count && first + index < samples.length; index += 1) {
      const value = sampleOf(note, index / sampleRate);
      samples[first + index] = (samples[first + index] ?? 0) + value;
    }
  }
  return buffer;
}

function sampleOf({ hz, lasts, loudness, struck: fades }: Note, seconds: number): number {
  const edge = Math.min(1, seconds / RAMP_SECONDS, (lasts - seconds) / RAMP_SECONDS);
  const wave = Math.sin(2 * Math.PI * hz * seconds);
  if (!fades) return loudness * edge * wave;
  // The fourth partial of a bar, gone sooner than the tone itself.
  const partial = 0.35 * Math.sin(2 * Math.PI * 4 * hz * seconds) * Math.exp(-14 * seconds);
  return loudness * edge * Math.exp(-5 * seconds) * (wave + partial);
}
