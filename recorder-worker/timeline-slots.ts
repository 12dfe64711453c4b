import { joinFrames } from './opus/join.ts';
import {
  createOpusPacket,
  frameSamplesOf,
  MAX_PACKET_SAMPLES,
  parseOpus,
  sameConfig,
} from './opus/packet.ts';
import type { PlacedLeg } from './timeline-clock.ts';
import type { Leg } from './timeline-leg.ts';

/**
 * Two placed legs side by side in slots, one multistream packet each.
 *
 * A slot lasts as long as the packets in it, and both of its streams last equally long, so the legs can only move
 * against each other in whole frames. No frame is ever dropped and none is used twice; what is free to choose is
 * where a leg gets a missing frame. The rule is a merge: take the head of each leg; when they were said within half
 * a frame of each other (and a little more, see TOLERANCE) they share a slot, else the earlier one gets the slot and
 * the other leg a missing frame. Three things follow.
 * - Drift: the faster leg has more frames than the slower one, so the slower gets a missing frame each time that
 *   it has fallen half a frame behind: with 200 ppm every 100 s for 20 ms frames. The faster leg drives the grid,
 *   whichever it is at the moment, and the legs never come apart by more than half a frame and TOLERANCE.
 * - Such a frame is put where the lagging leg is quiet, if it gets quiet while the difference grows through TOLERANCE.
 * - Loss and DTX are missing frames by themselves. Where both legs are silent the slots count the time, and what the
 *   drift has added to the file is taken off again there, by at most a quarter of each pause.
 *
 * Packets of different length on the two sides (10, 20, 40, 60 ms) share a slot by joining: frames of one config go
 * into one packet, each as it is. Where a run of frames does not fill its slot because the config changes or because
 * nothing divides, empty frames fill it, and that delay is counted; when it exceeds MAX_FILL of the recording the
 * legs do not fit together and `combined` is false: the file then has a track for each leg, its packets untouched.
 */
const TOLERANCE = 240;
/** Not zero, or two legs that lie exactly half a frame apart would take turns in missing frames. */
const QUIET_TOLERANCE = 48;
/** RFC 6464: -dBov at which nobody would hear one concealed frame; speech is at 10 to 40. */
const QUIET_LEVEL = 60;
/** How much of a pause of both legs may be taken off or added to follow real time. */
const PAUSE_SHARE = 1 / 4;
const MAX_FILL = 0.005;
/** A short recording may have this much filled anyway: one odd packet must not split the file. */
const MIN_FILL_SAMPLES = 9_600;

/** In a slot's column: nothing was captured for this leg. */
export const MISSING = -1;

export interface Slots {
  count: number;
  samples: Uint16Array;
  /** Per leg: an index of a packet of the leg, MISSING, or `-2 - i` for the joined packet i. */
  content: [Int32Array, Int32Array];
  joined: [Joined[], Joined[]];
  totalSamples: number;
  /** Samples that were filled only to make packets of different length fit. */
  filledSamples: number;
  /** False when the legs do not fit into common packets without touching frames. */
  combined: boolean;
}

/** Several packets of a leg in one, with empty frames where one was lost in between. */
export interface Joined {
  packets: number[];
  /** Where each packet begins, in samples from the slot's start. */
  offsets: number[];
  bytes: Uint8Array;
}

/** The content of one leg in one slot while it is being tried. */
interface Fill {
  packets: number[];
  offsets: number[];
  next: number;
  toc: number;
  filled: number;
}

/** `bytes` is what the legs' columns point into. */
export function fillSlots(
  legs: readonly [Leg, Leg],
  placed: readonly [PlacedLeg, PlacedLeg],
  bytes: Uint8Array,
): Slots {
  return new SlotFiller(legs, placed, bytes).run();
}

class SlotFiller {
  readonly #legs: readonly [Leg, Leg];
  readonly #placed: readonly [PlacedLeg, PlacedLeg];
  readonly #bytes: Uint8Array;
  readonly #next: [number, number] = [0, 0];
  readonly #slots: Slots = {
    count: 0,
    samples: new Uint16Array(4096),
    content: [new Int32Array(4096), new Int32Array(4096)],
    joined: [[], []],
    totalSamples: 0,
    filledSamples: 0,
    combined: true,
  };

  constructor(legs: readonly [Leg, Leg], placed: readonly [PlacedLeg, PlacedLeg], bytes: Uint8Array) {
    this.#legs = legs;
    this.#placed = placed;
    this.#bytes = bytes;
  }

  run(): Slots {
    const slots = this.#slots;
    const origin = Math.min(this.#time(0), this.#time(1));
    /** When the newest slot began and how long it lasts: the time up to which everything is placed. */
    let reached = origin;
    for (;;) {
      const times = [this.#time(0), this.#time(1)] as const;
      const early = times[1] < times[0] ? 1 : 0;
      const now = times[early];
      if (now === Number.POSITIVE_INFINITY) return slots;
      const pause = now - reached;
      const unit = this.#legs[early].samples[this.#head(early)] as number;
      if (pause > unit / 2 + TOLERANCE) this.#pause(pause, unit, origin, now);
      const samples = this.#slot(early, times[1 - early] as number, now);
      if (samples === 0) return { ...slots, combined: false };
      reached = now + samples;
    }
  }

  /** Slots in which nobody is heard. Their number follows real time, within PAUSE_SHARE of the pause. */
  #pause(pause: number, unit: number, origin: number, now: number): void {
    let count = Math.round(pause / unit);
    const ahead = origin + this.#slots.totalSamples + count * unit - now;
    const correction = Math.round(ahead / unit);
    const most = Math.floor(count * PAUSE_SHARE);
    count -= Math.max(-most, Math.min(most, correction));
    for (let i = 0; i < count; i += 1) this.#push(unit, MISSING, MISSING);
  }

  /** Fills one slot that begins with the head of leg `early`, said at `now`; returns its length, 0 if none fits. */
  #slot(early: 0 | 1, otherTime: number, now: number): number {
    const other = early === 0 ? 1 : 0;
    const own = this.#head(early);
    const ownSamples = this.#legs[early].samples[own] as number;
    const theirs = this.#head(other);
    if (theirs < 0) return this.#alone(early, own, ownSamples);
    const theirSamples = this.#legs[other].samples[theirs] as number;
    const together = otherTime - now <= this.#reach(other, theirs, Math.min(ownSamples, theirSamples));
    if (together && ownSamples === theirSamples) {
      this.#next[0] += 1;
      this.#next[1] += 1;
      this.#push(ownSamples, early === 0 ? own : theirs, early === 0 ? theirs : own);
      return ownSamples;
    }
    if (!together && otherTime - now >= ownSamples - theirSamples / 2) {
      return this.#alone(early, own, ownSamples);
    }
    return this.#join(Math.max(ownSamples, together ? theirSamples : 0), now, ownSamples, theirSamples);
  }

  #alone(leg: 0 | 1, packet: number, samples: number): number {
    this.#next[leg] += 1;
    this.#push(samples, leg === 0 ? packet : MISSING, leg === 1 ? packet : MISSING);
    return samples;
  }

  /** How late a leg's head may be for a slot and still go into it. */
  #reach(leg: 0 | 1, head: number, samples: number): number {
    const position = this.#next[leg];
    const { packets, time } = this.#placed[leg];
    const { level, samples: lengths } = this.#legs[leg];
    const before = position === 0 ? -1 : (packets[position - 1] as number);
    // A missing frame is not heard in front of a quiet packet, and not where frames are missing anyway.
    const quiet =
      before < 0 ||
      ((level[head] as number) >= QUIET_LEVEL && (level[before] as number) >= QUIET_LEVEL) ||
      (time[position] as number) - (time[position - 1] as number) > (lengths[before] as number) + TOLERANCE;
    return samples / 2 + (quiet ? QUIET_TOLERANCE : TOLERANCE);
  }

  /** A slot of packets that differ in length: the shortest that both fill without an empty frame, if there is one. */
  #join(least: number, now: number, ownSamples: number, theirSamples: number): number {
    const step = commonMultiple(ownSamples, theirSamples);
    let best: { samples: number; fills: [Fill, Fill] } | undefined;
    for (let samples = least % step === 0 ? least : step; samples <= MAX_PACKET_SAMPLES; samples += step) {
      const first = this.#fill(0, now, samples);
      const second = this.#fill(1, now, samples);
      if (first === undefined || second === undefined) continue;
      const filled = first.filled + second.filled;
      if (best === undefined || filled < best.fills[0].filled + best.fills[1].filled) {
        best = { samples, fills: [first, second] };
      }
      if (filled === 0) break;
    }
    if (best === undefined) return 0;
    const { samples, fills } = best;
    this.#push(samples, this.#take(0, fills[0], samples), this.#take(1, fills[1], samples));
    const slots = this.#slots;
    slots.filledSamples += fills[0].filled + fills[1].filled;
    if (slots.filledSamples > Math.max(MIN_FILL_SAMPLES, slots.totalSamples * MAX_FILL))
      slots.combined = false;
    return samples;
  }

  /** What leg `leg` has for a slot of `samples` that begins at `now`; undefined when its frames do not divide it. */
  #fill(leg: 0 | 1, now: number, samples: number): Fill | undefined {
    const { toc: tocs, samples: lengths } = this.#legs[leg];
    const { packets, time } = this.#placed[leg];
    const fill: Fill = { packets: [], offsets: [], next: this.#next[leg], toc: 0, filled: 0 };
    let offset = 0;
    while (offset < samples && fill.next < packets.length) {
      const packet = packets[fill.next] as number;
      const toc = tocs[packet] as number;
      const length = lengths[packet] as number;
      const frame = frameSamplesOf(fill.packets.length > 0 ? fill.toc : toc);
      if ((time[fill.next] as number) - now - offset > Math.min(length, samples) / 2 + TOLERANCE) {
        offset += frame;
        continue;
      }
      if ((fill.packets.length > 0 && !sameConfig(toc, fill.toc)) || offset + length > samples) {
        fill.filled = samples - offset;
        break;
      }
      if (fill.packets.length === 0) fill.toc = toc;
      fill.packets.push(packet);
      fill.offsets.push(offset);
      fill.next += 1;
      offset += length;
    }
    const divides = fill.packets.length === 0 || samples % frameSamplesOf(fill.toc) === 0;
    return divides ? fill : undefined;
  }

  /** Takes the packets of a fill and returns what stands for them in the slot. */
  #take(leg: 0 | 1, fill: Fill, samples: number): number {
    this.#next[leg] = fill.next;
    const [first] = fill.packets;
    if (first === undefined) return MISSING;
    if (fill.packets.length === 1 && (this.#legs[leg].samples[first] as number) === samples) return first;
    const joined = this.#slots.joined[leg];
    joined.push({
      packets: fill.packets,
      offsets: fill.offsets,
      bytes: this.#joinPackets(leg, fill, samples),
    });
    return -1 - joined.length;
  }

  #joinPackets(leg: 0 | 1, fill: Fill, samples: number): Uint8Array {
    const { start, length } = this.#legs[leg];
    const frame = frameSamplesOf(fill.toc);
    const frames = Array.from({ length: samples / frame }, () => ({ start: 0, length: 0 }));
    const opus = createOpusPacket();
    fill.packets.forEach((packet, i) => {
      const from = start[packet] as number;
      // It was parsed when it was collected; a slot is filled with whole frames from its offset on.
      parseOpus(this.#bytes, opus, from, from + (length[packet] as number));
      for (let f = 0; f < opus.frameCount; f += 1) {
        const target = frames[(fill.offsets[i] as number) / frame + f];
        if (target === undefined) throw new RangeError('a joined packet reaches past its slot');
        target.start = opus.frameStart[f] as number;
        target.length = opus.frameLength[f] as number;
      }
    });
    return joinFrames(fill.toc, this.#bytes, frames);
  }

  #push(samples: number, left: number, right: number): void {
    const slots = this.#slots;
    const index = slots.count;
    if (index === slots.samples.length) {
      slots.samples = grown(slots.samples, new Uint16Array(index * 2));
      slots.content = [
        grown(slots.content[0], new Int32Array(index * 2)),
        grown(slots.content[1], new Int32Array(index * 2)),
      ];
    }
    slots.samples[index] = samples;
    slots.content[0][index] = left;
    slots.content[1][index] = right;
    slots.count += 1;
    slots.totalSamples += samples;
  }

  #head(leg: 0 | 1): number {
    const { packets } = this.#placed[leg];
    const next = this.#next[leg];
    return next < packets.length ? (packets[next] as number) : -1;
  }

  #time(leg: 0 | 1): number {
    const { time } = this.#placed[leg];
    const next = this.#next[leg];
    return next < time.length ? (time[next] as number) : Number.POSITIVE_INFINITY;
  }
}

function grown<T extends Uint16Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

function commonMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}
