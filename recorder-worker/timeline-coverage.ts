import type { LegReport, Span } from '#protocol';
import type { BuiltTimeline, TimelineMark } from './timeline.ts';
import { placesOf, trackSpan } from './timeline-places.ts';
import { MISSING } from './timeline-slots.ts';

/** Shorter spans are DTX, which sends a packet every 400 ms, or loss, which is counted. */
const GAP_SAMPLES = 48_000;
const SAMPLES_PER_MS = 48;
/** Spans that are listed of one kind; past it there is no audio to speak of, and the counts still tell. */
const MAX_SPANS = 1_000;

export interface Coverage {
  legs: [LegReport, LegReport];
  /** Between two epochs: nothing was recorded of either leg. */
  holes: Span[];
}

/**
 * What was heard of each leg, caller first: packets, loss, the spans of the file without audio, those in which the side
 * had muted itself, and how often its media path came back (F37). And the holes between epochs.
 */
export function coverageOf(timeline: BuiltTimeline): Coverage {
  const [caller, callee] = [mutesOf(timeline.marks, 0), mutesOf(timeline.marks, 1)];
  const holes = holesOf(timeline);
  // One walk through the file for all of them.
  const edges = [...caller, ...callee, ...holes].flatMap(({ from, to }) => [from, to]);
  const places = placesOf(timeline, edges);
  let at = 0;
  const placed = (): Span => {
    const [from, to] = [places[at] as number, places[at + 1] as number];
    at += 2;
    return spanOf(from, Math.max(from, to));
  };
  return {
    legs: [legReport(timeline, 0, caller.map(placed)), legReport(timeline, 1, callee.map(placed))],
    holes: holes.map(placed),
  };
}

/** On the common clock. */
interface Stretch {
  from: number;
  to: number;
}

/** From `mute` to `unmute`; one that is not taken back lasts to the end. */
function mutesOf(marks: readonly TimelineMark[], leg: 0 | 1): Stretch[] {
  const mutes: Stretch[] = [];
  let from: number | undefined;
  for (const mark of marks) {
    if (mark.leg !== leg) continue;
    if (mark.kind === 'mute') from ??= mark.time;
    else if (mark.kind === 'unmute' && from !== undefined) {
      if (mutes.length < MAX_SPANS) mutes.push({ from, to: mark.time });
      from = undefined;
    }
  }
  if (from !== undefined && mutes.length < MAX_SPANS) mutes.push({ from, to: Number.POSITIVE_INFINITY });
  return mutes;
}

/**
 * From the end of the last packet of either leg before an epoch to the first one in it. Where a recorder was lost that
 * is a hole however short it was. A recorder that only changed files lost nothing, so there it is one only when longer
 * than any pause of a stream.
 */
function holesOf({ legs, placed, epochs }: BuiltTimeline): Stretch[] {
  if (epochs.length < 2) return [];
  const ends = epochs.map(() => Number.NEGATIVE_INFINITY);
  const begins = epochs.map(() => Number.POSITIVE_INFINITY);
  for (const leg of [0, 1] as const) {
    const { packets, time } = placed[leg];
    for (let i = 0; i < packets.length; i += 1) {
      const packet = packets[i] as number;
      const epoch = epochs.findLastIndex(({ before }) => packet >= before[leg]);
      if (epoch < 0) continue;
      const said = time[i] as number;
      begins[epoch] = Math.min(begins[epoch] as number, said);
      ends[epoch] = Math.max(ends[epoch] as number, said + (legs[leg].samples[packet] as number));
    }
  }
  const holes: Stretch[] = [];
  let last: { end: number; recorder: string } | undefined;
  let reattached = false;
  epochs.forEach((epoch, i) => {
    reattached ||= epoch.reattached;
    const begin = begins[i] as number;
    // Nothing of either leg came into it: the hole goes on.
    if (begin === Number.POSITIVE_INFINITY) return;
    if (last !== undefined) {
      const lost = reattached || last.recorder !== epoch.recorder;
      if ((lost || begin - last.end > GAP_SAMPLES) && holes.length < MAX_SPANS)
        holes.push({ from: last.end, to: Math.max(begin, last.end) });
    }
    last = {
      end: Math.max(last?.end ?? Number.NEGATIVE_INFINITY, ends[i] as number),
      recorder: epoch.recorder,
    };
    reattached = false;
  });
  return holes;
}

function legReport(timeline: BuiltTimeline, index: 0 | 1, mutes: Span[]): LegReport {
  const leg = timeline.legs[index];
  const reattached = timeline.marks.filter((mark) => mark.kind === 'reattach' && mark.leg === index);
  return {
    side: index === 0 ? 'caller' : 'callee',
    packets: leg.count - leg.duplicates,
    lost: leg.runs.reduce((sum, run) => sum + run.lost, 0),
    duplicates: leg.duplicates,
    unusable: leg.unusable + leg.malformed,
    gaps: timeline.slots.combined ? gapsInSlots(timeline, index) : gapsInTrack(timeline, index),
    mutes,
    reconnects: reattached.length,
  };
}

function gapsInSlots({ slots }: BuiltTimeline, index: 0 | 1): Span[] {
  const gaps = new Gaps();
  let position = 0;
  for (let slot = 0; slot < slots.count; slot += 1) {
    const next = position + (slots.samples[slot] as number);
    if ((slots.content[index][slot] as number) !== MISSING) gaps.heard(position, next);
    position = next;
  }
  return gaps.until(position);
}

function gapsInTrack(timeline: BuiltTimeline, index: 0 | 1): Span[] {
  const gaps = new Gaps();
  const { origin, end } = trackSpan(timeline);
  const { packets, time } = timeline.placed[index];
  const { samples } = timeline.legs[index];
  for (let i = 0; i < packets.length; i += 1) {
    const said = (time[i] as number) - origin;
    gaps.heard(said, said + (samples[packets[i] as number] as number));
  }
  return gaps.until(end - origin);
}

/** Collects the long spans in which nothing was heard. */
class Gaps {
  readonly #spans: Span[] = [];
  #heardUntil = 0;

  heard(from: number, to: number): void {
    this.#gap(from);
    this.#heardUntil = to;
  }

  until(end: number): Span[] {
    this.#gap(end);
    return this.#spans;
  }

  #gap(to: number): void {
    if (to - this.#heardUntil > GAP_SAMPLES && this.#spans.length < MAX_SPANS)
      this.#spans.push(spanOf(this.#heardUntil, to));
  }
}

function spanOf(from: number, to: number): Span {
  return { atMs: Math.round(from / SAMPLES_PER_MS), lengthMs: Math.round((to - from) / SAMPLES_PER_MS) };
}
