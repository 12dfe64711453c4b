import { muxTimeline } from '../mux.ts';
import { TimelineBuilder } from '../timeline.ts';
import type { GeneratedRecord } from './calls.ts';
import { generateCall, MONOTONIC_START_US, PLAIN_LEG, rtpPacket } from './calls.ts';
import type { Speech } from './speech.ts';

/** Finished recordings for tests of what is done with them: the WebM files that the muxer makes of these packets. */
export function muxed(records: readonly GeneratedRecord[]): Buffer {
  const builder = new TimelineBuilder(0);
  builder.epoch(1, 'r', MONOTONIC_START_US, 1_790_000_000_000);
  for (const { leg, packet, monotonicUs } of records) builder.add(leg, packet, monotonicUs);
  return Buffer.from(muxTimeline(builder.build()).bytes);
}

/** Two legs of packets that no decoder understands; with `apart`, such that the file has a track for each leg. */
export function muxedCall({
  seconds,
  seed = 3,
  apart = false,
}: {
  seconds: number;
  seed?: number;
  apart?: boolean;
}): Buffer {
  const { records } = generateCall({
    seed,
    durationMs: seconds * 1_000,
    legs: [
      { ...PLAIN_LEG, loss: 0.02, jitterMs: 5, configChanges: apart ? 25 : 1 },
      { ...PLAIN_LEG, ssrc: 7, startMs: 2_000, dtx: 0.2, frameSamples: apart ? 2_880 : 960 },
    ],
  });
  return muxed(records);
}

/** Two people who speak at the same time, a tenth of a second apart. */
export function muxedSpeech(speeches: readonly [Speech, Speech]): Buffer {
  const records = speeches.flatMap(({ packets }, leg) =>
    packets.map((payload, i) => ({
      leg: leg === 0 ? (0 as const) : (1 as const),
      packet: rtpPacket(i & 0xffff, (i * 960) >>> 0, leg + 1, payload, 30),
      monotonicUs: MONOTONIC_START_US + (i + 1) * 20_000 + leg * 100_000,
    })),
  );
  return muxed(records.sort((a, b) => a.monotonicUs - b.monotonicUs));
}
