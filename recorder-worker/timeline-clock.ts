import { SAMPLE_RATE } from './opus/packet.ts';
import type { Leg, Report, Run } from './timeline-leg.ts';

/**
 * When each packet was said, on one clock for both legs.
 *
 * An RTP timestamp counts samples of the sender's sound card, which runs a little fast or slow and starts anywhere. Two
 * things tell what the clock showed at a timestamp. Sender reports do so by a clock that both legs share, where there
 * are reports of both and they agree with each other and with the arrival times; else they are left aside for both
 * legs, so that neither has another yardstick. The arrival of every packet does so by the recorder's clock. Either is
 * only ever late, by queues on the way, never early. So the offset (observed time minus timestamp) is the least one of
 * each window, the drift is the median slope between windows, and what then remains is smoothed by a running median,
 * which a congested window cannot move.
 *
 * All times are in samples at 48 kHz.
 */
const WINDOW = 20 * SAMPLE_RATE;
/** Sound cards stay within 200 ppm; more than this is an error of observation. */
const MAX_SLOPE = 1e-3;
/** Fewer windows than this say nothing about drift that a straight line between them does not say. */
const MIN_WINDOWS_FOR_SLOPE = 4;
const MEDIAN_REACH = 2;
/** Reports of two legs are of one clock when they differ by less, the difference of the ways here included. */
const SAME_CLOCK = 0.1 * SAMPLE_RATE;
/** How far a window may be from what is usual, before and behind it, for the reports to be believed. */
const MAX_BEFORE_REPORT = 0.05 * SAMPLE_RATE;
const MAX_AFTER_REPORT = 0.5 * SAMPLE_RATE;

/** The packets of one leg in the order in which they are played, and when each was said. */
export interface PlacedLeg {
  packets: Int32Array;
  time: Float64Array;
}

/** Offsets to add to timestamps: a line through anchors at ascending timestamps, with `slope` outside of them. */
interface Offset {
  anchor: number[];
  value: number[];
  slope: number;
}

/** Places the packets of both finished legs on the common clock. */
export function placeLegs(legs: readonly [Leg, Leg]): [PlacedLeg, PlacedLeg] {
  const trusted = trustedReports(legs);
  return [placeLeg(legs[0], trusted), placeLeg(legs[1], trusted)];
}

/**
 * Epoch -> what to add to the reports' clock to get the common clock, for the epochs whose reports are sound. It is the
 * least that the arrivals of a leg are behind its reports, so that a leg is placed by the one that is earlier.
 */
function trustedReports(legs: readonly [Leg, Leg]): Map<number, number> {
  const trusted = new Map<number, number>();
  for (const epoch of new Set(legs.flatMap((leg) => leg.runs.map((run) => run.epoch)))) {
    const [first, second] = legs.map((leg) =>
      leg.runs.flatMap((run) => (run.epoch === epoch ? leadsOf(leg, run) : [])),
    ) as [number[], number[]];
    if (first.length === 0 || second.length === 0) continue;
    const usual = [median(first), median(second)] as const;
    const shift = Math.min(...usual);
    const sound = [...first, ...second].every(
      (lead) => lead >= shift - MAX_BEFORE_REPORT && lead <= shift + MAX_AFTER_REPORT,
    );
    if (sound && Math.abs(usual[0] - usual[1]) <= SAME_CLOCK) trusted.set(epoch, shift);
  }
  return trusted;
}

/** How much later than by its reports a run is placed by its arrivals, for each of its windows. */
function leadsOf(leg: Leg, run: Run): number[] {
  if (run.reports.length === 0 || run.packets.length === 0) return [];
  const reported = smooth(reportMinima(leg, run));
  const arrived = smooth(minimaOf(leg, run, undefined));
  return arrived.anchor.map((anchor, i) => (arrived.value[i] as number) - valueAt(reported, anchor));
}

function ntpSamples(ntpUs: number): number {
  return ntpUs * (SAMPLE_RATE / 1_000_000);
}

function placeLeg(leg: Leg, trusted: ReadonlyMap<number, number>): PlacedLeg {
  const parts: { packets: Int32Array; time: Float64Array; epoch: number }[] = [];
  for (const run of leg.runs) {
    if (run.packets.length === 0) continue;
    const shift = trusted.get(run.epoch);
    const offset = smooth(minimaOf(leg, run, shift));
    parts.push({ packets: run.packets, time: times(leg, run.packets, offset), epoch: run.epoch });
  }
  // Runs follow each other: two SSRCs of one leg are one microphone before and after, never two at once.
  parts.sort((a, b) => a.epoch - b.epoch || (a.time[0] as number) - (b.time[0] as number));
  const total = parts.reduce((sum, part) => sum + part.packets.length, 0);
  const placed = { packets: new Int32Array(total), time: new Float64Array(total) };
  let to = 0;
  for (const part of parts) {
    placed.packets.set(part.packets, to);
    placed.time.set(part.time, to);
    to += part.packets.length;
  }
  return placed;
}

/** The arrivals of a run, and its reports where they are trusted, in one: the least of each window. */
function minimaOf(leg: Leg, run: Run, shift: number | undefined): Offset {
  const minima = new WindowMinima();
  const reports = shift === undefined ? [] : byTimestamp(run.reports);
  let next = 0;
  for (const index of run.packets) {
    const timestamp = leg.timestamp[index] as number;
    for (; next < reports.length && (reports[next] as Report).timestamp <= timestamp; next += 1) {
      addReport(minima, leg, run, reports[next] as Report, shift ?? 0);
    }
    // A packet leaves when its last sample was said, a long one later than a short one.
    minima.add(timestamp, (leg.arrival[index] as number) - (leg.samples[index] as number) - timestamp);
  }
  for (; next < reports.length; next += 1) {
    addReport(minima, leg, run, reports[next] as Report, shift ?? 0);
  }
  return minima.result;
}

function reportMinima(leg: Leg, run: Run): Offset {
  const minima = new WindowMinima();
  for (const report of byTimestamp(run.reports)) addReport(minima, leg, run, report, 0);
  return minima.result;
}

function byTimestamp(reports: readonly Report[]): Report[] {
  return [...reports].sort((a, b) => a.timestamp - b.timestamp);
}

/**
 * The media server writes the reports of what it forwards: a timestamp and when the packet with it had come. That is one
 * packet's length after it was said, as with arrivals.
 */
function addReport(minima: WindowMinima, leg: Leg, run: Run, report: Report, shift: number): void {
  const packetSamples = leg.samples[run.packets[0] as number] as number;
  minima.add(report.timestamp, ntpSamples(report.ntpUs) + shift - packetSamples - report.timestamp);
}

/** The least offset of each window of ascending timestamps, at the timestamp where it was seen. */
class WindowMinima {
  readonly result: Offset = { anchor: [], value: [], slope: 0 };
  #windowEnd = Number.NEGATIVE_INFINITY;

  add(timestamp: number, offset: number): void {
    const { anchor, value } = this.result;
    if (timestamp >= this.#windowEnd) {
      this.#windowEnd = timestamp + WINDOW;
      anchor.push(timestamp);
      value.push(offset);
    } else if (offset < (value[value.length - 1] as number)) {
      anchor[anchor.length - 1] = timestamp;
      value[value.length - 1] = offset;
    }
  }
}

/** The line through the minima: their median slope, and the running median of what remains. */
function smooth(minima: Offset): Offset {
  const { anchor, value } = minima;
  const count = anchor.length;
  if (count < MIN_WINDOWS_FOR_SLOPE) return minima;
  const slope = medianSlope(anchor, value);
  const rest = value.map((offset, i) => offset - slope * (anchor[i] as number));
  return {
    anchor,
    slope,
    value: rest.map((_, i) => {
      // The same reach on both sides, so that the ends are not pulled inwards.
      const reach = Math.min(MEDIAN_REACH, i, count - 1 - i);
      const around = reach === 0 ? endOf(rest, i) : rest.slice(i - reach, i + reach + 1);
      return median(around) + slope * (anchor[i] as number);
    }),
  };
}

/** The three outermost values at an end: a single bad last window must not bend the line. */
function endOf(rest: readonly number[], index: number): number[] {
  return index === 0 ? rest.slice(0, 3) : rest.slice(-3);
}

function medianSlope(anchor: readonly number[], value: readonly number[]): number {
  const half = Math.floor(anchor.length / 2);
  const slopes: number[] = [];
  for (let i = 0; i + half < anchor.length; i += 1) {
    slopes.push(
      ((value[i + half] as number) - (value[i] as number)) /
        ((anchor[i + half] as number) - (anchor[i] as number)),
    );
  }
  return Math.max(-MAX_SLOPE, Math.min(MAX_SLOPE, median(slopes)));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

function times(leg: Leg, packets: Int32Array, offset: Offset): Float64Array {
  const time = new Float64Array(packets.length);
  let segment = 0;
  for (let i = 0; i < packets.length; i += 1) {
    const timestamp = leg.timestamp[packets[i] as number] as number;
    while (segment + 2 < offset.anchor.length && timestamp > (offset.anchor[segment + 1] as number))
      segment += 1;
    time[i] = timestamp + between(offset, segment, timestamp);
  }
  return time;
}

function valueAt(offset: Offset, timestamp: number): number {
  let segment = 0;
  while (segment + 2 < offset.anchor.length && timestamp > (offset.anchor[segment + 1] as number))
    segment += 1;
  return between(offset, segment, timestamp);
}

/** Straight between two anchors, and on along the drift in front of the first and behind the last. */
function between({ anchor, value, slope }: Offset, segment: number, timestamp: number): number {
  const from = anchor[segment] as number;
  if (segment + 1 >= anchor.length || timestamp <= from) {
    return (value[segment] as number) + slope * (timestamp - from);
  }
  const to = anchor[segment + 1] as number;
  if (timestamp >= to) return (value[segment + 1] as number) + slope * (timestamp - to);
  const share = (timestamp - from) / (to - from);
  return (value[segment] as number) * (1 - share) + (value[segment + 1] as number) * share;
}
