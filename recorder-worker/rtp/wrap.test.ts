import fc from 'fast-check';
import t from 'tap';
import { sequenceDelta, timestampDelta, unwrapSequence, unwrapTimestamp } from './wrap.ts';

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

t.test(
  'F21 an unwrapped number keeps its low bits and lies next to its neighbour, after any number of wraps',
  async () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1_000_000, max: 2 ** 48 }),
        fc.integer({ min: -0x8000, max: 0x7fff }),
        fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
        (neighbour, sequenceStep, timestampStep) => {
          const modulo = (value: number, of: number) => ((value % of) + of) % of;
          const sequence = modulo(neighbour + sequenceStep, 0x1_0000);
          const timestamp = modulo(neighbour + timestampStep, 0x1_0000_0000);
          return (
            unwrapSequence(neighbour, sequence) === neighbour + sequenceStep &&
            unwrapTimestamp(neighbour, timestamp) === neighbour + timestampStep
          );
        },
      ),
    );
  },
);
