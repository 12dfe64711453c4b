import t from 'tap';
import { RecorderClocks } from './recorder-clocks.ts';

const NOW = Date.UTC(2026, 0, 1);
const HOUR = 3_600_000;

/** Which heartbeats of one recorder count; each is [sent by its clock, arrived by ours], ms from the start. */
function heard(beats: readonly (readonly [number, number])[], clocks = new RecorderClocks()): boolean[] {
  return beats.map(([atMs, arrivedMs]) =>
    clocks.isFresh('r', NOW + atMs, 5_000 + arrivedMs, NOW + arrivedMs),
  );
}

/** One each half second, by a clock that is off by so much. */
const beating = (offMs: number) => [0, 1, 2, 3, 4, 5].map((n) => [n * 500 + offMs, n * 500 + 3] as const);

for (const offMs of [-HOUR, -2_500, 2_500, HOUR])
  t.test(
    `F34 a recorder whose clock is off by ${offMs} ms is heard from its second heartbeat on`,
    async (t) => {
      t.same(heard(beating(offMs)), [false, true, true, true, true, true]);
    },
  );

t.test('a recorder whose clock is right is heard at once', async (t) => {
  t.same(heard(beating(0)), [true, true, true, true, true, true]);
  t.same(heard([[0, 1_900]]), [true]);
});

t.test('heartbeats of a recorder that is gone do not count, whatever its clock said', async (t) => {
  for (const offMs of [-HOUR, HOUR]) {
    const left = [0, 1, 2, 3].map((n) => [n * 500 + offMs, n] as const);
    t.same(heard(left), [false, false, false, false], 'all at once');
    t.same(
      heard([...beating(offMs), [3_000 + offMs, 13_000]]).at(-1),
      false,
      'one that was stuck on its way',
    );
  }
});

t.test('after a clock was set, and after a stall on the way, heartbeats count again', async (t) => {
  const clocks = new RecorderClocks();
  t.same(heard([...beating(-HOUR), [3_000, 3_000], [0, 3_500], [500, 4_000]], clocks).slice(6), [
    true,
    false,
    true,
  ]);
  const sent = [0, 500, 1_000, 1_500, 2_000, 2_500, 3_000];
  const arrived = [0, 500, 2_400, 2_401, 2_402, 2_503, 3_003];
  const stalled = sent.map((atMs, n) => [atMs - HOUR, arrived[n] ?? 0] as const);
  t.same(heard(stalled), [false, true, true, false, false, false, true]);
});

t.test('recorders are told apart, and the list of them is bounded', async (t) => {
  const clocks = new RecorderClocks();
  t.equal(clocks.isFresh('a', NOW - HOUR, 0, NOW), false);
  t.equal(
    clocks.isFresh('b', NOW - HOUR + 500, 500, NOW + 500),
    false,
    'the first of b, not the second of a',
  );
  for (let n = 0; n < 600; n += 1) clocks.isFresh(`r${n}`, NOW - HOUR, 0, NOW);
  t.equal(
    clocks.isFresh('a', NOW - HOUR + 1_000, 1_000, NOW + 1_000),
    false,
    'a was forgotten: it begins anew',
  );
});
