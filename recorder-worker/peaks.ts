import type { BuiltTimeline } from './timeline.ts';

/** A waveform of a recording: levels 0 (silence or nothing) to 127 (loudest), caller and callee interleaved. */
export interface Peaks {
  intervalMs: number;
  levels: number[];
}

const SHORTEST_INTERVAL_MS = 100;
/** A waveform on a screen has fewer points than this; a call of six minutes still has one for every 100 ms. */
const MAX_INTERVALS = 3_600;
const SAMPLES_PER_MS = 48;
const SILENCE = 127;

/**
 * The loudest level of each interval from the levels that the browsers measured (RFC 6464), so nothing is decoded.
 * A leg without levels stays at 0.
 */
export function peaksOf({ legs, slots }: BuiltTimeline): Peaks {
  const durationMs = slots.totalSamples / SAMPLES_PER_MS;
  const steps = Math.max(1, Math.ceil(durationMs / (SHORTEST_INTERVAL_MS * MAX_INTERVALS)));
  const intervalMs = steps * SHORTEST_INTERVAL_MS;
  const interval = intervalMs * SAMPLES_PER_MS;
  const levels = new Array<number>(Math.ceil(slots.totalSamples / interval) * 2).fill(0);
  const raise = (leg: 0 | 1, packet: number, position: number): void => {
    const level = legs[leg].level[packet] as number;
    if (level < 0) return;
    const index = Math.floor(position / interval) * 2 + leg;
    if (SILENCE - level > (levels[index] ?? 0)) levels[index] = SILENCE - level;
  };
  let position = 0;
  for (let slot = 0; slot < slots.count; slot += 1) {
    for (const leg of [0, 1] as const) {
      const item = slots.content[leg][slot] as number;
      if (item >= 0) raise(leg, item, position);
      const joined = item < -1 ? slots.joined[leg][-2 - item] : undefined;
      joined?.packets.forEach((packet, i) => {
        raise(leg, packet, position + (joined.offsets[i] as number));
      });
    }
    position += slots.samples[slot] as number;
  }
  return { intervalMs, levels };
}
