import type { OpusPacket } from './packet.ts';
import { createOpusPacket, parseOpus, writeLength } from './packet.ts';

/**
 * Two mono Opus streams in one multistream packet (RFC 7845 section 5.1.1, RFC 6716 appendix B): the first
 * stream's packet in self-delimited form, then the second's as it is. Both must last equally long.
 */

const scratch: OpusPacket = createOpusPacket();

/** Bytes that the self-delimited form of a packet has more than the common form: 1 or 2; -1 when it is not valid. */
export function delimiterBytes(source: Uint8Array, start: number, end: number): number {
  const single = end - start - 1;
  if (((source[start] as number) & 3) === 0) return single < 0 || single > 1275 ? -1 : single < 252 ? 1 : 2;
  if (!parseOpus(source, scratch, start, end)) return -1;
  return (scratch.frameLength[scratch.frameCount - 1] as number) < 252 ? 1 : 2;
}

/**
 * Copies the valid Opus packet `source[start..end)` to `target` in self-delimited form and returns the position
 * behind it. Everything is kept, padding too, so `toCommonForm` gives back the same bytes. Returns -1, having
 * written nothing, when the packet is not valid.
 */
export function writeSelfDelimited(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  const toc = source[start] as number;
  const single = end - start - 1;
  if ((toc & 3) === 0 && single >= 0 && single <= 1275) {
    target[at] = toc;
    const data = writeLength(target, at + 1, single);
    return copyBytes(source, start + 1, end, target, data);
  }
  if (!parseOpus(source, scratch, start, end)) return -1;
  const header = copyBytes(source, start, scratch.dataStart, target, at);
  const last = scratch.frameLength[scratch.frameCount - 1] as number;
  return copyBytes(source, scratch.dataStart, end, target, writeLength(target, header, last));
}

/** Copies `source[start..end)` and returns the position behind it; a loop beats a call for packets this small. */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  if (end - start > 256) {
    target.set(source.subarray(start, end), at);
    return at + end - start;
  }
  let to = at;
  for (let from = start; from < end; from += 1) target[to++] = source[from] as number;
  return to;
}

/** The common form of the self-delimited packet that `packet` was parsed from: the same bytes without the length. */
export function toCommonForm(bytes: Uint8Array, start: number, packet: OpusPacket): Uint8Array {
  const common = new Uint8Array(packet.end - start - packet.delimiterLength);
  const head = packet.delimiterStart - start;
  common.set(bytes.subarray(start, packet.delimiterStart));
  common.set(bytes.subarray(packet.dataStart, packet.end), head);
  return common;
}

/**
 * Takes a two-stream packet apart into the two packets in their common form, or returns undefined when it is not
 * one: a stream that does not parse, or two that do not last equally long.
 */
export function splitMultistream(bytes: Uint8Array): [left: Uint8Array, right: Uint8Array] | undefined {
  if (!parseOpus(bytes, scratch, 0, bytes.length, true)) return undefined;
  const samples = scratch.samples;
  const left = toCommonForm(bytes, 0, scratch);
  const right = bytes.slice(scratch.end);
  if (!parseOpus(right, scratch) || scratch.samples !== samples) return undefined;
  return [left, right];
}

/**
 * OpusHead (RFC 7845 section 5.1): channel mapping family 1 with two uncoupled streams, left is stream 0 and
 * right is stream 1; or family 0 for a single mono stream. Pre-skip is 0 on purpose: recording begins in
 * mid-stream, so there is no encoder delay to trim and no captured sample may be hidden.
 */
export function opusHead(streams: 1 | 2): Uint8Array {
  const head = new Uint8Array(streams === 2 ? 23 : 19);
  const view = new DataView(head.buffer);
  head.set([0x4f, 0x70, 0x75, 0x73, 0x48, 0x65, 0x61, 0x64]); // 0  8  "OpusHead"
  head[8] = 1; //                   8  1  version
  head[9] = streams; //             9  1  channels
  view.setUint16(10, 0, true); //  10  2  pre-skip
  view.setUint32(12, 48_000, true); // 12  4  input sample rate, for information
  view.setInt16(16, 0, true); //   16  2  output gain
  if (streams === 2) {
    head[18] = 1; //               18  1  mapping family
    head[19] = 2; //               19  1  streams
    head[20] = 0; //               20  1  coupled streams
    head[21] = 0; //               21  1  left is stream 0
    head[22] = 1; //               22  1  right is stream 1
  }
  return head;
}
