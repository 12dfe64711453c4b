import t from 'tap';
import { peaksOf } from './peaks.ts';
import { generateCall, MONOTONIC_START_US, PLAIN_LEG, rtpPacket } from './test/calls.ts';
import { TimelineBuilder } from './timeline.ts';

const PACKET = Buffer.from([0x08, 1, 2, 3]);

function builder(): TimelineBuilder {
  const timeline = new TimelineBuilder(0);
  timeline.epoch(1, 'r', 0, 1_790_000_000_000);
  return timeline;
}

t.test('F26 the waveform has the loudest level of each 100 ms, caller and callee in turn', async (t) => {
  const timeline = builder();
  // -dBov: 0 is the loudest. The callee is heard from 200 ms on.
  const caller = [30, 20, 40, 127, 50, 127, 127, 127, 127, 127, 0, 127, 127, 127, 127];
  const callee = [60, 61, 62, 63, 64];
  for (const [i, level] of caller.entries()) {
    timeline.add(0, rtpPacket(i, i * 960, 1, PACKET, level), i * 20_000);
  }
  for (const [i, level] of callee.entries()) {
    timeline.add(1, rtpPacket(i, i * 960, 2, PACKET, level), 200_000 + i * 20_000);
  }
  t.same(peaksOf(timeline.build()), { intervalMs: 100, levels: [107, 0, 0, 0, 127, 67] });
});

t.test('F26 a leg without levels is a flat line, not a guess', async (t) => {
  const timeline = builder();
  for (let i = 0; i < 10; i += 1) timeline.add(0, rtpPacket(i, i * 960, 1, PACKET, -1), i * 20_000);
  t.same(peaksOf(timeline.build()).levels, [0, 0, 0, 0]);
});

t.test('F26 levels are found under the id that the journal names', async (t) => {
  for (const [id, level] of [
    [6, 97],
    [10, 0],
  ] as const) {
    const timeline = builder();
    timeline.audioLevelId(0, id);
    timeline.add(0, rtpPacket(0, 0, 1, PACKET, 30), 0);
    t.same(peaksOf(timeline.build()).levels, [level, 0], `id ${id}`);
  }
});

t.test('F26 packets that share a slot each raise their own interval', async (t) => {
  const timeline = builder();
  const long = Buffer.from([0x18, 9]);
  for (let i = 0; i < 4; i += 1) timeline.add(0, rtpPacket(i, i * 2880, 1, long, 127), i * 60_000 + 40_000);
  for (let i = 0; i < 12; i += 1) {
    timeline.add(1, rtpPacket(i, i * 960, 2, PACKET, i === 5 ? 27 : 127), i * 20_000);
  }
  const built = timeline.build();
  t.ok(built.slots.joined[1].length > 0, 'the 20 ms packets are joined');
  // The sixth packet of 20 ms is said at 100 ms, in the second interval, though its slot begins at 60 ms.
  t.same(peaksOf(built).levels, [0, 0, 0, 100, 0, 0]);
});

t.test('F26 the waveform of a long call has as many points as that of a short one', async (t) => {
  const timeline = builder();
  const minutes = 61;
  const { records } = generateCall({
    seed: 1,
    durationMs: minutes * 60_000,
    payloadBytes: 8,
    legs: [
      { ...PLAIN_LEG, frameSamples: 2880 },
      { ...PLAIN_LEG, frameSamples: 2880, ssrc: 2 },
    ],
  });
  for (const { leg, packet, monotonicUs } of records) {
    timeline.add(leg, packet, monotonicUs - MONOTONIC_START_US);
  }
  const { intervalMs, levels } = peaksOf(timeline.build());
  t.equal(intervalMs, 1_100);
  t.equal(levels.length, Math.ceil((minutes * 60_000) / 1_100) * 2);
  t.ok(
    levels.every((level) => level >= 77 && level <= 107),
    'and every one of them is as loud as its packets',
  );
});
