import fc from 'fast-check';
import t from 'tap';
import { muxTimeline } from './mux.ts';
import { extractStreams, opusFrames } from './mux-read.ts';
import type { GeneratedCall, LegPlan } from './test/calls.ts';
import { generateCall, MONOTONIC_START_US, PLAIN_LEG } from './test/calls.ts';
import type { Checked } from './test/check.ts';
import { checkFile } from './test/check.ts';
import { readWithMediabunny } from './test/independent.ts';
import type { BuiltTimeline } from './timeline.ts';
import { TimelineBuilder } from './timeline.ts';
import { coverageOf } from './timeline-coverage.ts';

function build(call: GeneratedCall): BuiltTimeline {
  const builder = new TimelineBuilder(1024);
  builder.epoch(1, 'r', MONOTONIC_START_US, 1_790_000_000_000);
  for (const { leg, packet, monotonicUs } of call.records) builder.add(leg, packet, monotonicUs);
  return builder.build();
}

async function finish(
  call: GeneratedCall,
): Promise<Checked & { timeline: BuiltTimeline; combined: boolean }> {
  const timeline = build(call);
  const file = muxTimeline(timeline);
  const read = await readWithMediabunny(file.bytes);
  const checked = checkFile(call, read);
  const seconds = file.durationSamples / 48_000;
  if (Math.abs(read.durationSeconds - seconds) > 0.001) {
    throw new Error(`the file says ${read.durationSeconds} s, its packets last ${seconds} s`);
  }
  return { ...checked, timeline, combined: file.combined };
}

const frameSize = fc.constantFrom(480, 960, 960, 960, 1920, 2880);

const anyLeg = (frames: fc.Arbitrary<number>): fc.Arbitrary<LegPlan> =>
  fc.record({
    ssrc: fc.nat({ max: 0xffff_0000 }),
    // Half of the cases wrap within the first seconds.
    firstSequence: fc.oneof(fc.nat({ max: 65_535 }), fc.integer({ min: 65_300, max: 65_535 })),
    firstTimestamp: fc.oneof(
      fc.nat({ max: 4_294_967_295 }),
      fc.integer({ min: 4_294_967_295 - 200_000, max: 4_294_967_295 }),
    ),
    ppm: fc.integer({ min: -100, max: 100 }),
    frameSamples: frames,
    startMs: fc.nat({ max: 1500 }),
    loss: fc.constantFrom(0, 0.01, 0.1, 0.3),
    duplicate: fc.constantFrom(0, 0.05, 0.5),
    reorder: fc.constantFrom(0, 0.02, 0.3),
    retransmit: fc.constantFrom(0, 0.5, 1),
    jitterMs: fc.constantFrom(0, 3, 10),
    dtx: fc.constantFrom(0, 0.2, 1),
    ssrcChangeMs: fc.constantFrom(1e9, 1e9, 2000, 4000),
    configChanges: fc.constantFrom(0, 1, 10),
    levels: fc.boolean(),
    reports: fc.boolean(),
  });

t.test('F21 every frame of a generated call is in the file once, in order, byte for byte', async (t) => {
  let joined = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.nat(),
      fc.integer({ min: 300, max: 9000 }),
      frameSize.chain((frames) => fc.tuple(anyLeg(fc.constant(frames)), anyLeg(fc.constant(frames)))),
      async (seed, durationMs, legs) => {
        const call = generateCall({ seed, durationMs, legs });
        if (call.records.length === 0) return;
        const { timeline, combined, apartMs, frames } = await finish(call);
        if (!combined) throw new Error('frames of one length always combine');
        // Half a frame and the tolerance. Jitter blurs it where a stream has too few packets for one without.
        const shortest = Math.min(
          ...legs.flatMap(({ ssrcChangeMs = 0, startMs }) =>
            ssrcChangeMs < durationMs
              ? [ssrcChangeMs - startMs, durationMs - ssrcChangeMs]
              : [durationMs - startMs],
          ),
        );
        const sparse = legs.some(({ dtx, loss }) => dtx > 0 || loss > 0.1);
        const limit = legs[0].frameSamples / 96 + 5 + (shortest < 1500 || sparse ? 150 : 10);
        if (apartMs > limit) throw new Error(`frames played at once were said ${apartMs} ms apart`);
        const coverage = coverageOf(timeline).legs;
        for (const leg of [0, 1] as const) {
          const { packets, lost, duplicates } = coverage[leg];
          const expected = [frames[leg], call.lost[leg], call.duplicates[leg]];
          if ([packets, lost, duplicates].join() !== expected.join()) {
            throw new Error(
              `leg ${leg}: coverage ${packets},${lost},${duplicates}, truth ${expected.join()}`,
            );
          }
        }
        joined += timeline.slots.joined[0].length;
      },
    ),
    { numRuns: 250 },
  );
  t.equal(joined, 0, 'frames of one length are never repacked');
});

t.test(
  'F21 legs of different frame sizes share packets without a touched frame, or get a track each',
  async (t) => {
    let combinedFiles = 0;
    let separateFiles = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.integer({ min: 1000, max: 9000 }),
        anyLeg(frameSize),
        anyLeg(frameSize),
        async (seed, durationMs, caller, callee) => {
          const call = generateCall({ seed, durationMs, legs: [caller, callee] });
          if (call.records.length === 0) return;
          const { combined } = await finish(call);
          if (combined) combinedFiles += 1;
          else separateFiles += 1;
        },
      ),
      { numRuns: 250 },
    );
    t.ok(combinedFiles > 20, `most of them combine (${combinedFiles})`);
    t.ok(separateFiles > 0, `some have changes of config in the middle of a longer frame (${separateFiles})`);
  },
);

t.test('F21 every pair of frame sizes combines as long as the config does not change', async (t) => {
  for (const caller of [480, 960, 1920, 2880]) {
    for (const callee of [480, 960, 1920, 2880]) {
      const call = generateCall({
        seed: caller + callee,
        durationMs: 20_000,
        legs: [
          { ...PLAIN_LEG, frameSamples: caller, loss: 0.02, jitterMs: 2 },
          { ...PLAIN_LEG, ssrc: 7, frameSamples: callee, loss: 0.02, startMs: 333, dtx: 0.1 },
        ],
      });
      const { combined, apartMs } = await finish(call);
      t.equal(combined, true, `${caller / 48} and ${callee / 48} ms`);
      t.ok(apartMs <= 40, `${caller / 48} and ${callee / 48} ms: at most ${apartMs.toFixed(1)} ms apart`);
    }
  }
});

t.test('F21 a frame size that changes in mid-call on one side is combined too', async (t) => {
  const [short, long] = [960, 2880].map((frameSamples, i) =>
    generateCall({
      seed: 5 + i,
      durationMs: 10_000,
      legs: [
        { ...PLAIN_LEG, ssrc: 10 + i, frameSamples },
        { ...PLAIN_LEG, ssrc: 20 },
      ],
    }),
  ) as [GeneratedCall, GeneratedCall];
  const later = long.frames[0].map((frame) => ({ ...frame, saidMs: frame.saidMs + 10_000 }));
  const call: GeneratedCall = {
    records: [
      ...short.records,
      ...long.records
        .filter((record) => record.leg === 0)
        .map((record) => ({ ...record, monotonicUs: record.monotonicUs + 10_000_000 })),
    ],
    frames: [[...short.frames[0], ...later], short.frames[1]],
    lost: [0, 0],
    duplicates: [0, 0],
  };
  const timeline = build(call);
  const { bytes, combined, durationSamples } = muxTimeline(timeline);
  t.equal(combined, true);
  t.equal(durationSamples / 48, 19_960);
  const caller = extractStreams(bytes).caller.flatMap(({ packet }) => opusFrames(packet));
  t.equal(caller.length, 500 + 166);
  t.ok(caller.every((frame, i) => call.frames[0][i]?.payload.subarray(1).equals(frame)));
});
