import { frameSamplesOf, MAX_PACKET_SAMPLES, writeLength } from './packet.ts';

/** One frame of a packet to be built; `length` 0 is a frame that was lost or not sent (RFC 6716 section 3.2.1). */
export interface FrameRef {
  start: number;
  length: number;
}

/**
 * One Opus packet out of frames of the same config (`toc`, whose frame count code is ignored), each frame
 * copied from `source` as it is. One frame makes a code 0 packet, more make code 3: equal lengths without, others
 * with a length each. The caller has checked that the frames last at most 120 ms together.
 */
export function joinFrames(toc: number, source: Uint8Array, frames: readonly FrameRef[]): Uint8Array {
  if (frames.length === 0 || frames.length * frameSamplesOf(toc) > MAX_PACKET_SAMPLES) {
    throw new RangeError(`expected frames of at most 120 ms together, got ${frames.length}`);
  }
  let bytes = 2;
  for (const frame of frames) bytes += frame.length + 2;
  const packet = new Uint8Array(bytes);
  const first = frames[0] as FrameRef;
  let at = 1;
  if (frames.length === 1) {
    packet[0] = toc & 0xfc;
  } else {
    const variable = frames.some((frame) => frame.length !== first.length);
    packet[0] = toc | 3;
    packet[at++] = (variable ? 0x80 : 0) | frames.length;
    if (variable) for (const frame of frames.slice(0, -1)) at = writeLength(packet, at, frame.length);
  }
  for (const frame of frames) {
    packet.set(source.subarray(frame.start, frame.start + frame.length), at);
    at += frame.length;
  }
  return packet.subarray(0, at);
}

/** First config of each run of frame sizes, with its sizes: the neighbours that differ in frame size alone. */
const SIZE_RUNS: readonly { first: number; count: number }[] = [
  { first: 0, count: 4 },
  { first: 4, count: 4 },
  { first: 8, count: 4 },
  { first: 12, count: 2 },
  { first: 14, count: 2 },
  { first: 16, count: 4 },
  { first: 20, count: 4 },
  { first: 24, count: 4 },
  { first: 28, count: 4 },
];
/** Any mode can be silent for 2.5 or 5 ms only as CELT, the one mode with frames that short. */
const SHORT_RUN = { first: 28, count: 4 };

/**
 * The packet that stands for `samples` of a stream of which nothing arrived: its TOC byte alone, with the mode
 * and bandwidth last heard, so that the decoder conceals without a switch of mode. Where no single frame lasts
 * that long it is a code 3 packet of empty frames: TOC and count.
 */
export function missingPacket(lastToc: number, samples: number): Uint8Array {
  const config = lastToc >> 3;
  const run = SIZE_RUNS.find(({ first, count }) => config >= first && config < first + count) ?? SHORT_RUN;
  for (const { first, count } of [run, SHORT_RUN]) {
    for (let candidate = first + count - 1; candidate >= first; candidate -= 1) {
      const toc = (candidate << 3) | (lastToc & 4);
      const frame = frameSamplesOf(toc);
      if (samples % frame !== 0) continue;
      return samples === frame ? Uint8Array.of(toc) : Uint8Array.of(toc | 3, samples / frame);
    }
  }
  throw new RangeError(`no Opus packet lasts ${samples} samples`);
}
