/**
 * Opus packets (RFC 6716 section 3), taken apart without touching a frame.
 *
 *  0 1 2 3 4 5 6 7
 * | config  |s| c |   config: mode, bandwidth, frame size; s: stereo; c: frame count code
 *
 * c=0 one frame; c=1 two of equal size; c=2 two, the first with its length; c=3 a count byte `v|p|M:6`, then
 * padding length (p), then the lengths of all frames but the last (v=1) or equal frames (v=0).
 * The self-delimited form (appendix B) writes one more length, of the last frame or of all equal ones, so that
 * a packet's end is known without a container.
 */
export interface OpusPacket {
  toc: number;
  frameCount: number;
  /** Samples at 48 kHz of one frame, and of the whole packet. */
  frameSamples: number;
  samples: number;
  /** Where each frame begins in the parsed bytes and its length; only the first `frameCount` are meaningful. */
  frameStart: Int32Array;
  frameLength: Int32Array;
  /** Where the frame data begins: behind all lengths, in front of the first frame. */
  dataStart: number;
  /** Where the length that only the self-delimited form has begins, and its size (0 in the common form). */
  delimiterStart: number;
  delimiterLength: number;
  /** The first byte behind the packet. */
  end: number;
}

export const SAMPLE_RATE = 48_000;
/** Section 3.2.5: a packet holds at most 120 ms, so at most 48 frames of 2.5 ms. */
export const MAX_PACKET_SAMPLES = 5_760;
const MAX_FRAMES = 48;
/** Section 3.2.1 (R2). */
const MAX_FRAME_BYTES = 1_275;

/** Section 3.1, table 2: samples at 48 kHz of one frame, by config. */
const FRAME_SAMPLES = Uint16Array.from({ length: 32 }, (_, config) => {
  const silk = [480, 960, 1920, 2880];
  const celt = [120, 240, 480, 960];
  if (config < 12) return silk[config & 3] as number;
  return config < 16 ? (silk[config & 1] as number) : (celt[config & 3] as number);
});

export function frameSamplesOf(toc: number): number {
  return FRAME_SAMPLES[toc >> 3] as number;
}

export function createOpusPacket(): OpusPacket {
  return {
    toc: 0,
    frameCount: 0,
    frameSamples: 0,
    samples: 0,
    frameStart: new Int32Array(MAX_FRAMES),
    frameLength: new Int32Array(MAX_FRAMES),
    dataStart: 0,
    delimiterStart: 0,
    delimiterLength: 0,
    end: 0,
  };
}

/**
 * Parses the packet in `bytes[start..end)` into `packet`, which the caller reuses. The common form fills the
 * range to its end; a self-delimited one says itself where it ends. Returns false, with `packet` undefined in
 * content, for whatever the requirements R1 to R7 of section 3.4 refuse. It never throws.
 */
export function parseOpus(
  bytes: Uint8Array,
  packet: OpusPacket,
  start = 0,
  end = bytes.length,
  selfDelimited = false,
): boolean {
  if (start < 0 || end > bytes.length || end <= start) return false;
  const toc = bytes[start] as number;
  const code = toc & 3;
  packet.toc = toc;
  packet.frameSamples = frameSamplesOf(toc);
  let at = start + 1;
  let count = code === 0 ? 1 : 2;
  let variable = code === 2;
  let padding = 0;
  if (code === 3) {
    if (at >= end) return false;
    const counts = bytes[at++] as number;
    count = counts & 0x3f;
    variable = (counts & 0x80) !== 0;
    if ((counts & 0x40) !== 0) {
      // Section 3.2.5: 255 stands for 254 bytes of padding and one more length byte.
      for (;;) {
        if (at >= end) return false;
        const length = bytes[at++] as number;
        padding += length === 255 ? 254 : length;
        if (length !== 255) break;
      }
    }
  }
  if (count === 0 || count * packet.frameSamples > MAX_PACKET_SAMPLES) return false;
  packet.frameCount = count;
  packet.samples = count * packet.frameSamples;
  const lengths = packet.frameLength;
  let known = 0;
  if (variable) {
    for (let i = 0; i < count - 1; i += 1) {
      const length = readLength(bytes, at, end);
      if (length < 0) return false;
      lengths[i] = length;
      known += length;
      at += length < 252 ? 1 : 2;
    }
  }
  packet.delimiterStart = at;
  packet.delimiterLength = 0;
  if (selfDelimited) {
    const length = readLength(bytes, at, end);
    if (length < 0) return false;
    packet.delimiterLength = length < 252 ? 1 : 2;
    at += packet.delimiterLength;
    setLast(lengths, count, variable, length);
    known = variable ? known + length : length * count;
    if (at + known + padding > end) return false;
    packet.end = at + known + padding;
  } else {
    const rest = end - at - known - padding;
    if (rest < 0 || (!variable && rest % count !== 0)) return false;
    const length = variable ? rest : rest / count;
    if (length > MAX_FRAME_BYTES) return false;
    setLast(lengths, count, variable, length);
    packet.end = end;
  }
  packet.dataStart = at;
  for (let i = 0; i < count; i += 1) {
    packet.frameStart[i] = at;
    at += lengths[i] as number;
  }
  return true;
}

function setLast(lengths: Int32Array, count: number, variable: boolean, length: number): void {
  if (variable) lengths[count - 1] = length;
  else for (let i = 0; i < count; i += 1) lengths[i] = length;
}

/** Section 3.2.1: 0-251 is the length, 252-255 adds four times the next byte. -1 when it is cut off. */
function readLength(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const first = bytes[at] as number;
  if (first < 252) return first;
  return at + 1 < end ? first + (bytes[at + 1] as number) * 4 : -1;
}

/** Writes a frame length in the coding of section 3.2.1 and returns the position behind it. */
export function writeLength(target: Uint8Array, at: number, length: number): number {
  if (length < 252) {
    target[at] = length;
    return at + 1;
  }
  const low = 252 + (length & 3);
  target[at] = low;
  target[at + 1] = (length - low) >> 2;
  return at + 2;
}

/** True when frames of the two packets may share one packet: same config and same stereo bit. */
export function sameConfig(toc: number, other: number): boolean {
  return toc >> 2 === other >> 2;
}
