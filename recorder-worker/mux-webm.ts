/**
 * A small WebM writer (RFC 9559) for audio that is complete before it is written: no clocks, no random ids, no
 * library version in the bytes, so the same packets always give the same file. The seek index lies in front of the
 * audio, so that a player that reads ranges over HTTP finds it with the first one.
 *
 * EBML header · Segment { SeekHead · Info · Tracks · Cues · Cluster { Timestamp · SimpleBlock ... } ... }
 *
 * mediabunny writes such files too, is the reader in the tests, and remuxes to other containers. It is not the writer
 * here for two reasons. Every recording is muxed twice, once to seal it and once to compare, and a hundred calls may
 * end at once: mediabunny takes 0.3 to 0.6 s of processor for an hour of packets, this 0.03 to 0.05 s, which for a
 * hundred calls of ten minutes is 10 to 20 s against 1 to 2 s. And its files carry its version and follow its layout,
 * so an update of the library would change what a remux of an old journal must be equal to.
 */
export interface WebmTrack {
  /** What a player shows for it. */
  name: string;
  channels: number;
  /** The OpusHead. */
  codecPrivate: Uint8Array;
  /** Set when all packets last equally long. */
  packetSamples?: number;
}

/** Named in every file: a change of layout is a new version, since files are compared with a fresh remux. */
export const MUXER = 'verbatim-webm/1';

/** A cluster and its cue every five seconds: a four-hour call has an index of 58 kB. */
export const CLUSTER_MS = 5_000;
const SAMPLES_PER_MS = 48;
/** RFC 7845 section 4.6: decoders need 80 ms to converge after a seek. */
const SEEK_PRE_ROLL_NS = 80_000_000;
const CLUSTER_HEADER_BYTES = 14;
/** ID, three bytes of size, track, time, flags. */
const MAX_BLOCK_HEADER_BYTES = 8;
/** Three bytes of size; two Opus packets of 120 ms have at most 123 kB. */
const MAX_BLOCK_BYTES = 0x1f_fffe;

export class WebmWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #at: number;
  readonly #tracks: number;
  readonly #segmentStart: number;
  readonly #cuesStart: number;
  readonly #clusters: number;
  #cluster = -1;
  #clusterStart = 0;
  #clusterMs = 0;

  /**
   * `clusterTimesMs` are the times at which clusters begin, ascending, each the time of a block that will be
   * written; `payloadBytes` and `blocks` are only estimates of what is to come.
   */
  constructor(options: {
    tracks: readonly WebmTrack[];
    durationSamples: number;
    clusterTimesMs: readonly number[];
    payloadBytes: number;
    blocks: number;
    /** Gives memory of at least this size; every byte of the file is written. */
    allocate: (bytes: number) => Uint8Array;
  }) {
    const { tracks, durationSamples, clusterTimesMs } = options;
    const head = ebmlHeader();
    const info = infoElement(durationSamples / SAMPLES_PER_MS);
    const trackList = element(0x1654ae6b, ...tracks.map(trackEntry));
    const cues = cuesElement(clusterTimesMs, tracks.length);
    const seekBytes = seekHead(0, 0, 0).length;
    const cuesOffset = seekBytes + info.length + trackList.length;
    const front = [seekHead(seekBytes, seekBytes + info.length, cuesOffset), info, trackList, cues];
    this.#tracks = tracks.length;
    this.#segmentStart = head.length + 12;
    this.#cuesStart = this.#segmentStart + cuesOffset;
    this.#clusters = clusterTimesMs.length;
    const frontBytes = this.#segmentStart + front.reduce((sum, part) => sum + part.length, 0);
    this.#bytes = options.allocate(
      frontBytes +
        options.payloadBytes +
        options.blocks * MAX_BLOCK_HEADER_BYTES +
        clusterTimesMs.length * CLUSTER_HEADER_BYTES,
    );
    this.#view = viewOf(this.#bytes);
    this.#bytes.set(head, 0);
    // Segment with a size of eight bytes, filled in at the end.
    this.#bytes.set([0x18, 0x53, 0x80, 0x67, 0x01, 0, 0, 0, 0, 0, 0, 0], head.length);
    this.#at = this.#segmentStart;
    for (const part of front) {
      this.#bytes.set(part, this.#at);
      this.#at += part.length;
    }
  }

  /** The bytes that blocks are written into; it may be another array after each `block`. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Begins the next of the announced clusters. Every block belongs to the cluster begun last. */
  cluster(timeMs: number): void {
    this.#endCluster();
    this.#cluster += 1;
    if (this.#cluster >= this.#clusters) throw new RangeError('more clusters than were announced');
    this.#reserve(CLUSTER_HEADER_BYTES);
    const view = this.#view;
    // CuePoint: BB size | B3 84 time | then per track B7 8A F7 81 n F1 85 position.
    const cue = this.#cuesStart + 8 + this.#cluster * cueBytes(this.#tracks);
    if (view.getUint32(cue + 4) !== timeMs)
      throw new RangeError('a cluster begins at another time than announced');
    for (let track = 0; track < this.#tracks; track += 1) {
      writeUint40(view, cue + 15 + track * 12, this.#at - this.#segmentStart);
    }
    view.setUint32(this.#at, 0x1f43b675);
    view.setUint16(this.#at + 8, 0xe784);
    view.setUint32(this.#at + 10, timeMs);
    this.#clusterStart = this.#at;
    this.#clusterMs = timeMs;
    this.#at += CLUSTER_HEADER_BYTES;
  }

  /**
   * Begins a block of `length` bytes of track `track` (from 1) and returns where they must be written in `bytes`.
   */
  block(track: number, timeMs: number, length: number): number {
    const size = length + 4;
    const relative = timeMs - this.#clusterMs;
    if (size > MAX_BLOCK_BYTES || relative < -0x8000 || relative > 0x7fff) {
      throw new RangeError(`a block of ${length} bytes at ${timeMs} ms does not fit into its cluster`);
    }
    this.#reserve(MAX_BLOCK_HEADER_BYTES + length);
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = 0xa3;
    if (size < 0x7f) {
      bytes[at++] = 0x80 | size;
    } else if (size < 0x3fff) {
      bytes[at++] = 0x40 | (size >> 8);
      bytes[at++] = size & 0xff;
    } else {
      bytes[at++] = 0x20 | (size >> 16);
      bytes[at++] = (size >> 8) & 0xff;
      bytes[at++] = size & 0xff;
    }
    bytes[at++] = 0x80 | track;
    bytes[at++] = (relative >> 8) & 0xff;
    bytes[at++] = relative & 0xff;
    // Key frame: every Opus packet is one.
    bytes[at++] = 0x80;
    this.#at = at + length;
    return at;
  }

  /** Fills in the sizes and returns the file. */
  finish(): Uint8Array {
    this.#endCluster();
    if (this.#cluster + 1 !== this.#clusters) throw new RangeError('fewer clusters than were announced');
    const size = this.#at - this.#segmentStart;
    this.#view.setUint32(this.#segmentStart - 8, 0x0100_0000 | Math.floor(size / 0x1_0000_0000));
    this.#view.setUint32(this.#segmentStart - 4, size % 0x1_0000_0000);
    return this.#bytes.subarray(0, this.#at);
  }

  #endCluster(): void {
    if (this.#cluster < 0) return;
    const size = this.#at - this.#clusterStart - 8;
    this.#view.setUint32(this.#clusterStart + 4, 0x1000_0000 | size);
  }

  #reserve(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    const bytes = new Uint8Array((this.#at + more) * 2);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The times at which clusters begin when blocks come at these times (ascending). */
export function clusterTimes(blockTimesMs: Iterable<number>): number[] {
  const times: number[] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const time of blockTimesMs) {
    if (time < end) continue;
    times.push(time);
    end = time + CLUSTER_MS;
  }
  return times;
}

/** Milliseconds at the given sample: the unit of time in WebM. */
export function toMs(samples: number): number {
  return Math.round(samples / SAMPLES_PER_MS);
}

function ebmlHeader(): Uint8Array {
  return element(
    0x1a45dfa3,
    uint(0x4286, 1), // EBMLVersion
    uint(0x42f7, 1), // EBMLReadVersion
    uint(0x42f2, 4), // EBMLMaxIDLength
    uint(0x42f3, 8), // EBMLMaxSizeLength
    text(0x4282, 'webm'), // DocType
    uint(0x4287, 4), // DocTypeVersion
    uint(0x4285, 2), // DocTypeReadVersion
  );
}

function infoElement(durationMs: number): Uint8Array {
  return element(
    0x1549a966,
    uint(0x2ad7b1, 1_000_000), // TimestampScale: nanoseconds per tick
    float(0x4489, durationMs), // Duration, in ticks
    text(0x4d80, MUXER), // MuxingApp
    text(0x5741, MUXER), // WritingApp
  );
}

function trackEntry(track: WebmTrack, index: number): Uint8Array {
  const parts = [
    uint(0xd7, index + 1), // TrackNumber
    uint(0x73c5, index + 1), // TrackUID: unique within the file is all it has to be
    uint(0x83, 2), // TrackType: audio
    uint(0x9c, 0), // FlagLacing
    text(0x22b59c, 'und'), // Language
    text(0x536e, track.name), // Name
    text(0x86, 'A_OPUS'), // CodecID
    element(0x63a2, track.codecPrivate), // CodecPrivate
    uint(0x56aa, 0), // CodecDelay: pre-skip is 0
    uint(0x56bb, SEEK_PRE_ROLL_NS), // SeekPreRoll
    element(0xe1, float(0xb5, 48_000), uint(0x9f, track.channels)), // Audio
  ];
  if (track.packetSamples !== undefined) {
    parts.push(uint(0x23e383, Math.round((track.packetSamples * 1_000_000) / SAMPLES_PER_MS))); // DefaultDuration
  }
  return element(0xae, ...parts);
}

/** Positions are relative to the segment's data and of fixed size, so that the element's own size is known first. */
function seekHead(info: number, tracks: number, cues: number): Uint8Array {
  const seek = (id: number, position: number) =>
    element(0x4dbb, element(0x53ab, idBytes(id)), element(0x53ac, fixed(position, 4)));
  return element(0x114d9b74, seek(0x1549a966, info), seek(0x1654ae6b, tracks), seek(0x1c53bb6b, cues));
}

/** Cues with all positions 0: `cluster` fills them in. Its own size has four bytes for the same reason. */
function cuesElement(timesMs: readonly number[], tracks: number): Uint8Array {
  const entry = cueBytes(tracks);
  const bytes = new Uint8Array(8 + timesMs.length * entry);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x1c53bb6b);
  view.setUint32(4, 0x1000_0000 | (bytes.length - 8));
  timesMs.forEach((time, i) => {
    const at = 8 + i * entry;
    bytes.set([0xbb, 0x80 | (entry - 2), 0xb3, 0x84], at);
    view.setUint32(at + 4, time);
    for (let track = 0; track < tracks; track += 1) {
      bytes.set([0xb7, 0x8a, 0xf7, 0x81, track + 1, 0xf1, 0x85], at + 8 + track * 12);
    }
  });
  return bytes;
}

function cueBytes(tracks: number): number {
  return 8 + tracks * 12;
}

function element(id: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  return concat(idBytes(id), sizeBytes(size), ...parts);
}

function uint(id: number, value: number): Uint8Array {
  let width = 1;
  while (width < 6 && value >= 2 ** (8 * width)) width += 1;
  return element(id, fixed(value, width));
}

function float(id: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return element(id, bytes);
}

function text(id: number, value: string): Uint8Array {
  return element(id, new TextEncoder().encode(value));
}

function idBytes(id: number): Uint8Array {
  let width = 1;
  while (width < 4 && id >= 2 ** (8 * width)) width += 1;
  return fixed(id, width);
}

/** The size of an element as a variable-length integer of the fewest bytes; only small elements use it. */
function sizeBytes(size: number): Uint8Array {
  if (size < 0x7f) return Uint8Array.of(0x80 | size);
  if (size < 0x3fff) return Uint8Array.of(0x40 | (size >> 8), size & 0xff);
  throw new RangeError(`an element of ${size} bytes has no short size`);
}

function fixed(value: number, width: number): Uint8Array {
  const bytes = new Uint8Array(width);
  let rest = value;
  for (let i = width - 1; i >= 0; i -= 1) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

function writeUint40(view: DataView, at: number, value: number): void {
  view.setUint8(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 1, value % 0x1_0000_0000);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
