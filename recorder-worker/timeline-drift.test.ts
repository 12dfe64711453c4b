import t from 'tap';
import { muxTimeline } from './mux.ts';
import type { GeneratedCall } from './test/calls.ts';
import { generateCall, MONOTONIC_START_US, PLAIN_LEG } from './test/calls.ts';
import { checkFile } from './test/check.ts';
import { readInOnePass } from './test/independent.ts';
import { TimelineBuilder } from './timeline.ts';

/** Half a million packets are generated, muxed and compared one by one. */
t.setTimeout(240_000);

const SECOND_US = 1_000_000;

function mux(call: GeneratedCall): Uint8Array {
  const builder = new TimelineBuilder(80_000_000);
  builder.epoch(1, 'r', MONOTONIC_START_US, 1_790_000_000_000);
  for (const { leg, packet, monotonicUs } of call.records) builder.add(leg, packet, monotonicUs);
  return muxTimeline(builder.build()).bytes;
}

t.test('F21 200 ppm over four hours: the legs stay within 40 ms, and no frame is lost', async (t) => {
  for (const [name, frameSamples, ppm, reports, expected] of [
    ['20 ms frames, by sender reports', 960, [200, 0], true, 719_000],
    ['60 ms frames, by arrival times, the callee faster', 2880, [-100, 100], false, 239_500],
  ] as const) {
    const shape = { ...PLAIN_LEG, frameSamples, reports };
    const call = generateCall({
      seed: 11,
      durationMs: 4 * 3_600_000,
      payloadBytes: 12,
      legs: [
        { ...shape, ppm: ppm[0], jitterMs: 8, firstTimestamp: 4_294_000_000 },
        { ...shape, ssrc: 7, ppm: ppm[1], jitterMs: 4, startMs: 400, loss: 0.001 },
      ],
    });
    const { apartMs, apartAtEndMs, frames } = checkFile(call, readInOnePass(mux(call)));
    t.ok(Math.min(...frames) > expected, `${name}: all frames are there (${frames})`);
    t.ok(apartMs <= 40, `${name}: at most ${apartMs.toFixed(1)} ms apart`);
    t.ok(apartAtEndMs > 0 && apartAtEndMs <= 40, `${name}: ${apartAtEndMs.toFixed(1)} ms apart at the end`);
  }
});

t.test('F21 drift in a call of any length is followed', async (t) => {
  for (const minutes of [0.2, 0.5, 1, 3, 20]) {
    const call = generateCall({
      seed: minutes * 10,
      durationMs: minutes * 60_000,
      legs: [
        { ...PLAIN_LEG, ppm: 200, jitterMs: 5 },
        { ...PLAIN_LEG, ssrc: 7, ppm: -200, jitterMs: 5, startMs: 150 },
      ],
    });
    const { apartMs } = checkFile(call, readInOnePass(mux(call)));
    t.ok(apartMs <= 25, `${minutes} minutes: at most ${apartMs.toFixed(1)} ms apart`);
  }
});

t.test('F21 half a minute of congestion on one side does not move the legs against each other', async (t) => {
  for (const reports of [true, false]) {
    const call = generateCall({
      seed: 3,
      durationMs: 600_000,
      legs: [
        { ...PLAIN_LEG, ppm: 50, jitterMs: 3, reports },
        { ...PLAIN_LEG, ssrc: 7, ppm: -50, jitterMs: 3, reports },
      ],
    });
    const first = call.records[0]?.monotonicUs ?? 0;
    const records = call.records.map((record) => {
      const seconds = (record.monotonicUs - first) / SECOND_US;
      const slow = record.leg === 0 && seconds > 200 && seconds < 230;
      return slow ? { ...record, monotonicUs: record.monotonicUs + SECOND_US / 4 } : record;
    });
    records.sort((a, b) => a.monotonicUs - b.monotonicUs);
    const { apartMs } = checkFile(call, readInOnePass(mux({ ...call, records })));
    t.ok(apartMs <= 25, `${reports ? 'with' : 'without'} reports: at most ${apartMs.toFixed(1)} ms apart`);
  }
});

t.test('F21 pauses of both sides take off what the drift has added', async (t) => {
  const call = generateCall({
    seed: 4,
    durationMs: 3_600_000,
    payloadBytes: 12,
    legs: [
      { ...PLAIN_LEG, ppm: 200, dtx: 0.4 },
      { ...PLAIN_LEG, ssrc: 7, ppm: -200, dtx: 0.4 },
    ],
  });
  const file = readInOnePass(mux(call));
  const { strayMs } = checkFile(call, file);
  // Without pauses an hour at 400 ppm makes the file 720 to 1440 ms longer.
  t.ok(strayMs < 150, `a frame is at most ${strayMs.toFixed(0)} ms from its time`);
  t.ok(Math.abs(file.durationSeconds - 3600) < 0.2, `the file lasts ${file.durationSeconds} s`);
});
