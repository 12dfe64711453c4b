import { splitMultistream } from './opus/multistream.ts';
import type { OpusPacket } from './opus/packet.ts';
import { createOpusPacket, parseOpus } from './opus/packet.ts';

/**
 * Reads a finished file back: the way that the finaliser, the canary and the journeys get at what a recording
 * contains. It reads WebM in general (any order of elements, any sizes, unknown elements skipped) as far as the blocks
 * of our tracks need it, and shares no code with the writer.
 */
export interface StreamPacket {
  /** From the start of the file. */
  timeMs: number;
  /** An Opus packet in its common form; frames of length 0 stand for what was not heard. */
  packet: Uint8Array;
}

export interface ExtractedStreams {
  /** False when the file has a track for each leg instead of one stereo track. */
  combined: boolean;
  durationMs: number;
  caller: StreamPacket[];
  callee: StreamPacket[];
}

const SEGMENT = 0x18538067;
const CLUSTER = 0x1f43b675;
const INFO = 0x1549a966;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const BLOCK_GROUP = 0xa0;
const MASTERS = new Set([SEGMENT, CLUSTER, INFO, TRACKS, TRACK_ENTRY, BLOCK_GROUP]);

/**
 * Both legs' packets of a finished file, in order.
 * @throws RangeError when the bytes are no WebM file of ours: cut off, laced, or with packets that do not split.
 */
export function extractStreams(webm: Uint8Array): ExtractedStreams {
  const view = new DataView(webm.buffer, webm.byteOffset, webm.byteLength);
  const streams: ExtractedStreams = { combined: true, durationMs: 0, caller: [], callee: [] };
  let clusterMs = 0;
  let tracks = 0;
  let at = 0;
  const ends: number[] = [];
  while (at < webm.length) {
    while (ends.length > 0 && at >= (ends.at(-1) as number)) ends.pop();
    const id = readId(webm, at);
    const size = readSize(webm, at + id.width);
    const start = at + id.width + size.width;
    const end = start + size.value;
    if (end > (ends.at(-1) ?? webm.length)) throw new RangeError(`the element at byte ${at} is cut off`);
    if (MASTERS.has(id.value)) {
      if (id.value === TRACK_ENTRY) {
        tracks += 1;
        streams.combined = tracks === 1;
      }
      ends.push(end);
      at = start;
      continue;
    }
    if (id.value === 0xe7) clusterMs = readUint(webm, start, end);
    else if (id.value === 0x4489)
      streams.durationMs = size.value === 4 ? view.getFloat32(start) : view.getFloat64(start);
    else if (id.value === 0xa3 || id.value === 0xa1) readBlock(webm, start, end, clusterMs, streams);
    at = end;
  }
  return streams;
}

/** The frames of a packet, in order, without those of length 0: what was captured, whatever packet it travels in. */
export function opusFrames(packet: Uint8Array): Uint8Array[] {
  if (!parseOpus(packet, scratch)) throw new RangeError('this is not an Opus packet');
  const frames: Uint8Array[] = [];
  for (let i = 0; i < scratch.frameCount; i += 1) {
    const start = scratch.frameStart[i] as number;
    const length = scratch.frameLength[i] as number;
    if (length > 0) frames.push(packet.subarray(start, start + length));
  }
  return frames;
}

const scratch: OpusPacket = createOpusPacket();

function readBlock(
  webm: Uint8Array,
  start: number,
  end: number,
  clusterMs: number,
  streams: ExtractedStreams,
): void {
  const track = readSize(webm, start);
  const at = start + track.width;
  if (at + 3 > end) throw new RangeError(`the block at byte ${start} is cut off`);
  const relative = (((webm[at] as number) << 24) >> 16) | (webm[at + 1] as number);
  if (((webm[at + 2] as number) & 0x06) !== 0) throw new RangeError(`the block at byte ${start} is laced`);
  const timeMs = clusterMs + relative;
  const data = webm.subarray(at + 3, end);
  if (!streams.combined) {
    (track.value === 1 ? streams.caller : streams.callee).push({ timeMs, packet: data });
    return;
  }
  const legs = splitMultistream(data);
  if (legs === undefined) throw new RangeError(`the block at byte ${start} is not a two-stream packet`);
  streams.caller.push({ timeMs, packet: legs[0] });
  streams.callee.push({ timeMs, packet: legs[1] });
}

/** An element id keeps its length marker (RFC 8794 section 5). */
function readId(bytes: Uint8Array, at: number): { value: number; width: number } {
  const width = Math.clz32((bytes[at] as number) << 24) + 1;
  if (width > 4 || at + width > bytes.length) throw new RangeError(`there is no element at byte ${at}`);
  return { value: readUint(bytes, at, at + width), width };
}

/** A variable-length integer without its marker (RFC 8794 section 4). */
function readSize(bytes: Uint8Array, at: number): { value: number; width: number } {
  const first = bytes[at] ?? 0;
  const width = Math.clz32(first << 24) + 1;
  if (width > 8 || at + width > bytes.length) throw new RangeError(`there is no size at byte ${at}`);
  let value = first & (0xff >> width);
  for (let i = 1; i < width; i += 1) value = value * 256 + (bytes[at + i] as number);
  return { value, width };
}

function readUint(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at += 1) value = value * 256 + (bytes[at] as number);
  return value;
}
