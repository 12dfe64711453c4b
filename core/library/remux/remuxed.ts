import { Readable } from 'node:stream';
import type { SealedSource } from '../playback.ts';
import type { PacketTrack } from './packets.ts';

/** A stretch of a remuxed file that is made of packets which follow each other in one track. */
export interface Unit {
  track: number;
  /** The packets from `first` up to, not including, `end`. */
  first: number;
  end: number;
  /** Of the unit in the remuxed file. */
  bytes: number;
}

/** Another container for the same packets: what is at its front, and what comes after it, unit by unit. */
export interface Layout {
  head: Buffer;
  units: readonly Unit[];
  /** The bytes of one unit, given its packets as they are in the recording. */
  render(unit: number, packets: readonly Buffer[]): Buffer;
}

/** Of the recording that are decrypted together. */
const BATCH_BYTES = 256 * 1024;

/** A recording in another container, open for reading at any place; its bytes are made while they are read. */
export class RemuxedFile implements SealedSource {
  readonly sizeBytes: number;
  readonly fingerprint: string;
  readonly #source: SealedSource;
  readonly #tracks: readonly PacketTrack[];
  readonly #layout: Layout;
  /** Where each unit begins; one more at the end. */
  readonly #starts: Float64Array;

  constructor(options: {
    source: SealedSource;
    tracks: readonly PacketTrack[];
    layout: Layout;
    fingerprint: string;
  }) {
    const { source, tracks, layout, fingerprint } = options;
    this.#source = source;
    this.#tracks = tracks;
    this.#layout = layout;
    this.fingerprint = fingerprint;
    this.#starts = new Float64Array(layout.units.length + 1);
    let at = layout.head.length;
    layout.units.forEach((unit, index) => {
      this.#starts[index] = at;
      at += unit.bytes;
    });
    this.#starts[layout.units.length] = at;
    this.sizeBytes = at;
  }

  stream(offset: number, end: number): Readable {
    return Readable.from(this.#pieces(offset, Math.min(end, this.sizeBytes)), { objectMode: false });
  }

  close(): Promise<void> {
    return this.#source.close();
  }

  async *#pieces(offset: number, end: number): AsyncGenerator<Buffer, void, void> {
    const { head, units } = this.#layout;
    if (offset < head.length && offset < end) yield head.subarray(offset, Math.min(end, head.length));
    for (let unit = this.#unitAt(Math.max(offset, head.length)); unit < units.length; ) {
      const start = this.#starts[unit] as number;
      if (start >= end) return;
      const next = this.#batchEnd(unit, end);
      const bytes = Buffer.concat(await this.#renderAll(unit, next));
      const piece = bytes.subarray(Math.max(0, offset - start), end - start);
      if (piece.length > 0) yield piece;
      unit = next;
    }
  }

  /** The unit that holds this byte. */
  #unitAt(offset: number): number {
    let low = 0;
    let high = this.#layout.units.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#starts[middle + 1] as number) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** As many units from this one on as are read from the recording together. */
  #batchEnd(first: number, end: number): number {
    let { from, to } = this.#spanOf(first);
    let unit = first + 1;
    for (; unit < this.#layout.units.length && (this.#starts[unit] as number) < end; unit += 1) {
      const span = this.#spanOf(unit);
      from = Math.min(from, span.from);
      to = Math.max(to, span.to);
      if (to - from > BATCH_BYTES) break;
    }
    return unit;
  }

  async #renderAll(first: number, end: number): Promise<Buffer[]> {
    const spans = this.#layout.units.slice(first, end).map((_, index) => this.#spanOf(first + index));
    const from = Math.min(...spans.map((span) => span.from));
    const to = Math.max(...spans.map((span) => span.to));
    const pieces: Buffer[] = [];
    for await (const piece of this.#source.stream(from, to)) pieces.push(piece as Buffer);
    const bytes = Buffer.concat(pieces);
    return spans.map((_, index) => {
      const unit = this.#layout.units[first + index] as Unit;
      const { at, bytes: lengths } = this.#tracks[unit.track] as PacketTrack;
      const packets: Buffer[] = [];
      for (let packet = unit.first; packet < unit.end; packet += 1) {
        const start = (at[packet] as number) - from;
        packets.push(bytes.subarray(start, start + (lengths[packet] as number)));
      }
      return this.#layout.render(first + index, packets);
    });
  }

  /** Where a unit's packets lie in the recording. */
  #spanOf(unit: number): { from: number; to: number } {
    const { track, first, end } = this.#layout.units[unit] as Unit;
    const { at, bytes } = this.#tracks[track] as PacketTrack;
    return { from: at[first] as number, to: (at[end - 1] as number) + (bytes[end - 1] as number) };
  }
}

/** The stretches of a track of about this many samples each, as ranges of packets. */
export function stretches(
  { start, samples, at }: PacketTrack,
  length: number,
): { first: number; end: number }[] {
  const ranges: { first: number; end: number }[] = [];
  let first = 0;
  for (let packet = 0; packet < at.length; packet += 1) {
    const full = (start[packet] as number) + (samples[packet] as number) - (start[first] as number) >= length;
    if (!full && packet + 1 < at.length) continue;
    ranges.push({ first, end: packet + 1 });
    first = packet + 1;
  }
  return ranges;
}
