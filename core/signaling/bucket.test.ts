import fc from 'fast-check';
import t from 'tap';
import { TokenBucket } from './bucket.ts';

t.test('a burst fits, the next does not, and time gives back what the rate says', async (t) => {
  let nowMs = 1_000;
  const bucket = new TokenBucket(3, 2, () => nowMs);
  t.strictSame([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [true, true, true, false]);
  nowMs += 499;
  t.notOk(bucket.take());
  nowMs += 1;
  t.ok(bucket.take());
  nowMs += 60_000;
  t.strictSame(
    [bucket.take(), bucket.take(), bucket.take(), bucket.take()],
    [true, true, true, false],
    'no more than a burst',
  );
});

t.test('whatever the clock does, no more gets through than the burst and the rate allow', async (t) => {
  const steps = fc.array(fc.integer({ min: -2_000, max: 2_000 }), { maxLength: 300 });
  fc.assert(
    fc.property(steps, (stepsMs) => {
      let nowMs = 0;
      let forwardMs = 0;
      let taken = 0;
      const bucket = new TokenBucket(5, 4, () => nowMs);
      for (const stepMs of stepsMs) {
        nowMs += stepMs;
        forwardMs += Math.max(0, stepMs);
        if (bucket.take()) taken += 1;
      }
      return taken <= 5 + (forwardMs * 4) / 1000;
    }),
    { seed: 7 },
  );
  t.pass();
});
