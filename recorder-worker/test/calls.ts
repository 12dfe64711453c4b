import { frameSamplesOf } from '../opus/packet.ts';

/**
 * Generated calls: what a recorder would have heard of two legs, with the truth beside it. Everything follows from the
 * seed, so a failing case can be run again.
 */
export interface LegPlan {
  ssrc: number;
  firstSequence: number;
  firstTimestamp: number;
  /** How much faster than true time the sender's sound card runs. */
  ppm: number;
  /** Opus frame size in samples at 48 kHz: 480, 960, 1920 or 2880. */
  frameSamples: number;
  /** When the leg starts, after the call did. */
  startMs: number;
  /** Probabilities per packet. */
  loss: number;
  duplicate: number;
  reorder: number;
  /** A lost packet comes again this often (it was reported missing and is sent once more). */
  retransmit: number;
  /** Mean of the exponential network jitter. */
  jitterMs: number;
  /** DTX: in a pause only every 20th packet is sent; pauses come this often a second. */
  dtx: number;
  /** Changes the SSRC, sequence numbers and timestamps at this time. */
  ssrcChangeMs?: number;
  /** The TOC config changes this often a second, within the same frame size. */
  configChanges: number;
  /** Speech level of RFC 6464, or none at all. */
  levels: boolean;
  reports: boolean;
}

export interface SentFrame {
  leg: 0 | 1;
  /** The whole Opus packet as it was sent. */
  payload: Buffer;
  /** When its first sample was said, in true time. */
  saidMs: number;
}

export interface GeneratedRecord {
  leg: 0 | 1;
  packet: Buffer;
  monotonicUs: number;
}

export interface GeneratedCall {
  records: GeneratedRecord[];
  /** What arrived at least once, per leg in the order in which it was said. */
  frames: [SentFrame[], SentFrame[]];
  /** Packets that never arrived, per leg, between the first and the last that did. */
  lost: [number, number];
  duplicates: [number, number];
}

export const PLAIN_LEG: LegPlan = {
  ssrc: 0x1000,
  firstSequence: 100,
  firstTimestamp: 1000,
  ppm: 0,
  frameSamples: 960,
  startMs: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  retransmit: 0,
  jitterMs: 0,
  dtx: 0,
  configChanges: 0,
  levels: true,
  reports: true,
};

export const AUDIO_LEVEL_ID = 6;
/** TOC configs by frame size: SILK and CELT, so that a change crosses modes. */
const CONFIGS: Record<number, number[]> = {
  480: [0, 4, 12, 18, 30],
  960: [1, 9, 13, 15, 27, 31],
  1920: [2, 6, 10],
  2880: [3, 7, 11],
};
const NTP_EPOCH_US = 3_970_000_000_000_000;
export const MONOTONIC_START_US = 5_000_000_000;

/** A small generator of random numbers in [0, 1) (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function generateCall(options: {
  seed: number;
  durationMs: number;
  legs: [LegPlan, LegPlan];
  payloadBytes?: number;
}): GeneratedCall {
  const call: GeneratedCall = { records: [], frames: [[], []], lost: [0, 0], duplicates: [0, 0] };
  for (const leg of [0, 1] as const) {
    const random = randomOf(options.seed * 2 + leg + 1);
    generateLeg(call, leg, options.legs[leg], options.durationMs, options.payloadBytes ?? 40, random);
  }
  // A stable order: equal arrival times keep the order in which they were generated.
  call.records.sort((a, b) => a.monotonicUs - b.monotonicUs);
  return call;
}

function generateLeg(
  call: GeneratedCall,
  leg: 0 | 1,
  plan: LegPlan,
  durationMs: number,
  payloadBytes: number,
  random: () => number,
): void {
  const frameMs = plan.frameSamples / 48 / (1 + plan.ppm * 1e-6);
  const configs = CONFIGS[plan.frameSamples] ?? [1];
  let config = configs[0] as number;
  let { ssrc, firstSequence: sequence, firstTimestamp: timestamp } = plan;
  let changed = false;
  let pauseLeft = 0;
  let nextReportMs = plan.startMs + 300;
  let lostRun = 0;
  let heard = false;
  const base = MONOTONIC_START_US;
  const frames = call.frames[leg];
  for (let index = 0; ; index += 1) {
    const saidMs = plan.startMs + index * frameMs;
    if (saidMs + frameMs > durationMs) break;
    if (plan.ssrcChangeMs !== undefined && !changed && saidMs >= plan.ssrcChangeMs) {
      changed = true;
      ssrc += 1;
      sequence = Math.floor(random() * 0x1_0000);
      timestamp = Math.floor(random() * 0x1_0000_0000);
      // What was lost at the end of a stream cannot be told from a stream that ended.
      heard = false;
      lostRun = 0;
    }
    if (random() < (plan.configChanges * frameMs) / 1000) {
      config = configs[Math.floor(random() * configs.length)] as number;
    }
    if (pauseLeft === 0 && random() < (plan.dtx * frameMs) / 1000)
      pauseLeft = Math.floor(20 + random() * 200);
    if (pauseLeft > 0) pauseLeft -= 1;
    const sent = pauseLeft % 20 === 0;
    if (sent) {
      const payload = payloadOf(leg, index, config, payloadBytes, random);
      const level = pauseLeft > 0 ? 127 : Math.floor(20 + random() * 30);
      const packet = rtpPacket(sequence & 0xffff, timestamp >>> 0, ssrc, payload, plan.levels ? level : -1);
      const sentMs = saidMs + frameMs;
      const arrivalMs = sentMs + 15 + delay(plan, random);
      const lost = random() < plan.loss;
      const again = lost && random() < plan.retransmit;
      if (!lost || again) {
        const first =
          arrivalMs + (again ? 60 + random() * 100 : 0) + (random() < plan.reorder ? random() * 90 : 0);
        push(call, leg, packet, base, first);
        frames.push({ leg, payload, saidMs });
        if (random() < plan.duplicate) {
          push(call, leg, packet, base, first + random() * 400);
          call.duplicates[leg] += 1;
        }
        if (heard) call.lost[leg] += lostRun;
        heard = true;
        lostRun = 0;
      } else {
        lostRun += 1;
      }
      if (plan.reports && saidMs >= nextReportMs) {
        nextReportMs += 1000;
        // Like a mediator: at this moment the stream would be at the newest packet's timestamp and what passed since.
        const reportMs = sentMs + 15 + delay(plan, random);
        const ahead = Math.round((reportMs - sentMs - 15) * 48);
        push(call, leg, senderReport(ssrc, reportMs, (timestamp + ahead) >>> 0, index), base, reportMs + 0.1);
      }
      sequence += 1;
    }
    timestamp += plan.frameSamples;
  }
}

function delay(plan: LegPlan, random: () => number): number {
  return plan.jitterMs === 0 ? 0 : -Math.log(1 - random()) * plan.jitterMs;
}

function push(call: GeneratedCall, leg: 0 | 1, packet: Buffer, base: number, atMs: number): void {
  call.records.push({ leg, packet, monotonicUs: Math.round(base + atMs * 1000) });
}

/** A frame that nobody else sends: its leg, its number and noise. */
function payloadOf(leg: number, index: number, config: number, bytes: number, random: () => number): Buffer {
  const payload = Buffer.alloc(Math.max(8, Math.floor(bytes * (0.5 + random()))));
  payload[0] = config << 3;
  payload[1] = leg;
  payload.writeUInt32BE(index, 2);
  for (let i = 6; i < payload.length; i += 1) payload[i] = random() * 256;
  return payload;
}

export function rtpPacket(
  sequence: number,
  timestamp: number,
  ssrc: number,
  payload: Uint8Array,
  level: number,
): Buffer {
  const extension = level >= 0 ? 8 : 0;
  const packet = Buffer.alloc(12 + extension + payload.length);
  packet[0] = 0x80 | (extension > 0 ? 0x10 : 0);
  packet[1] = 111;
  packet.writeUInt16BE(sequence, 2);
  packet.writeUInt32BE(timestamp, 4);
  packet.writeUInt32BE(ssrc >>> 0, 8);
  if (extension > 0) {
    packet.writeUInt32BE(0xbede0001, 12);
    packet[16] = AUDIO_LEVEL_ID << 4;
    packet[17] = 0x80 | level;
  }
  packet.set(payload, 12 + extension);
  return packet;
}

export function senderReport(ssrc: number, atMs: number, rtpTimestamp: number, packets: number): Buffer {
  const report = Buffer.alloc(28);
  const ntpUs = NTP_EPOCH_US + Math.round(atMs * 1000);
  report.writeUInt32BE(0x80c80006, 0);
  report.writeUInt32BE(ssrc >>> 0, 4);
  report.writeUInt32BE(Math.floor(ntpUs / 1_000_000), 8);
  report.writeUInt32BE(Math.floor(((ntpUs % 1_000_000) / 1_000_000) * 2 ** 32), 12);
  report.writeUInt32BE(rtpTimestamp, 16);
  report.writeUInt32BE(packets, 20);
  return report;
}

/** Milliseconds that a payload of one frame lasts. */
export function payloadMs(payload: Uint8Array): number {
  return frameSamplesOf(payload[0] ?? 0) / 48;
}
