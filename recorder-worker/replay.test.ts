import fc from 'fast-check';
import t from 'tap';
import { ReplayWindow } from './replay.ts';

t.test('F34 a sequence number is taken once, in whatever order the numbers come', async (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 65_535 }),
      fc.array(fc.integer({ min: 0, max: 127 })),
      (start, steps) => {
        const window = new ReplayWindow();
        const seen = new Set<number>();
        for (const step of steps) {
          const sequence = (start + step) & 0xffff;
          if (window.admit(sequence) === seen.has(sequence)) return false;
          seen.add(sequence);
        }
        return true;
      },
    ),
  );
  t.pass('no counterexample');
});

t.test(
  'F34 a million packets in order are all taken, through every wrap of the sequence number',
  async (t) => {
    const window = new ReplayWindow();
    let refused = 0;
    for (let index = 0; index < 1_000_000; index += 1) if (!window.admit(index & 0xffff)) refused += 1;
    t.equal(refused, 0);
  },
);

t.test('F34 what lies far behind the newest packet is taken: refusing it could lose it', async (t) => {
  const window = new ReplayWindow();
  for (let sequence = 0; sequence < 2000; sequence += 1) window.admit(sequence);
  t.equal(window.admit(10), true);
  t.equal(window.admit(1999), false);
});
