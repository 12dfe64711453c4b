import type { Waveform } from '#protocol';

const SAMPLES_PER_MS = 48;
/** A level is 127 for 0 dBov and falls by one for each decibel (RFC 6464 §3). */
const LOUDEST = 127;
const FULL_SCALE = 32_767;

/**
 * The levels of a recording (0 to 127, caller and callee interleaved) as the amplitudes that they stand for, in
 * audiowaveform's JSON form: for each pixel minimum and maximum of the caller, then of the callee.
 */
export function waveformOf({
  intervalMs,
  levels,
}: {
  intervalMs: number;
  levels: readonly number[];
}): Waveform {
  const data: number[] = [];
  for (const level of levels) {
    const amplitude = level <= 0 ? 0 : Math.round(FULL_SCALE * 10 ** ((level - LOUDEST) / 20));
    // Not -0, which JSON has no word for.
    data.push(amplitude === 0 ? 0 : -amplitude, amplitude);
  }
  return {
    version: 2,
    channels: 2,
    sample_rate: SAMPLES_PER_MS * 1000,
    samples_per_pixel: intervalMs * SAMPLES_PER_MS,
    bits: 16,
    length: Math.floor(levels.length / 2),
    data,
  };
}
