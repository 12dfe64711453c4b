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

/** CELT fullband of 20, 10, 5 and 2.5 ms (RFC 6716 table 2). */
const MISSING_TOCS = [0xf8, 0xf0, 0xe8, 0xe0];

/**
 * The packet that stands for `samples` of a stream of which nothing arrived: its TOC byte alone, where one frame lasts
 * that long, else a code 3 packet of empty frames, TOC and count.
 *
 * Its mode is CELT whatever was heard before. libopus, and with it every browser, conceals an empty frame in the mode of
 * the last one that it decoded and does not look at this TOC. The decoder that FFmpeg has of its own decodes an
 * empty SILK or hybrid frame as if its bits were all zero, which is noise 12 dB below full scale; an empty CELT frame it
 * decodes as silence.
 */
export function missingPacket(samples: number): Uint8Array {
  const toc = MISSING_TOCS.find((candidate) => samples % frameSamplesOf(candidate) === 0);
  if (toc === undefined || samples <= 0 || samples > MAX_PACKET_SAMPLES) {
    throw new RangeError(`no Opus packet lasts ${samples} samples`);
  }
  const count = samples / frameSamplesOf(toc);
  return count === 1 ? Uint8Array.of(toc) : Uint8Array.of(toc | 3, count);
}
