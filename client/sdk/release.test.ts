import type { Page } from 'playwright-core';
import t from 'tap';
import { microphones } from '../test/browser.ts';
import { CALL_ID, callView, Refusal, signedIn } from '../test/scripted-server.ts';
import type { SdkWindow } from '../test/sdk-page.ts';
import { attempt, event, openSdkStage } from '../test/sdk-page.ts';

/** The microphone is never on when there is no call. */

declare const window: SdkWindow;

const { openConnected, script } = await openSdkStage(t);

t.test('the microphone is released whatever ends the call', async (t) => {
  const ends: [name: string, end: (page: Page) => unknown, reason: string][] = [
    ['hanging up', (page) => page.evaluate(() => window.client.hangup()), 'hangup'],
    [
      'the server says so',
      () =>
        script.notify('call.ended', {
          call: callView({ state: 'ended', endReason: 'recorder_unavailable' }),
        }),
      'recorder_unavailable',
    ],
    ['the client is closed', (page) => page.evaluate(() => window.client.close()), 'hangup'],
    ['the connection is closed for good', () => script.shut('replaced'), 'connection_lost'],
    [
      'the call is gone when the device comes back',
      () => {
        script.on('session.start', () => signedIn());
        script.drop();
      },
      'connection_lost',
    ],
    [
      'the media cannot be opened',
      (page) => {
        script.on('media.open', () => new Refusal('media_failed'));
        return page.evaluate(() => window.client.hangup());
      },
      'hangup',
    ],
  ];
  for (const [name, end, reason] of ends) {
    t.test(`${name}: ${reason}`, async (t) => {
      script.reset();
      const page = await openConnected(t);
      await attempt(page, 'startCall');
      script.notify('call.changed', { call: callView({ state: 'connecting' }) });
      await event(page, 'call', 'state', 'connecting');
      t.strictSame(await microphones(page), ['live']);
      await end(page);
      t.match(await event(page, 'ended'), { call: { callId: CALL_ID, state: 'ended', endReason: reason } });
      t.strictSame(await microphones(page), ['ended']);
      t.equal(await page.evaluate(() => window.client.call), undefined);
      t.equal(
        await page.evaluate(() => window.log.filter(([name]) => name === 'ended').length),
        1,
        'told once',
      );
    });
  }
});

t.test('a call that dies while the microphone is being opened leaves no microphone on', async (t) => {
  const page = await openConnected(t);
  await page.evaluate(() => {
    window.micGate.gate = new Promise((resolve) => {
      window.openGate = resolve;
    });
  });
  script.notify('call.incoming', { call: callView({ side: 'callee' }) });
  await event(page, 'incoming');
  const accepting = attempt(page, 'accept');
  await script.next('call.accept');
  script.notify('call.ended', { call: callView({ side: 'callee', state: 'ended', endReason: 'cancelled' }) });
  t.match(await event(page, 'ended'), { call: { endReason: 'cancelled' } });
  t.equal(await accepting, 'ok', 'it was accepted before it was cancelled');
  await page.evaluate(() => window.openGate());
  await page.waitForFunction(() => (window as unknown as { micTracks: unknown[] }).micTracks.length === 1);
  t.strictSame(await microphones(page), ['ended']);
});
