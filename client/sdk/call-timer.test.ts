import type { Page } from 'playwright-core';
import t from 'tap';
import { callView, signedIn } from '../test/scripted-server.ts';
import type { SdkWindow } from '../test/sdk-page.ts';
import { attempt, openSdkStage } from '../test/sdk-page.ts';

/** The seconds that a page is told, on a clock that the test moves. */

declare const window: SdkWindow;

const { openPage, script } = await openSdkStage(t);

const SERVER_TIME = Date.parse('2026-03-01T10:00:00.000Z');

/** In a call that is active for so long at least; from then on time passes only as the test says. */
async function activeSince(page: Page, ms: number): Promise<void> {
  await page.clock.install();
  script.on('session.start', () => signedIn({ serverTime: new Date(SERVER_TIME).toISOString() }));
  await page.evaluate(() => window.client.connect());
  await attempt(page, 'startCall');
  // Less than the heartbeat and the requests on their way wait for their answers, which come in real time.
  await page.clock.pauseAt(await page.evaluate(() => Date.now() + 3_000));
  const activeAt = new Date(SERVER_TIME - ms).toISOString();
  script.notify('call.changed', { call: callView({ state: 'active', activeAt }) });
  // Asked from outside, because the page's own waiting stands still with its clock.
  const deadline = Date.now() + 30_000;
  while ((await page.evaluate(() => window.client.call?.state)) !== 'active') {
    if (Date.now() > deadline) throw new Error('the call did not become active');
  }
}

const seconds = (page: Page): Promise<number[]> =>
  page.evaluate(() =>
    window.log.flatMap(([name, payload]) =>
      name === 'timer' ? [(payload as { seconds: number }).seconds] : [],
    ),
  );

t.test('F7 the seconds are told as they begin, by the server’s clock, each once', async (t) => {
  const page = await openPage(t);
  await activeSince(page, 61_500);
  await page.clock.runFor(1);
  const [first = Number.NaN] = await seconds(page);
  t.equal(first, Math.floor((await page.evaluate(() => window.client.durationMs)) / 1000));
  t.ok(first >= 61, `the first is ${first}`);
  await page.clock.runFor(3_000);
  const told = await seconds(page);
  t.strictSame(
    told,
    Array.from({ length: 4 }, (_, index) => first + index),
  );
  const exact = await page.evaluate(() => window.client.durationMs);
  t.equal(Math.floor(exact / 1000), told.at(-1), 'the same as durationMs says');
});

t.test('F7 a page whose timers were held for a while skips, and is right again at once', async (t) => {
  const page = await openPage(t);
  await activeSince(page, 0);
  await page.clock.runFor(1);
  await page.clock.fastForward(125_000);
  await page.clock.runFor(1_000);
  const told = await seconds(page);
  t.ok(told.length <= 4, `${told.length} events for 126 seconds`);
  t.equal(told.at(-1), Math.floor((await page.evaluate(() => window.client.durationMs)) / 1000));
  t.ok((told.at(-1) ?? 0) >= 126);
});

t.test('F7 a machine whose clock is set does not move the time of the call', async (t) => {
  const page = await openPage(t);
  await activeSince(page, 10_000);
  await page.clock.runFor(1);
  const [first = 0] = await seconds(page);
  await page.clock.setSystemTime(new Date(Date.now() + 86_400_000));
  await page.clock.runFor(2_000);
  t.strictSame(await seconds(page), [first, first + 1, first + 2]);
});

t.test('F7 when the call is over, no more seconds are told', async (t) => {
  const page = await openPage(t);
  await activeSince(page, 0);
  await page.clock.runFor(1_500);
  await page.evaluate(() => window.client.hangup());
  const told = await seconds(page);
  await page.clock.runFor(5_000);
  t.strictSame(await seconds(page), told);
  t.ok(told.length > 0);
});
