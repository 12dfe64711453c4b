import { readFile, rm } from 'node:fs/promises';
import { runCommand } from '../media-worker/command.ts';

/** The rate of everything that is compared here. */
const RATE_HZ = 8_000;
/** One value of loudness for each 20 ms. */
const STEP_SAMPLES = 160;
const SILENCE_DB = -60;

/** What the two people of a test call say: more than half a minute each, so that a short call hears no repetition. */
export const VOICES = {
  alice: {
    voice: 'en-us+f3',
    text:
      'This is Alice. The quick brown fox jumps over the lazy dog, and nobody in the village was surprised. ' +
      'On Monday we counted eleven boats in the harbour. On Tuesday there were only three, because of the storm. ' +
      'My grandmother used to say that a short letter takes a long afternoon. Bring the blue folder, the small ' +
      'lamp, and both keys. The train leaves at a quarter past seven, from the platform next to the bakery. ' +
      'If it rains we shall meet under the old bridge and wait there until the bells have stopped.',
  },
  bob: {
    voice: 'en-gb+m3',
    text:
      'Bob speaking, good evening! Seventy four, nineteen, six hundred and two: please write the numbers down. ' +
      'Copper melts at one thousand and eighty five degrees; butter, happily, a little earlier. ' +
      'Has anybody seen the ladder? It stood behind the shed all winter long. We painted the fence green, then ' +
      'white, then green again. Whatever the committee decides, the orchestra will play outside on Saturday, ' +
      'with two harps, a tuba, and somebody who whistles. Do not forget to feed the cat before you lock the door.',
  },
} as const;

/** Writes a spoken text as a WAV file that Chromium takes for a microphone. @throws Error when espeak-ng fails */
export async function speak(who: keyof typeof VOICES, path: string): Promise<void> {
  const { voice, text } = VOICES[who];
  const { code, output } = await runCommand('espeak-ng', ['-v', voice, '-s', '165', '-w', path, text]);
  if (code !== 0) throw new Error(`espeak-ng could not speak: ${output.trim()}`);
}

/**
 * How loud a channel of an audio file is, in dB for each 20 ms, as ffmpeg decodes it.
 * @throws Error with what ffmpeg says when the file does not decode without a complaint
 */
export async function loudness(path: string, channel: 0 | 1 = 0): Promise<Float64Array> {
  const raw = `${path}.${channel}.f32`;
  const filter = `pan=mono|c0=c${channel}`;
  const args = ['-v', 'error', '-y', '-i', path, '-af', filter, '-ar', String(RATE_HZ), '-f', 'f32le', raw];
  const { code, output } = await runCommand('ffmpeg', args);
  if (code !== 0 || output.trim() !== '') throw new Error(`ffmpeg does not decode ${path}: ${output.trim()}`);
  const samples = await readFile(raw);
  await rm(raw);
  return stepsOf(samples);
}

function stepsOf(samples: Buffer): Float64Array {
  const steps = new Float64Array(Math.floor(samples.length / 4 / STEP_SAMPLES));
  for (let step = 0; step < steps.length; step += 1) {
    let sum = 0;
    for (let i = 0; i < STEP_SAMPLES; i += 1) {
      const sample = samples.readFloatLE((step * STEP_SAMPLES + i) * 4);
      sum += sample * sample;
    }
    steps[step] = Math.max(SILENCE_DB, 10 * Math.log10(sum / STEP_SAMPLES + 1e-12));
  }
  return steps;
}

/**
 * The best correlation (-1 to 1) of a recorded channel's loudness with any stretch of a source's that is as long:
 * near 1 when the channel carries that speech, whatever its level and delay.
 */
export function likeness(recorded: Float64Array, source: Float64Array): number {
  const length = Math.min(recorded.length, source.length);
  let best = -1;
  for (let lag = 0; lag + length <= source.length; lag += 1) {
    best = Math.max(best, correlation(recorded, source.subarray(lag, lag + length), length));
  }
  return best;
}

function correlation(a: Float64Array, b: Float64Array, length: number): number {
  let [sumA, sumB, sumAA, sumBB, sumAB] = [0, 0, 0, 0, 0];
  for (let i = 0; i < length; i += 1) {
    const x = a[i] ?? 0;
    const y = b[i] ?? 0;
    sumA += x;
    sumB += y;
    sumAA += x * x;
    sumBB += y * y;
    sumAB += x * y;
  }
  const spread = Math.sqrt((sumAA - (sumA * sumA) / length) * (sumBB - (sumB * sumB) / length));
  return spread === 0 ? 0 : (sumAB - (sumA * sumB) / length) / spread;
}
