import type { OpusPacket } from './opus/packet.ts';
import { createOpusPacket, parseOpus, SAMPLE_RATE } from './opus/packet.ts';
import { audioLevel } from './rtp/extension.ts';
import type { RtpHeader } from './rtp/packet.ts';
import { createRtpHeader, isRtcp, parseRtp } from './rtp/packet.ts';
import type { SenderReport } from './rtp/rtcp.ts';
import { senderReports } from './rtp/rtcp.ts';
import { sequenceDeltaInTime, timestampDelta, unwrapTimestamp } from './rtp/wrap.ts';

/**
 * Everything that was captured of one leg, put in order: packets in columns (an hour has 180,000 of them, and an
 * object each would cost more than all the rest), grouped in *runs*.
 *
 * A run is a stretch of one SSRC in which sequence numbers and timestamps go on from packet to packet. A new SSRC or a
 * jump that the arrival times contradict begins a new run, which is then placed by its own arrival times: a stream
 * that restarts its clock can neither vanish nor open a gap of hours. A new epoch does not begin a run by itself: a
 * recorder that had to change files goes on with the same stream, and may write its last packets a second time.
 */

/** How far RTP time and arrival time may come apart between neighbours before the stream counts as restarted. */
const MAX_DISAGREEMENT = 2 * SAMPLE_RATE;
/** A run of losses up to this long is followed by sequence number alone, for example after the reader stalled. */
const MAX_STALL_PACKETS = 100;
const SHORTEST_PACKET = 120;
const LONGEST_PACKET = 5_760;
/** A late packet may lie this far in front of the first one of its run: the first to arrive need not be the first. */
const MAX_EARLY = 5 * SAMPLE_RATE;
/** Earlier runs of the same SSRC that a late packet or a repetition is looked for in. */
const MAX_LOOK_BACK = 4;

export interface Report extends SenderReport {
  /** When it arrived, on the common clock. */
  arrival: number;
  /** Its RTP timestamp, unwrapped within the run. */
  timestamp: number;
}

export interface Run {
  readonly ssrc: number;
  /** The epoch that it began in. */
  readonly epoch: number;
  readonly reports: Report[];
  /** Indices of its packets, ordered and without repetitions once `finish` has been called. */
  packets: Int32Array;
  /** Sequence numbers between the run's first and last that never came. */
  lost: number;
}

interface OpenRun extends Run {
  /** Indices in the order of arrival; the first `count` are in use. */
  order: Int32Array;
  count: number;
  sorted: boolean;
  first: { timestamp: number };
  /** The packet with the highest sequence number so far. */
  last: { sequence: number; timestamp: number; arrival: number };
}

/**
 * Columns are read by index with `as number` throughout: every index comes from `count` or from a run's list, and a
 * helper shared by columns of eight types would cost more than the work around it.
 */
export class Leg {
  /** Times are in samples at 48 kHz; arrival on the common clock, timestamps without wraps. */
  arrival: Float64Array;
  timestamp: Float64Array;
  sequence: Float64Array;
  /** Where the Opus packet lies in the bytes that the records were read from. */
  start: Int32Array;
  length: Uint16Array;
  /** Samples of the Opus packet, its TOC byte, its RFC 6464 level (127 is silence, -1 unknown). */
  samples: Uint16Array;
  toc: Uint8Array;
  level: Int8Array;
  count = 0;
  /** Packets that came again, packets whose payload is no Opus packet, and records that are not even RTP. */
  duplicates = 0;
  unusable = 0;
  malformed = 0;
  readonly runs: Run[] = [];

  readonly #open = new Map<number, OpenRun[]>();
  readonly #header: RtpHeader = createRtpHeader();
  readonly #opus: OpusPacket = createOpusPacket();
  /** Reports that came before their run's first packet. */
  #early: { arrival: number; report: SenderReport }[] = [];
  #lastRun: OpenRun | undefined;

  /** `capacity`: packets that are expected; more are taken too. */
  constructor(capacity: number) {
    this.arrival = new Float64Array(capacity);
    this.timestamp = new Float64Array(capacity);
    this.sequence = new Float64Array(capacity);
    this.start = new Int32Array(capacity);
    this.length = new Uint16Array(capacity);
    this.samples = new Uint16Array(capacity);
    this.toc = new Uint8Array(capacity);
    this.level = new Int8Array(capacity);
  }

  /** Takes the record in `bytes[start..end)`, RTP or RTCP, which arrived at `arrival` (samples, common clock). */
  add(
    bytes: Uint8Array,
    start: number,
    end: number,
    arrival: number,
    epoch: number,
    audioLevelId: number,
  ): void {
    if (isRtcp(bytes, start, end)) {
      for (const report of senderReports(bytes, start, end)) this.#addReport(report, arrival);
      return;
    }
    const header = this.#header;
    if (!parseRtp(bytes, header, start, end)) {
      this.malformed += 1;
      return;
    }
    const run = this.#runOf(header.ssrc, header.sequence, header.timestamp, arrival, epoch);
    const index = this.#append();
    const { last } = run;
    const timestamp = unwrapTimestamp(last.timestamp, header.timestamp);
    const passed = timestamp - last.timestamp;
    const sequence = last.sequence + sequenceDeltaInTime(last.sequence, header.sequence, passed);
    if (sequence > last.sequence) {
      last.sequence = sequence;
      last.timestamp = timestamp;
      last.arrival = arrival;
    } else if (run.count > 0) {
      run.sorted = false;
    }
    if (timestamp < run.first.timestamp) run.first.timestamp = timestamp;
    if (run.count === run.order.length) run.order = copyInto(new Int32Array(run.count * 2), run.order);
    run.order[run.count] = index;
    run.count += 1;
    const usable =
      header.payloadLength > 0 &&
      parseOpus(bytes, this.#opus, header.payloadStart, header.payloadStart + header.payloadLength);
    if (!usable && header.payloadLength > 0) this.unusable += 1;
    this.arrival[index] = arrival;
    this.timestamp[index] = timestamp;
    this.sequence[index] = sequence;
    this.start[index] = header.payloadStart;
    this.length[index] = usable ? header.payloadLength : 0;
    this.samples[index] = usable ? this.#opus.samples : 0;
    this.toc[index] = usable ? this.#opus.toc : 0;
    this.level[index] = audioLevelId > 0 ? audioLevel(bytes, header, audioLevelId) : -1;
  }

  /** Orders every run, drops repetitions and what is not Opus, and counts what is missing. Called once. */
  finish(): void {
    const { sequence: sequences, length } = this;
    for (const run of this.#allRuns()) {
      const order = run.order.subarray(0, run.count);
      if (!run.sorted && !sortNearly(order, sequences)) {
        // By arrival among equals, so that the first to arrive is the one that is kept.
        order.sort((a, b) => (sequences[a] as number) - (sequences[b] as number) || a - b);
      }
      let kept = 0;
      let unique = 0;
      let previous = Number.NEGATIVE_INFINITY;
      const first = sequences[order[0] as number] as number;
      for (let i = 0; i < order.length; i += 1) {
        const index = order[i] as number;
        const sequence = sequences[index] as number;
        if (sequence === previous) {
          this.duplicates += 1;
          continue;
        }
        previous = sequence;
        unique += 1;
        // In place: what is kept never overtakes what is read.
        if ((length[index] as number) > 0) order[kept++] = index;
      }
      run.lost = previous - first + 1 - unique;
      run.packets = order.subarray(0, kept);
    }
  }

  #allRuns(): OpenRun[] {
    return [...this.#open.values()].flat();
  }

  /** The run that this packet goes on with, or a new one. */
  #runOf(ssrc: number, sequence: number, timestamp: number, arrival: number, epoch: number): OpenRun {
    const latest = this.#lastRun;
    if (latest?.ssrc === ssrc && continues(latest, sequence, timestamp, arrival)) {
      return latest;
    }
    let runs = this.#open.get(ssrc);
    if (runs === undefined) {
      runs = [];
      this.#open.set(ssrc, runs);
    }
    for (let back = 1; back <= Math.min(MAX_LOOK_BACK, runs.length); back += 1) {
      const run = runs[runs.length - back] as OpenRun;
      if (!continues(run, sequence, timestamp, arrival, back > 1)) continue;
      if (back === 1) this.#lastRun = run;
      return run;
    }
    const run: OpenRun = {
      ssrc,
      epoch,
      reports: [],
      packets: new Int32Array(0),
      lost: 0,
      order: new Int32Array(FIRST_RUN_PACKETS),
      count: 0,
      sorted: true,
      first: { timestamp },
      // One below, so that the first packet counts as an advance like every other.
      last: { sequence: sequence - 1, timestamp, arrival },
    };
    runs.push(run);
    this.runs.push(run);
    this.#lastRun = run;
    const early = this.#early.filter((entry) => entry.report.ssrc === ssrc);
    this.#early = this.#early.filter((entry) => !early.includes(entry));
    for (const entry of early) attach(run, entry.report, entry.arrival);
    return run;
  }

  #addReport(report: SenderReport, arrival: number): void {
    const run = this.#open.get(report.ssrc)?.at(-1);
    if (run !== undefined) attach(run, report, arrival);
    else if (this.#early.length < MAX_EARLY_REPORTS) this.#early.push({ arrival, report });
  }

  #append(): number {
    const index = this.count;
    this.count += 1;
    if (index === this.arrival.length) this.#grow(index * 2 + FIRST_RUN_PACKETS);
    return index;
  }

  #grow(capacity: number): void {
    this.arrival = copyInto(new Float64Array(capacity), this.arrival);
    this.timestamp = copyInto(new Float64Array(capacity), this.timestamp);
    this.sequence = copyInto(new Float64Array(capacity), this.sequence);
    this.start = copyInto(new Int32Array(capacity), this.start);
    this.length = copyInto(new Uint16Array(capacity), this.length);
    this.samples = copyInto(new Uint16Array(capacity), this.samples);
    this.toc = copyInto(new Uint8Array(capacity), this.toc);
    this.level = copyInto(new Int8Array(capacity), this.level);
  }
}

const FIRST_RUN_PACKETS = 64;
/** Reports kept while their stream is not heard yet; mediators send one a second at most. */
const MAX_EARLY_REPORTS = 64;

/** Moves that sorting by insertion may take per packet before the general sort takes over. */
const MAX_MOVES_PER_PACKET = 8;

/**
 * Sorts indices by their keys, equal keys staying in order, by insertion: packets come a few places late at most, and
 * then this takes a single pass. Returns false, half sorted, when there is more disorder than that.
 */
function sortNearly(order: Int32Array, keys: Float64Array): boolean {
  let moves = order.length * MAX_MOVES_PER_PACKET;
  for (let i = 1; i < order.length; i += 1) {
    const index = order[i] as number;
    const key = keys[index] as number;
    let to = i;
    while (to > 0 && (keys[order[to - 1] as number] as number) > key) {
      order[to] = order[to - 1] as number;
      to -= 1;
    }
    order[to] = index;
    moves -= i - to;
    if (moves < 0) return false;
  }
  return true;
}

/**
 * Whether a packet belongs to `run`. It does when it is a repetition; when it comes late and lies where its number
 * says; and when it goes on: in step with the arrival times, or packet by packet.
 */
function continues(
  run: OpenRun,
  sequence: number,
  timestamp: number,
  arrival: number,
  late = false,
): boolean {
  const { last } = run;
  const passed = timestampDelta(last.timestamp, timestamp);
  const delta = sequenceDeltaInTime(last.sequence, sequence, passed);
  if (run.count === 0) return delta === 1;
  if (delta === 0) return passed === 0;
  if (delta < 0) {
    return passed <= delta * SHORTEST_PACKET && last.timestamp + passed >= run.first.timestamp - MAX_EARLY;
  }
  if (late) return false;
  if (passed < delta * SHORTEST_PACKET) return false;
  if (Math.abs(passed - (arrival - last.arrival)) <= MAX_DISAGREEMENT) return true;
  return delta <= MAX_STALL_PACKETS && passed <= delta * LONGEST_PACKET;
}

function attach(run: Run & Partial<OpenRun>, report: SenderReport, arrival: number): void {
  const base = run.last?.timestamp ?? 0;
  run.reports.push({
    ...report,
    arrival,
    timestamp: unwrapTimestamp(base, report.rtpTimestamp),
  });
}

function copyInto<T extends Float64Array | Int32Array | Uint16Array | Uint8Array | Int8Array>(
  target: T,
  source: T,
): T {
  target.set(source);
  return target;
}
