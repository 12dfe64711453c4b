import { VerbatimError } from '#protocol';
import type { SealedSource } from '../playback.ts';

/**
 * Where each Opus packet of a recording lies in its WebM file (RFC 9559), and how long it lasts. That is all that
 * another container needs: the packets themselves are copied from the file when they are served. All arrays of a track
 * are equally long, one place for each packet; samples are those of 48 kHz.
 */
export interface PacketTrack {
  /** The OpusHead (RFC 7845 section 5.1). */
  head: Buffer;
  name: string;
  /** Of the packet's first byte in the WebM file. */
  at: Float64Array;
  bytes: Uint32Array;
  /** From the start of the recording. */
  start: Float64Array;
  samples: Uint32Array;
}

const SEGMENT = 0x18538067;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const CLUSTER = 0x1f43b675;
const TIMESTAMP = 0xe7;
const SIMPLE_BLOCK = 0xa3;
const TRACK_NUMBER = 0xd7;
const TRACK_NAME = 0x536e;
const CODEC_PRIVATE = 0x63a2;

/** Bytes that a look at an element needs: id, size, track, time, flags and the first two of the packet. */
const LOOK_BYTES = 32;
/** The description of a track is read whole. */
const MAX_ENTRY_BYTES = 4096;
const SAMPLES_PER_MS = 48;

/**
 * Reads a recording from its first byte to its last, a piece at a time.
 * @throws VerbatimError `corrupt` for a file that the muxer did not write
 */
export async function readPackets(source: SealedSource): Promise<PacketTrack[]> {
  const scanner = new PacketScanner();
  for await (const piece of source.stream(0, source.sizeBytes)) scanner.push(piece as Buffer);
  return scanner.finish();
}

/** Takes a file in pieces of any size. */
class PacketScanner {
  readonly #tracks = new Map<number, TrackBuilder>();
  #rest: Buffer = Buffer.alloc(0);
  /** Of the first byte of `#rest` in the file. */
  #restAt = 0;
  /** Up to here nothing is of interest. */
  #skipTo = 0;
  #clusterMs = 0;

  push(piece: Buffer): void {
    const bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    const used = this.#scan(bytes, false);
    this.#rest = bytes.subarray(used);
    this.#restAt += used;
  }

  finish(): PacketTrack[] {
    const used = this.#scan(this.#rest, true);
    if (used !== this.#rest.length || this.#restAt + used < this.#skipTo) throw corrupt(this.#restAt + used);
    const tracks = [...this.#tracks.entries()].sort(([a], [b]) => a - b).map(([, track]) => track.finish());
    if (tracks.length === 0 || tracks.some(({ at }) => at.length === 0)) throw corrupt(0);
    return tracks;
  }

  /** Answers how many bytes it has used up. */
  #scan(bytes: Buffer, last: boolean): number {
    let at = 0;
    for (;;) {
      at = Math.min(bytes.length, Math.max(at, this.#skipTo - this.#restAt));
      const left = bytes.length - at;
      if (left === 0 || (left < LOOK_BYTES && !last)) return at;
      const next = this.#element(bytes, at, last);
      if (next === undefined) return at;
      at = next;
    }
  }

  /** Takes one element, or the front of one with others inside. Undefined: more bytes are needed. */
  #element(bytes: Buffer, at: number, last: boolean): number | undefined {
    const place = this.#restAt + at;
    const idBytes = Math.clz32((bytes[at] as number) << 24) + 1;
    const sizeBytes = Math.clz32((bytes[at + idBytes] ?? 0) << 24) + 1;
    const start = at + idBytes + sizeBytes;
    if (idBytes > 4 || sizeBytes > 8 || start > bytes.length) throw corrupt(place);
    const id = bytes.readUIntBE(at, idBytes);
    const size = sizeOf(bytes, at + idBytes, sizeBytes);
    if (id === SEGMENT || id === TRACKS || id === CLUSTER) return start;
    if (id === TRACK_ENTRY || id === TIMESTAMP) {
      if (size > MAX_ENTRY_BYTES) throw corrupt(place);
      if (start + size > bytes.length) {
        if (last) throw corrupt(place);
        return undefined;
      }
      const content = bytes.subarray(start, start + size);
      if (id === TIMESTAMP) this.#clusterMs = uintOf(content);
      else this.#addTrack(content, place);
    } else if (id === SIMPLE_BLOCK) this.#block(bytes, start, size, place);
    this.#skipTo = this.#restAt + start + size;
    return start;
  }

  #addTrack(entry: Buffer, place: number): void {
    let number = 0;
    let name = '';
    let head: Buffer | undefined;
    for (let at = 0; at < entry.length; ) {
      const idBytes = Math.clz32((entry[at] as number) << 24) + 1;
      const sizeBytes = Math.clz32((entry[at + idBytes] ?? 0) << 24) + 1;
      const start = at + idBytes + sizeBytes;
      if (idBytes > 4 || sizeBytes > 8 || start > entry.length) throw corrupt(place);
      const id = entry.readUIntBE(at, idBytes);
      const end = start + sizeOf(entry, at + idBytes, sizeBytes);
      const content = entry.subarray(start, end);
      if (id === TRACK_NUMBER) number = uintOf(content);
      else if (id === TRACK_NAME) name = content.toString('utf8');
      else if (id === CODEC_PRIVATE) head = Buffer.from(content);
      at = end;
    }
    if (head === undefined || head.length < 19) throw corrupt(place);
    this.#tracks.set(number, new TrackBuilder(head, name));
  }

  #block(bytes: Buffer, start: number, size: number, place: number): void {
    // Track numbers of one byte, two of time, one of flags; no lacing (0x06).
    const track = this.#tracks.get((bytes[start] as number) & 0x7f);
    const packet = start + 4;
    if (track === undefined || size < 5 || packet >= bytes.length || ((bytes[start + 3] ?? 0) & 0x06) !== 0)
      throw corrupt(place);
    const samples = opusSamples(bytes[packet] as number, bytes[packet + 1] ?? 0);
    if (samples === 0) throw corrupt(place);
    const ms = this.#clusterMs + bytes.readInt16BE(start + 1);
    track.add(this.#restAt + packet, size - 4, ms, samples);
  }
}

class TrackBuilder {
  readonly #head: Buffer;
  readonly #name: string;
  readonly #at: number[] = [];
  readonly #bytes: number[] = [];
  readonly #start: number[] = [];
  readonly #samples: number[] = [];
  #end = 0;

  constructor(head: Buffer, name: string) {
    this.#head = head;
    this.#name = name;
  }

  add(at: number, bytes: number, ms: number, samples: number): void {
    // WebM tells whole milliseconds: a packet that follows the one before it begins at that one's very end.
    const told = ms * SAMPLES_PER_MS;
    const start = Math.abs(told - this.#end) <= SAMPLES_PER_MS ? this.#end : Math.max(told, this.#end);
    this.#at.push(at);
    this.#bytes.push(bytes);
    this.#start.push(start);
    this.#samples.push(samples);
    this.#end = start + samples;
  }

  finish(): PacketTrack {
    return {
      head: this.#head,
      name: this.#name,
      at: Float64Array.from(this.#at),
      bytes: Uint32Array.from(this.#bytes),
      start: Float64Array.from(this.#start),
      samples: Uint32Array.from(this.#samples),
    };
  }
}

/** Sample lengths of a frame at 48 kHz by the TOC's configuration (RFC 6716 section 3.1, table 2). */
const SILK = [480, 960, 1920, 2880];
const HYBRID = [480, 960];
const CELT = [120, 240, 480, 960];

/**
 * How long an Opus packet lasts, by its first two bytes; 0 for one without frames. The first stream of a multistream
 * packet begins with the same bytes as a packet alone, and all its streams last equally long.
 */
export function opusSamples(toc: number, second: number): number {
  const configuration = toc >> 3;
  const frame =
    configuration < 12
      ? SILK[configuration & 3]
      : configuration < 16
        ? HYBRID[configuration & 1]
        : CELT[configuration & 3];
  const code = toc & 3;
  const frames = code === 3 ? second & 0x3f : code === 0 ? 1 : 2;
  return (frame as number) * frames;
}

function sizeOf(bytes: Buffer, at: number, width: number): number {
  let value = (bytes[at] as number) & (0xff >> width);
  for (let i = 1; i < width; i += 1) value = value * 256 + (bytes[at + i] as number);
  return value;
}

function uintOf(bytes: Buffer): number {
  let value = 0;
  for (const byte of bytes) value = value * 256 + byte;
  return value;
}

function corrupt(at: number): VerbatimError {
  return new VerbatimError('corrupt', `the recording is no WebM file of ours at byte ${at}`);
}
