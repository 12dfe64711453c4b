import { SAMPLE_RATE } from './opus/packet.ts';
import type { PlacedLeg } from './timeline-clock.ts';
import { placeLegs } from './timeline-clock.ts';
import { Leg } from './timeline-leg.ts';
import type { Slots } from './timeline-slots.ts';
import { fillSlots } from './timeline-slots.ts';

/**
 * From journal records to a finished timeline:
 *   `Timeline.epoch` and `add` collect -> `timeline-leg` orders and drops repetitions -> `timeline-clock` says when
 *   each packet was said -> `timeline-slots` puts the legs side by side.
 * Whatever the packets contain, `build` ends, throws nothing, and has every Opus packet exactly once.
 */
export interface BuiltTimeline {
  legs: readonly [Leg, Leg];
  placed: readonly [PlacedLeg, PlacedLeg];
  slots: Slots;
  /** What the legs' columns point into. */
  bytes: Uint8Array;
  /** One for each journal, in order. */
  epochs: readonly TimelineEpoch[];
  /** What happened to either side, in the order in which it was written down. */
  marks: readonly TimelineMark[];
}

export interface TimelineEpoch {
  /** The process that wrote it. */
  recorder: string;
  /** Packets of each leg that were added before: its own have these indices and higher ones. */
  before: readonly [number, number];
  /** It says itself that it continues a recording whose recorder was lost. */
  reattached: boolean;
}

export interface TimelineMark {
  kind: 'mute' | 'unmute' | 'reattach';
  leg: 0 | 1;
  /** On the common clock, in samples. */
  time: number;
}

/** What the journal says of a moment, besides packets. */
export interface JournalMoment {
  mark: string;
  leg?: number;
  /** When it happened, by the wall clock (Unix ms), where it was written down later. */
  atMs?: number;
}

/** A call without a recorder ends in seconds. */
const MAX_HOLE_US = 600_000_000;
/** Two machines' clocks may differ by this much without an epoch seeming to begin before the last one ended. */
const MAX_OVERLAP_US = 5_000_000;
/** A mark is on its way to the recorder for less; what seems to take longer is a clock that differs. */
const MAX_MARK_DELAY_MS = 10_000;
/** Marks that are kept: ten an hour are many. */
const MAX_MARKS = 10_000;
/** A packet of speech with its RTP and record headers, on the small side. */
const TYPICAL_RECORD_BYTES = 90;
const SAMPLES_PER_US = SAMPLE_RATE / 1_000_000;
/** The id under which our media server sends RFC 6464 levels, when the journal does not say another. */
export const DEFAULT_AUDIO_LEVEL_ID = 6;

export class TimelineBuilder {
  readonly #legs: readonly [Leg, Leg];
  readonly #audioLevelIds: [number, number] = [DEFAULT_AUDIO_LEVEL_ID, DEFAULT_AUDIO_LEVEL_ID];
  #bytes: Buffer;
  #used = 0;
  #epoch = 0;
  #recorder = '';
  /** Adds up to microseconds of the common clock from those of the epoch's recorder. */
  #shiftUs = 0;
  #lastUs = 0;
  /** One moment of the newest block on both clocks: the common one, and the wall. */
  #lastBlock = { us: 0, wallMs: 0 };
  readonly #epochs: { recorder: string; before: [number, number]; reattached: boolean }[] = [];
  readonly #marks: TimelineMark[] = [];
  /** A recorder that changes files may write a mark a second time. */
  readonly #seenMarks = new Set<string>();

  /**
   * `capacity`: bytes that the records will take at most, or about; it grows. `bytes`: memory of at least that size to
   * put them in, which must then stay untouched as long as the timeline is used.
   */
  constructor(capacity: number, bytes?: Buffer) {
    this.#bytes = bytes ?? Buffer.allocUnsafeSlow(Math.max(capacity, 4096));
    const packets = Math.ceil(capacity / 2 / TYPICAL_RECORD_BYTES);
    this.#legs = [new Leg(packets), new Leg(packets)];
  }

  /**
   * Begins a journal. Within one recorder all epochs share its monotonic clock. The clocks of two recorders have
   * nothing in common: there the epochs meet on the wall clock, from the last block of the one to the first of the
   * other, so that a wall clock that was set in the middle of an epoch moves nothing. A hole that no call survives is a
   * wall clock that was set, and then the epochs follow each other without one.
   */
  epoch(epoch: number, recorder: string, monotonicUs: number, wallMs: number): void {
    const first = this.#epoch === 0;
    this.#epoch = epoch;
    const before: [number, number] = [this.#legs[0].count, this.#legs[1].count];
    this.#epochs.push({ recorder, before, reattached: false });
    if (first || recorder !== this.#recorder) {
      this.#recorder = recorder;
      const begin = first ? wallMs * 1000 : this.#lastBlock.us + (wallMs - this.#lastBlock.wallMs) * 1000;
      const hole = begin - this.#lastUs;
      const plausible = first || (hole >= -MAX_OVERLAP_US && hole <= MAX_HOLE_US);
      this.#shiftUs = (plausible ? begin : this.#lastUs) - monotonicUs;
    }
    this.block(monotonicUs, wallMs);
  }

  /** The times of a block of the epoch, of any kind. */
  block(monotonicUs: number, wallMs: number): void {
    this.#lastBlock = { us: this.#shiftUs + monotonicUs, wallMs };
  }

  /**
   * A moment that the newest block tells of. It was when its own time says, by the difference to the block's; and at the
   * block's time when that would be long before, or after it: then two machines' clocks differ.
   */
  mark({ mark, leg, atMs }: JournalMoment): void {
    const { us, wallMs } = this.#lastBlock;
    if (mark === 'reattach' && leg === undefined) {
      const epoch = this.#epochs.at(-1);
      if (epoch !== undefined) epoch.reattached = true;
    }
    if (mark !== 'mute' && mark !== 'unmute' && mark !== 'reattach') return;
    if ((leg !== 0 && leg !== 1) || this.#marks.length >= MAX_MARKS) return;
    if (atMs !== undefined) {
      const key = `${mark} ${leg} ${atMs}`;
      if (this.#seenMarks.has(key)) return;
      this.#seenMarks.add(key);
    }
    const delayMs = wallMs - (atMs ?? wallMs);
    const before = delayMs > 0 && delayMs <= MAX_MARK_DELAY_MS ? delayMs : 0;
    this.#marks.push({ kind: mark, leg, time: (us - before * 1000) * SAMPLES_PER_US });
  }

  /** The RFC 8285 id of the audio level of a leg, where the journal names it. */
  audioLevelId(leg: 0 | 1, id: number): void {
    this.#audioLevelIds[leg] = id;
  }

  /** One packet of the journal, RTP or RTCP. The bytes are copied. */
  add(leg: 0 | 1, packet: Uint8Array, monotonicUs: number): void {
    const start = this.#copy(packet);
    this.#add(leg, start, this.#used, monotonicUs);
  }

  /**
   * The records of a DATA block as the journal has them: `u8 leg | u8 flags | u16be length | u32be us since block |
   * packet`. A record that reaches past the end stops the walk; the reader has refused such blocks already.
   */
  addDataBlock(plaintext: Uint8Array, blockMonotonicUs: number): void {
    let at = this.#copy(plaintext);
    const end = this.#used;
    const bytes = this.#bytes;
    while (at + 8 <= end) {
      const next = at + 8 + bytes.readUInt16BE(at + 2);
      if (next > end) return;
      const leg = bytes[at] as number;
      if (leg === 0 || leg === 1) this.#add(leg, at + 8, next, blockMonotonicUs + bytes.readUInt32BE(at + 4));
      at = next;
    }
  }

  /** Orders, aligns and slots what was added. Called once. */
  build(): BuiltTimeline {
    const [caller, callee] = this.#legs;
    caller.finish();
    callee.finish();
    const placed = placeLegs(this.#legs);
    const bytes = this.#bytes.subarray(0, this.#used);
    return {
      legs: this.#legs,
      placed,
      slots: fillSlots(this.#legs, placed, bytes),
      bytes,
      epochs: this.#epochs,
      marks: this.#marks,
    };
  }

  #add(leg: 0 | 1, start: number, end: number, monotonicUs: number): void {
    const us = this.#shiftUs + monotonicUs;
    if (us > this.#lastUs) this.#lastUs = us;
    this.#legs[leg].add(this.#bytes, start, end, us * SAMPLES_PER_US, this.#epoch, this.#audioLevelIds[leg]);
  }

  #copy(block: Uint8Array): number {
    const at = this.#used;
    const used = at + block.length;
    if (used > this.#bytes.length) {
      const bytes = Buffer.allocUnsafeSlow(used * 2);
      this.#bytes.copy(bytes, 0, 0, at);
      this.#bytes = bytes;
    }
    this.#bytes.set(block, at);
    this.#used = used;
    return at;
  }
}
