import t from 'tap';
import { Gate } from './gate.ts';

t.test('only so many run at once, some wait in their order, and the rest is refused', async (t) => {
  const gate = new Gate({ atOnce: 2, waiting: 2 });
  const order: number[] = [];
  const jobs = [0, 1, 2, 3].map((n) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const done = gate.run(() => {
      order.push(n);
      return promise;
    });
    return { done, resolve, reject };
  });
  t.same(order, [0, 1]);
  await t.rejects(
    gate.run(async () => 9),
    { code: 'unavailable' },
  );
  jobs[1]?.reject(new Error('one that fails gives its place back'));
  await t.rejects(jobs[1]?.done ?? Promise.resolve(1));
  t.same(order, [0, 1, 2]);
  for (const [n, { resolve }] of jobs.entries()) resolve(n);
  t.same(await Promise.all([0, 2, 3].map((n) => jobs[n]?.done)), [0, 2, 3]);
  t.same(order, [0, 1, 2, 3]);
  t.equal(await gate.run(async () => 9), 9, 'and all places are free again');
});
