import { VerbatimError } from '#protocol';
import type { PacketTrack } from './packets.ts';
import type { Layout, Unit } from './remuxed.ts';
import { stretches } from './remuxed.ts';

/**
 * MP4 (ISO/IEC 14496-12) with Opus as "Encapsulation of Opus in ISO Base Media File Format" 0.8.1 has it: each packet
 * is one sample, the OpusHead becomes the `dOps` box, and a roll group says that a decoder needs 80 ms after a seek.
 *
 * ftyp · moov { mvhd · trak { tkhd · edts? · mdia { mdhd · hdlr · minf { smhd · dinf · stbl } } } ... } · mdat
 */
const TIMESCALE = 48_000;
/** A chunk: what lies together in `mdat` of one track. */
const CHUNK_SAMPLES = TIMESCALE;
const PRE_ROLL_SAMPLES = 3_840;
const UINT32 = 0xffff_ffff;
/** Identity, for players that turn pictures. */
const MATRIX = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/** @throws VerbatimError `unavailable` for a recording past the 32 bits of this form */
export function layOutMp4(tracks: readonly PacketTrack[]): Layout {
  const units = tracks
    .flatMap((track, index) =>
      stretches(track, CHUNK_SAMPLES).map(({ first, end }) => ({
        track: index,
        first,
        end,
        bytes: sumOf(track.bytes, first, end),
        at: track.start[first] as number,
      })),
    )
    // In the order in which they are heard, so that a player that plays two tracks reads forward.
    .sort((a, b) => a.at - b.at || a.track - b.track);
  const mediaBytes = units.reduce((sum, { bytes }) => sum + bytes, 0);
  const fileType = box('ftyp', text('isom'), uint32(0x200), text('isomiso2mp42'));
  // Its length does not depend on the offsets that it holds.
  const headBytes = fileType.length + movie(tracks, units, 0).length + 8;
  if (headBytes + mediaBytes > UINT32) throw new VerbatimError('unavailable', 'too long for an MP4 file');
  const head = Buffer.concat([
    fileType,
    movie(tracks, units, headBytes),
    uint32(8 + mediaBytes),
    text('mdat'),
  ]);
  return { head, units, render: (_, packets) => Buffer.concat(packets) };
}

/** `mediaAt`: where the first unit begins in the file. */
function movie(tracks: readonly PacketTrack[], units: readonly Unit[], mediaAt: number): Buffer {
  const offsets = tracks.map((): number[] => []);
  let at = mediaAt;
  for (const { track, bytes } of units) {
    offsets[track]?.push(at);
    at += bytes;
  }
  const duration = Math.max(...tracks.map(endOf));
  const header = box(
    'mvhd',
    uint32(0), // version and flags
    uint32(0, 0), // created, modified: not told, so that the same recording gives the same bytes
    uint32(TIMESCALE, duration),
    uint32(0x1_0000), // rate 1
    uint16(0x100, 0), // volume 1
    uint32(0, 0),
    uint32(...MATRIX),
    uint32(0, 0, 0, 0, 0, 0),
    uint32(tracks.length + 1), // the next track's id
  );
  const parts = tracks.map((track, index) => {
    const chunks = units.filter((unit) => unit.track === index);
    return trackBox(track, index, chunks, offsets[index] ?? []);
  });
  return box('moov', header, ...parts);
}

function trackBox(
  track: PacketTrack,
  index: number,
  chunks: readonly Unit[],
  offsets: readonly number[],
): Buffer {
  const begin = track.start[0] as number;
  const length = endOf(track) - begin;
  const header = box(
    'tkhd',
    uint32(7), // enabled, in the movie and in its preview
    uint32(0, 0),
    uint32(index + 1, 0, begin + length),
    uint32(0, 0),
    // No alternate group: where the legs have tracks of their own, they are heard together.
    uint16(0, 0, 0x100, 0),
    uint32(...MATRIX),
    uint32(0, 0),
  );
  // A leg that begins later than the other: an empty edit, then the whole track.
  const edits =
    begin === 0
      ? []
      : [
          box(
            'edts',
            box('elst', uint32(0, 2), uint32(begin, UINT32, 0x1_0000), uint32(length, 0, 0x1_0000)),
          ),
        ];
  const media = box(
    'mdia',
    // Language `und` (ISO 639-2), five bits a letter.
    box('mdhd', uint32(0, 0, 0, TIMESCALE, length), uint16(0x55c4, 0)),
    box('hdlr', uint32(0, 0), text('soun'), uint32(0, 0, 0), text(`${track.name}\0`)),
    box(
      'minf',
      box('smhd', uint32(0), uint16(0, 0)),
      box('dinf', box('dref', uint32(0, 1), box('url ', uint32(1)))),
      sampleTable(track, chunks, offsets),
    ),
  );
  return box('trak', header, ...edits, media);
}

function sampleTable(track: PacketTrack, chunks: readonly Unit[], offsets: readonly number[]): Buffer {
  const count = track.at.length;
  const times = runs(count, (packet) => spacing(track, packet));
  const perChunk = runs(
    chunks.length,
    (chunk) => (chunks[chunk] as Unit).end - (chunks[chunk] as Unit).first,
  );
  let chunkNumber = 1;
  const chunkRuns = perChunk.flatMap(({ length, value }) => {
    const run = [chunkNumber, value, 1];
    chunkNumber += length;
    return run;
  });
  const longest = track.samples.reduce((most, samples) => Math.max(most, samples), 0);
  return box(
    'stbl',
    box('stsd', uint32(0, 1), sampleEntry(track.head)),
    box(
      'stts',
      uint32(0, times.length),
      uint32List(
        times.length * 2,
        times.flatMap(({ length, value }) => [length, value]),
      ),
    ),
    box('stsc', uint32(0, perChunk.length), uint32List(chunkRuns.length, chunkRuns)),
    box('stsz', uint32(0, 0, count), uint32List(count, track.bytes)),
    box('stco', uint32(0, offsets.length), uint32List(offsets.length, offsets)),
    // Version 1, so that players know the length of an entry: two bytes, the samples to go back.
    box(
      'sgpd',
      uint32(0x100_0000),
      text('roll'),
      uint32(2, 1),
      uint16(0x1_0000 - Math.ceil(PRE_ROLL_SAMPLES / longest)),
    ),
    box('sbgp', uint32(0), text('roll'), uint32(1, count, 1)),
  );
}

/** `Opus` sample entry with its `dOps`: the OpusHead, whose numbers are little-endian, with the bytes turned. */
function sampleEntry(head: Buffer): Buffer {
  const channels = head.readUInt8(9);
  const specific = Buffer.from(head.subarray(8));
  specific.writeUInt8(0, 0);
  specific.writeUInt16BE(head.readUInt16LE(10), 2);
  specific.writeUInt32BE(head.readUInt32LE(12), 4);
  specific.writeInt16BE(head.readInt16LE(16), 8);
  return box(
    'Opus',
    uint16(0, 0, 0, 1), // reserved, the data reference
    uint32(0, 0),
    uint16(channels, 16, 0, 0),
    uint32(TIMESCALE * 0x1_0000),
    box('dOps', specific),
  );
}

/** To the packet that follows: longer than the packet where its leg sent nothing. */
function spacing({ start, samples }: PacketTrack, packet: number): number {
  const next = start[packet + 1];
  return next === undefined ? (samples[packet] as number) : next - (start[packet] as number);
}

function endOf({ start, samples, at }: PacketTrack): number {
  return (start[at.length - 1] as number) + (samples[at.length - 1] as number);
}

function sumOf(values: Uint32Array, first: number, end: number): number {
  let sum = 0;
  for (let i = first; i < end; i += 1) sum += values[i] as number;
  return sum;
}

/** Equal values in a row, counted. */
function runs(count: number, valueAt: (index: number) => number): { length: number; value: number }[] {
  const found: { length: number; value: number }[] = [];
  for (let index = 0; index < count; index += 1) {
    const value = valueAt(index);
    const last = found.at(-1);
    if (last?.value === value) last.length += 1;
    else found.push({ length: 1, value });
  }
  return found;
}

function box(type: string, ...parts: readonly Buffer[]): Buffer {
  const bytes = parts.reduce((sum, part) => sum + part.length, 8);
  return Buffer.concat([uint32(bytes), text(type), ...parts], bytes);
}

function text(value: string): Buffer {
  return Buffer.from(value, 'latin1');
}

function uint32(...values: readonly number[]): Buffer {
  return uint32List(values.length, values);
}

function uint32List(count: number, values: ArrayLike<number>): Buffer {
  const bytes = Buffer.alloc(count * 4);
  for (let i = 0; i < count; i += 1) bytes.writeUInt32BE(values[i] as number, i * 4);
  return bytes;
}

function uint16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, index) => {
    bytes.writeUInt16BE(value, index * 2);
  });
  return bytes;
}
