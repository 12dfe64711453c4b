import type { WebmTrack } from './mux-webm.ts';
import { clusterTimes, toMs, WebmWriter } from './mux-webm.ts';
import { missingPacket } from './opus/join.ts';
import { copyBytes, opusHead, writeSelfDelimited } from './opus/multistream.ts';
import type { BuiltTimeline } from './timeline.ts';
import type { Leg } from './timeline-leg.ts';
import { at } from './timeline-leg.ts';
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

export function muxTimeline(timeline: BuiltTimeline): MuxedFile {
  return timeline.slots.combined ? muxCombined(timeline) : muxSeparate(timeline);
}

function muxCombined({ legs, slots, bytes }: BuiltTimeline): MuxedFile {
  const { count, samples, totalSamples } = slots;
  const times = slotTimes(slots);
  const clusters = clusterTimes(times);
  const uniform = samples.subarray(0, count).every((length) => length === samples[0]);
  const track: WebmTrack = {
    name: 'caller left, callee right',
    channels: 2,
    codecPrivate: opusHead(2),
    ...(uniform ? { packetSamples: at(samples, 0) } : {}),
  };
  const writer = new WebmWriter({
    tracks: [track],
    durationSamples: totalSamples,
    clusterTimesMs: clusters,
    // Two bytes for the length of the left packet, two for a missing one.
    payloadBytes: payloadBytes(legs[0], slots.joined[0]) + payloadBytes(legs[1], slots.joined[1]) + count * 5,
    blocks: count,
  });
  const left = new StreamSource(legs[0], bytes, slots.content[0], slots.joined[0]);
  const right = new StreamSource(legs[1], bytes, slots.content[1], slots.joined[1]);
  // The largest header of a left packet, and its largest frames, are known only after it has been written.
  let scratch = new Uint8Array(4096);
  let cluster = 0;
  for (let slot = 0; slot < count; slot += 1) {
    const timeMs = at(times, slot);
    if (cluster < clusters.length && timeMs === clusters[cluster]) {
      writer.cluster(timeMs);
      cluster += 1;
    }
    left.select(slot, at(samples, slot));
    right.select(slot, at(samples, slot));
    if (left.end - left.start + 4 > scratch.length) scratch = new Uint8Array((left.end - left.start) * 2);
    const leftBytes = writeSelfDelimited(left.bytes, left.start, left.end, scratch, 0);
    if (leftBytes < 0) throw new RangeError('a packet of the timeline is not a valid Opus packet');
    const to = writer.block(1, timeMs, leftBytes + right.end - right.start);
    const target = writer.bytes;
    copyBytes(right.bytes, right.start, right.end, target, copyBytes(scratch, 0, leftBytes, target, to));
  }
  return { bytes: writer.finish(), durationSamples: totalSamples, combined: true };
}

function slotTimes({ count, samples }: Slots): Float64Array {
  const times = new Float64Array(count);
  let position = 0;
  for (let slot = 0; slot < count; slot += 1) {
    times[slot] = toMs(position);
    position += at(samples, slot);
  }
  return times;
}

function payloadBytes(leg: Leg, joined: readonly Joined[]): number {
  let bytes = 0;
  for (const run of leg.runs) for (const packet of run.packets) bytes += at(leg.length, packet);
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
    const item = at(this.#content, slot);
    if (item >= 0) {
      this.bytes = this.#pool;
      this.start = at(this.#leg.start, item);
      this.end = this.start + at(this.#leg.length, item);
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

function muxSeparate({ legs, placed, bytes }: BuiltTimeline): MuxedFile {
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
      const start = Math.max(end, Math.round(at(time, i) - origin));
      blocks.push({ track, packet, at: start });
      end = start + at(legs[track].samples, packet);
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
  });
  let cluster = 0;
  for (const { track, packet, at: position } of blocks) {
    const timeMs = toMs(position);
    if (cluster < clusters.length && timeMs === clusters[cluster]) {
      writer.cluster(timeMs);
      cluster += 1;
    }
    const start = at(legs[track].start, packet);
    const length = at(legs[track].length, packet);
    const to = writer.block(track + 1, timeMs, length);
    copyBytes(bytes, start, start + length, writer.bytes, to);
  }
  return { bytes: writer.finish(), durationSamples, combined: false };
}
