import fc from 'fast-check';
import t from 'tap';
import { sequenceDelta, sequenceDeltaInTime, timestampDelta, unwrapTimestamp } from './wrap.ts';

t.test('sequence numbers are compared the shorter way round', async (t) => {
  for (const [from, to, delta] of [
    [0, 1, 1],
    [65_535, 0, 1],
    [0, 65_535, -1],
    [65_530, 5, 11],
    [5, 65_530, -11],
    [0, 0x7fff, 0x7fff],
    [0, 0x8000, -0x8000],
  ] as const) {
    t.equal(sequenceDelta(from, to), delta, `${from} to ${to}`);
  }
});

t.test('timestamps are compared the shorter way round', async (t) => {
  for (const [from, to, delta] of [
    [0, 960, 960],
    [0xffff_ffff, 0, 1],
    [0, 0xffff_ffff, -1],
    [0xffff_fc40, 0, 960],
    [0, 0x7fff_ffff, 0x7fff_ffff],
    [0, 0x8000_0000, -0x8000_0000],
  ] as const) {
    t.equal(timestampDelta(from, to), delta, `${from} to ${to}`);
  }
});

t.test('a sequence number past its half is forward when the timestamp went forward', async (t) => {
  for (const [from, to, passed, delta] of [
    [0, 40_000, 1, 40_000],
    [0, 40_000, -1, -25_536],
    [0, 40_000, 0, -25_536],
    [100, 90, 1, 65_526],
    [100, 90, -9_600, -10],
    [100, 110, 9_600, 10],
    [100, 110, -1, 10],
  ] as const) {
    t.equal(sequenceDeltaInTime(from, to, passed), delta, `${from} to ${to} in ${passed}`);
  }
});

t.test(
  'F21 an unwrapped timestamp keeps its low bits and lies next to its neighbour, after any number of wraps',
  async (t) => {
    let cases = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: -1_000_000, max: 2 ** 48 }),
        fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
        (neighbour, step) => {
          const modulo = 0x1_0000_0000;
          const timestamp = (((neighbour + step) % modulo) + modulo) % modulo;
          cases += 1;
          return unwrapTimestamp(neighbour, timestamp) === neighbour + step;
        },
      ),
    );
    t.equal(cases, 100);
  },
);
