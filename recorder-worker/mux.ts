import type { WebmTrack } from './mux-webm.ts';
import { clusterTimes, toMs, WebmWriter } from './mux-webm.ts';
import { missingPacket } from './opus/join.ts';
import { copyBytes, delimiterBytes, opusHead, writeSelfDelimited } from './opus/multistream.ts';
import type { BuiltTimeline } from './timeline.ts';
import type { Leg } from './timeline-leg.ts';
import type { Joined, Slots } from './timeline-slots.ts';
import { MISSING } from './timeline-slots.ts';

/**
 * A finished timeline as one WebM file. Usually that is one stereo track, caller left and callee right, in which each
 * packet is a multistream packet of one slot. Where the legs do not fit together (`combined` false) it has one mono
 * track for each leg, caller first, every packet as it was sent at the time it was said: nothing is lost, though most
 * players play one track at a time.
 */
export interface MuxedFile {
  bytes: Uint8Array;
  durationSamples: number;
  combined: boolean;
}

/** Gives memory of at least this size for the file. */
type Allocate = (bytes: number) => Uint8Array;

/** `allocate`: where the file's memory comes from, when not from the heap; the file is a part of it. */
export function muxTimeline(timeline: BuiltTimeline, allocate: Allocate = newBytes): MuxedFile {
  return timeline.slots.combined ? muxCombined(timeline, allocate) : muxSeparate(timeline, allocate);
}

function newBytes(bytes: number): Uint8Array {
  return new Uint8Array(bytes);
}

function muxCombined({ legs, slots, bytes }: BuiltTimeline, allocate: Allocate): MuxedFile {
  const { count, samples, totalSamples } = slots;
  const times = slotTimes(slots);
  const clusters = clusterTimes(times);
  const uniform = samples.subarray(0, count).every((length) => length === samples[0]);
  const track: WebmTrack = {
    name: 'caller left, callee right',
    channels: 2,
    codecPrivate: opusHead(2),
    ...(uniform ? { packetSamples: samples[0] as number } : {}),
  };
  const writer = new WebmWriter({
    tracks: [track],
    durationSamples: totalSamples,
    clusterTimesMs: clusters,
    // Two bytes for the length of the left packet, two for a missing one.
    payloadBytes: payloadBytes(legs[0], slots.joined[0]) + payloadBytes(legs[1], slots.joined[1]) + count * 5,
    blocks: count,
    allocate,
  });
  const left = new StreamSource(legs[0], bytes, slots.content[0], slots.joined[0]);
  const right = new StreamSource(legs[1], bytes, slots.content[1], slots.joined[1]);
  let cluster = 0;
  for (let slot = 0; slot < count; slot += 1) {
    const timeMs = times[slot] as number;
    if (cluster < clusters.length && timeMs === clusters[cluster]) {
      writer.cluster(timeMs);
      cluster += 1;
    }
    left.select(slot, samples[slot] as number);
    right.select(slot, samples[slot] as number);
    const delimiter = delimiterBytes(left.bytes, left.start, left.end);
    if (delimiter < 0) throw new RangeError('a packet of the timeline is not a valid Opus packet');
    const to = writer.block(1, timeMs, left.end - left.start + delimiter + right.end - right.start);
    const target = writer.bytes;
    const next = writeSelfDelimited(left.bytes, left.start, left.end, target, to);
    copyBytes(right.bytes, right.start, right.end, target, next);
  }
  return { bytes: writer.finish(), durationSamples: totalSamples, combined: true };
}

function slotTimes({ count, samples }: Slots): Float64Array {
  const times = new Float64Array(count);
  let position = 0;
  for (let slot = 0; slot < count; slot += 1) {
    times[slot] = toMs(position);
    position += samples[slot] as number;
  }
  return times;
}

function payloadBytes(leg: Leg, joined: readonly Joined[]): number {
  let bytes = 0;
  for (const run of leg.runs) for (const packet of run.packets) bytes += leg.length[packet] as number;
  return joined.reduce((sum, packet) => sum + packet.bytes.length, bytes);
}

/** What one leg has in each slot, as a range of bytes; where it has nothing, the packet that says so. */
class StreamSource {
  bytes: Uint8Array;
  start = 0;
  end = 0;
  readonly #leg: Leg;
  readonly #pool: Uint8Array;
  readonly #content: Int32Array;
  readonly #joined: readonly Joined[];
  readonly #missing = new Map<number, Uint8Array>();

  constructor(leg: Leg, pool: Uint8Array, content: Int32Array, joined: readonly Joined[]) {
    this.#leg = leg;
    this.#pool = pool;
    this.#content = content;
    this.#joined = joined;
    this.bytes = pool;
  }

  select(slot: number, samples: number): void {
    const item = this.#content[slot] as number;
    if (item >= 0) {
      this.bytes = this.#pool;
      this.start = this.#leg.start[item] as number;
      this.end = this.start + (this.#leg.length[item] as number);
      return;
    }
    this.bytes = item === MISSING ? this.#missingPacket(samples) : this.#joinedBytes(item);
    this.start = 0;
    this.end = this.bytes.length;
  }

  #missingPacket(samples: number): Uint8Array {
    let packet = this.#missing.get(samples);
    if (packet === undefined) {
      packet = missingPacket(samples);
      this.#missing.set(samples, packet);
    }
    return packet;
  }

  #joinedBytes(item: number): Uint8Array {
    const joined = this.#joined[-2 - item];
    if (joined === undefined) throw new RangeError(`there is no joined packet ${-2 - item}`);
    return joined.bytes;
  }
}

function muxSeparate({ legs, placed, bytes }: BuiltTimeline, allocate: Allocate): MuxedFile {
  const origin = Math.min(
    placed[0].time[0] ?? Number.POSITIVE_INFINITY,
    placed[1].time[0] ?? Number.POSITIVE_INFINITY,
  );
  const blocks: { track: 0 | 1; packet: number; at: number }[] = [];
  let durationSamples = 0;
  for (const track of [0, 1] as const) {
    let end = 0;
    const { packets, time } = placed[track];
    packets.forEach((packet, i) => {
      // Where a packet was said before the one in front of it was over it follows it: time only goes forward.
      const start = Math.max(end, Math.round((time[i] as number) - origin));
      blocks.push({ track, packet, at: start });
      end = start + (legs[track].samples[packet] as number);
    });
    durationSamples = Math.max(durationSamples, end);
  }
  blocks.sort((a, b) => a.at - b.at || a.track - b.track);
  const clusters = clusterTimes(blocks.map((block) => toMs(block.at)));
  const writer = new WebmWriter({
    tracks: ['caller', 'callee'].map((name) => ({ name, channels: 1, codecPrivate: opusHead(1) })),
    durationSamples,
    clusterTimesMs: clusters,
    payloadBytes: payloadBytes(legs[0], []) + payloadBytes(legs[1], []),
    blocks: blocks.length,
    allocate,
  });
  let cluster = 0;
  for (const { track, packet, at: position } of blocks) {
    const timeMs = toMs(position);
    if (cluster < clusters.length && timeMs === clusters[cluster]) {
      writer.cluster(timeMs);
      cluster += 1;
    }
    const start = legs[track].start[packet] as number;
    const length = legs[track].length[packet] as number;
    const to = writer.block(track + 1, timeMs, length);
    copyBytes(bytes, start, start + length, writer.bytes, to);
  }
  return { bytes: writer.finish(), durationSamples, combined: false };
}
