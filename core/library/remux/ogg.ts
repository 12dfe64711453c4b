import { VerbatimError } from '#protocol';
import type { PacketTrack } from './packets.ts';
import type { Layout, Unit } from './remuxed.ts';
import { stretches } from './remuxed.ts';

/**
 * Ogg (RFC 3533) with Opus (RFC 7845): a page with the OpusHead, one with the comments, then pages of about a second.
 * Time in such a file is the sum of its packets, and players play one track; so only recordings that are one stereo
 * track have this form, in which the packets follow each other without a gap.
 */
const MUXER = 'verbatim-ogg/1';
/** Any number does, in a file of one track; the same one for every file. */
const SERIAL = 1;
const PAGE_SAMPLES = 48_000;
const PAGE_HEADER_BYTES = 27;
const MAX_SEGMENTS = 255;
const FIRST_PAGE = 0x02;
const LAST_PAGE = 0x04;

/** @throws VerbatimError `format_unavailable` for a recording with a track for each side */
export function layOutOgg(tracks: readonly PacketTrack[]): Layout {
  const [track, second] = tracks;
  if (track === undefined || second !== undefined) throw new VerbatimError('format_unavailable');
  const pages = stretches(track, PAGE_SAMPLES).flatMap((stretch) => pagesOf(track, stretch));
  const head = Buffer.concat([
    pageBytes([track.head], { sequence: 0, position: 0, flags: FIRST_PAGE }),
    pageBytes([comments(track.name)], { sequence: 1, position: 0, flags: 0 }),
  ]);
  const render: Layout['render'] = (index, packets) => {
    const last = (pages[index] as Unit).end - 1;
    return pageBytes(packets, {
      sequence: index + 2,
      position: (track.start[last] as number) + (track.samples[last] as number),
      flags: index === pages.length - 1 ? LAST_PAGE : 0,
    });
  };
  return { head, units: pages, render };
}

/** One page, or more when the packets are so many or so long that its list of segments is full. */
function pagesOf({ bytes }: PacketTrack, stretch: { first: number; end: number }): Unit[] {
  const pages: Unit[] = [];
  let page = { track: 0, first: stretch.first, end: stretch.first, bytes: PAGE_HEADER_BYTES };
  let segments = 0;
  for (let packet = stretch.first; packet < stretch.end; packet += 1) {
    const length = bytes[packet] as number;
    const needed = segmentsOf(length);
    if (needed > MAX_SEGMENTS) throw new VerbatimError('format_unavailable');
    if (segments + needed > MAX_SEGMENTS) {
      pages.push(page);
      page = { track: 0, first: packet, end: packet, bytes: PAGE_HEADER_BYTES };
      segments = 0;
    }
    segments += needed;
    page.bytes += needed + length;
    page.end = packet + 1;
  }
  pages.push(page);
  return pages;
}

/** A packet ends with a segment of fewer than 255 bytes, which may be empty. */
function segmentsOf(bytes: number): number {
  return Math.floor(bytes / 255) + 1;
}

/** RFC 7845 section 5.2. */
function comments(title: string): Buffer {
  const counted = (text: string): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(Buffer.byteLength(text));
    return Buffer.concat([length, Buffer.from(text)]);
  };
  const count = Buffer.alloc(4);
  count.writeUInt32LE(1);
  return Buffer.concat([Buffer.from('OpusTags'), counted(MUXER), count, counted(`TITLE=${title}`)]);
}

/** RFC 3533 section 6. `position`: the samples that have been said when the page is over. */
function pageBytes(
  packets: readonly Buffer[],
  { sequence, position, flags }: { sequence: number; position: number; flags: number },
): Buffer {
  const lacing = packets.flatMap(({ length }) => [
    ...Array<number>(segmentsOf(length) - 1).fill(255),
    length % 255,
  ]);
  const header = Buffer.alloc(PAGE_HEADER_BYTES);
  header.write('OggS');
  header.writeUInt8(flags, 5);
  header.writeBigInt64LE(BigInt(position), 6);
  header.writeUInt32LE(SERIAL, 14);
  header.writeUInt32LE(sequence, 18);
  header.writeUInt8(lacing.length, 26);
  const page = Buffer.concat([header, Buffer.from(lacing), ...packets]);
  page.writeUInt32LE(crc32(page), 22);
  return page;
}

/** The polynomial 0x04c11db7 with the highest bit first, from 0: not the one of zip files. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit += 1) crc = crc < 0 ? (crc << 1) ^ 0x04c1_1db7 : crc << 1;
  return crc;
});

function crc32(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) crc = (crc << 8) ^ (CRC_TABLE[((crc >>> 24) ^ byte) & 0xff] as number);
  return crc >>> 0;
}
