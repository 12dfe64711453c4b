import t from 'tap';
import { Spans } from './spans.ts';

t.test('F31 bytes that were handed out twice are covered once, in whatever order they went', async (t) => {
  const spans = new Spans();
  for (const [start, end] of [
    [10, 20],
    [30, 40],
    [0, 5],
    [15, 30],
    [39, 45],
    [5, 6],
  ] as const)
    spans.add(start, end);
  t.equal(spans.bytes, 6 + 35);
});

t.test('F31 covered bytes are those of a naive count, for many random ranges', async (t) => {
  const spans = new Spans(1_000);
  const bytes = new Set<number>();
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let turn = 0; turn < 500; turn += 1) {
    const start = random(5_000);
    const end = start + 1 + random(20);
    spans.add(start, end);
    for (let at = start; at < end; at += 1) bytes.add(at);
  }
  t.equal(spans.bytes, bytes.size);
});

t.test('F31 a thousand scattered ranges are kept as a few, the nearest of them joined', async (t) => {
  const spans = new Spans(2);
  spans.add(0, 10);
  spans.add(100, 110);
  spans.add(112, 120);
  t.equal(spans.bytes, 10 + 20);
});
