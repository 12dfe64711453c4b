import type { BuiltTimeline } from './timeline.ts';
import { MISSING } from './timeline-slots.ts';

/**
 * Where moments of the common clock lie in the file, in samples from its start. The file follows that clock in whole
 * frames (`timeline-slots.ts`), so a moment lies as long after the last packet in front of it as it was; one in a
 * pause that was shortened lies before the packet that ends it. Moments before or after the audio lie at its ends.
 */
export function placesOf(timeline: BuiltTimeline, times: readonly number[]): number[] {
  return timeline.slots.combined ? placesInSlots(timeline, times) : placesInTracks(timeline, times);
}

function placesInSlots({ placed, slots }: BuiltTimeline, times: readonly number[]): number[] {
  const places = times.map(() => 0);
  const order = times.map((_, i) => i).sort((a, b) => (times[a] as number) - (times[b] as number));
  let next = 0;
  const before: [number, number] = [0, 0];
  let anchor: { time: number; position: number } | undefined;
  /** Places what lies before a packet that was said at `time` and begins at `position`. */
  const settle = (time: number, position: number): void => {
    for (; next < order.length; next += 1) {
      const index = order[next] as number;
      const asked = times[index] as number;
      if (asked >= time && time !== Number.POSITIVE_INFINITY) return;
      places[index] = anchor === undefined ? 0 : Math.min(position, anchor.position + asked - anchor.time);
    }
  };
  let position = 0;
  for (let slot = 0; slot < slots.count && next < order.length; slot += 1) {
    let said = Number.POSITIVE_INFINITY;
    for (const leg of [0, 1] as const) {
      const item = slots.content[leg][slot] as number;
      if (item === MISSING) continue;
      // Slots take a leg's packets in the order in which they are placed.
      said = Math.min(said, placed[leg].time[before[leg]] as number);
      before[leg] += item >= 0 ? 1 : (slots.joined[leg][-2 - item]?.packets.length ?? 0);
    }
    if (said !== Number.POSITIVE_INFINITY && said >= (anchor?.time ?? Number.NEGATIVE_INFINITY)) {
      settle(said, position);
      anchor = { time: said, position };
    }
    position += slots.samples[slot] as number;
  }
  settle(Number.POSITIVE_INFINITY, position);
  return places;
}

/** A track for each leg keeps the times as they are. */
function placesInTracks(timeline: BuiltTimeline, times: readonly number[]): number[] {
  const { origin, end } = trackSpan(timeline);
  return times.map((time) => Math.max(0, Math.min(time, end) - origin));
}

/** First and last moment of the audio of both legs, on the common clock; of a file with a track for each leg. */
export function trackSpan({ legs, placed }: BuiltTimeline): { origin: number; end: number } {
  let origin = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  for (const leg of [0, 1] as const) {
    const { packets, time } = placed[leg];
    const last = packets.length - 1;
    if (last < 0) continue;
    origin = Math.min(origin, time[0] as number);
    end = Math.max(end, (time[last] as number) + (legs[leg].samples[packets[last] as number] as number));
  }
  return end === Number.NEGATIVE_INFINITY ? { origin: 0, end: 0 } : { origin, end };
}
