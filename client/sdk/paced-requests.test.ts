import t from 'tap';
import { VerbatimClientError } from './errors.ts';
import { PacedRequests } from './paced-requests.ts';

/** A server that allows so many requests, and more with time, as the real one does. */
function allowance(burst: number, perSecond: number) {
  let left = burst;
  const timer = setInterval(() => {
    left = Math.min(burst, left + perSecond / 20);
  }, 50);
  const taken: string[] = [];
  return {
    taken,
    stop: () => clearInterval(timer),
    ask: (name: string) => async (): Promise<string> => {
      if (left < 1) throw new VerbatimClientError('rate_limited');
      left -= 1;
      taken.push(name);
      return name;
    },
  };
}

t.test('requests that came too fast are asked again, each once and in their order', async (t) => {
  const server = allowance(5, 20);
  t.teardown(server.stop);
  const paced = new PacedRequests();
  const names = Array.from({ length: 15 }, (_, index) => `request ${index}`);
  const answers = await Promise.all(names.map((name) => paced.request(server.ask(name))));
  t.strictSame(answers, names);
  t.strictSame(server.taken, names);
});

t.test('every other refusal is told at once', async (t) => {
  let asked = 0;
  const refused = new PacedRequests().request(async () => {
    asked += 1;
    throw new VerbatimClientError('user_busy');
  });
  await t.rejects(refused, { code: 'user_busy' });
  t.equal(asked, 1);
});

t.test('who is refused for ten seconds is told so', async (t) => {
  let nowMs = 1_000;
  t.intercept(performance, 'now', { value: () => nowMs });
  let asked = 0;
  const refused = new PacedRequests().request(async () => {
    asked += 1;
    nowMs += 6_000;
    throw new VerbatimClientError('rate_limited');
  });
  await t.rejects(refused, { code: 'rate_limited' });
  t.equal(asked, 2);
});

t.test('what waits is bounded', async (t) => {
  const paced = new PacedRequests();
  let open = false;
  const ask = async (): Promise<boolean> => {
    if (!open) throw new VerbatimClientError('rate_limited');
    return true;
  };
  const first = paced.request(ask);
  await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  const waiting = Array.from({ length: 99 }, () => paced.request(ask));
  await t.rejects(paced.request(ask), { code: 'rate_limited' });
  open = true;
  t.equal(await first, true);
  t.ok((await Promise.all(waiting)).every((answer) => answer));
});
