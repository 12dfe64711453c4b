import { BufferSource, EncodedPacketSink, Input, WEBM } from 'mediabunny';

/**
 * A second reader of finished files that shares nothing with the product: mediabunny takes the WebM apart, and the
 * Opus packets are taken apart here, byte after byte as RFC 6716 tells it.
 */
class Cursor {
  readonly bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  byte(): number {
    const value = this.bytes[this.at];
    if (value === undefined) throw new Error('past the end');
    this.at += 1;
    return value;
  }

  length(): number {
    const first = this.byte();
    return first < 252 ? first : this.byte() * 4 + first;
  }

  take(count: number): Uint8Array {
    if (this.at + count > this.bytes.length) throw new Error('past the end');
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }
}

export interface IndependentPacket {
  toc: number;
  frames: Uint8Array[];
}

function readPacket(cursor: Cursor, selfDelimited: boolean): IndependentPacket {
  const toc = cursor.byte();
  const lengths: number[] = [];
  let count = 1;
  let padding = 0;
  let equal = false;
  if ((toc & 3) === 1) {
    count = 2;
    equal = true;
  } else if ((toc & 3) === 2) {
    count = 2;
  } else if ((toc & 3) === 3) {
    const m = cursor.byte();
    count = m & 63;
    equal = (m & 128) === 0;
    if ((m & 64) !== 0) {
      let more = cursor.byte();
      while (more === 255) {
        padding += 254;
        more = cursor.byte();
      }
      padding += more;
    }
  }
  if (!equal) while (lengths.length < count - 1) lengths.push(cursor.length());
  if (selfDelimited) {
    const last = cursor.length();
    while (lengths.length < count) lengths.push(last);
  } else {
    const rest = cursor.bytes.length - cursor.at - padding - lengths.reduce((a, b) => a + b, 0);
    while (lengths.length < count) lengths.push(equal ? rest / count : rest);
  }
  const frames = lengths.map((length) => cursor.take(length));
  cursor.take(padding);
  return { toc, frames };
}

export function readSingle(packet: Uint8Array): IndependentPacket {
  return readPacket(new Cursor(packet), false);
}

/** Both streams of a two-stream packet. */
export function readBoth(packet: Uint8Array): [IndependentPacket, IndependentPacket] {
  const cursor = new Cursor(packet);
  const left = readPacket(cursor, true);
  return [left, readSingle(packet.subarray(cursor.at))];
}

export interface IndependentFile {
  durationSeconds: number;
  tracks: { channels: number; packets: { seconds: number; data: Uint8Array }[] }[];
}

/** Every packet of every audio track, by mediabunny's reader. */
export async function readWithMediabunny(webm: Uint8Array): Promise<IndependentFile> {
  const input = new Input({ source: new BufferSource(webm), formats: [WEBM] });
  const tracks: IndependentFile['tracks'] = [];
  for (const track of await input.getAudioTracks()) {
    const packets: { seconds: number; data: Uint8Array }[] = [];
    const sink = new EncodedPacketSink(track);
    for await (const packet of sink.packets()) packets.push({ seconds: packet.timestamp, data: packet.data });
    tracks.push({ channels: track.numberOfChannels, packets });
  }
  return { durationSeconds: (await input.getDurationFromMetadata()) ?? Number.NaN, tracks };
}

/**
 * The same for files of one track and of hours, in one pass: mediabunny has a promise for every packet, and four hours
 * have 720,000.
 * It knows no more of EBML than RFC 8794 section 4: an id, a size, and either children or data.
 */
export function readInOnePass(webm: Uint8Array): IndependentFile {
  const parents = new Set(['18538067', '1549a966', '1f43b675']);
  const packets: { seconds: number; data: Uint8Array }[] = [];
  const view = new DataView(webm.buffer, webm.byteOffset, webm.byteLength);
  let clusterMs = 0;
  let durationSeconds = Number.NaN;
  for (let at = 0; at < webm.length; ) {
    const idBytes = Math.clz32(view.getUint8(at)) - 23;
    let id = '';
    for (let i = 0; i < idBytes; i += 1)
      id += view
        .getUint8(at + i)
        .toString(16)
        .padStart(2, '0');
    at += idBytes;
    const sizeBytes = Math.clz32(view.getUint8(at)) - 23;
    let size = view.getUint8(at) & (0xff >> sizeBytes);
    for (let i = 1; i < sizeBytes; i += 1) size = size * 256 + view.getUint8(at + i);
    at += sizeBytes;
    if (parents.has(id)) continue;
    if (id === 'e7') clusterMs = view.getUint32(at);
    if (id === '4489') durationSeconds = view.getFloat64(at) / 1000;
    if (id === 'a3') {
      packets.push({
        seconds: (clusterMs + view.getInt16(at + 1)) / 1000,
        data: webm.subarray(at + 4, at + size),
      });
    }
    at += size;
  }
  return { durationSeconds, tracks: [{ channels: 2, packets }] };
}
