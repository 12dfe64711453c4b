import t from 'tap';
import { microphones } from '../test/browser.ts';
import { DISCLOSURE, Refusal, signedIn } from '../test/scripted-server.ts';
import type { SdkWindow } from '../test/sdk-page.ts';
import { attempt, event, openSdkStage } from '../test/sdk-page.ts';

/** Signing in, staying signed in, and going. */

declare const window: SdkWindow;

const { openConnected, openPage, script } = await openSdkStage(t);

t.test('the first message is the token, and connecting ends with who one is', async (t) => {
  const page = await openConnected(t);
  const { token, device } = await script.next('session.start');
  t.equal(token, 'token');
  t.match(device, /^[A-Za-z0-9_-]{8,64}$/);
  t.equal(await page.evaluate(() => window.client.userId), 'alice');
  t.strictSame(
    [...(await page.evaluate(async () => [...(await window.client.presence(['bob', 'eve']))]))],
    ['bob'],
  );
});

t.test('F17 a page without HTTPS is told so', async (t) => {
  const page = await openConnected(t, { url: `http://verbatim.test:${script.port}`, microphone: false });
  t.equal(await attempt(page, 'startCall'), 'VerbatimClientError insecure_page');
  t.equal(await attempt(page, 'disclosure'), 'VerbatimClientError insecure_page');
});

t.test('F17 a browser without WebRTC is told so', async (t) => {
  const page = await openConnected(t);
  await page.evaluate(() => Object.assign(globalThis, { RTCPeerConnection: undefined }));
  t.equal(await attempt(page, 'startCall'), 'VerbatimClientError webrtc_unsupported');
});

t.test('F4 the disclosure is given out only when its text matches its hash', async (t) => {
  const page = await openConnected(t);
  t.equal(await attempt(page, 'disclosure'), 'ok');
  script.on('disclosure.get', () => ({ ...DISCLOSURE, text: 'This call is not recorded.' }));
  t.equal(await attempt(page, 'disclosure'), 'VerbatimClientError corrupt');
});

t.test('F16 a server that falls silent is noticed, and the socket replaced', async (t) => {
  const page = await openPage(t);
  await page.clock.install();
  await page.evaluate(() => window.client.connect());
  await script.next('session.start');
  script.on('session.ping', () => undefined);
  await page.clock.runFor(5_000);
  await script.next('session.ping');
  await page.clock.runFor(4_100);
  await event(page, 'connection', 'state', 'reconnecting');
  await page.clock.runFor(1_000);
  await script.next('session.start');
  t.equal(script.connections, 2);
});

t.test('the token is renewed on the open socket before it runs out', async (t) => {
  const page = await openPage(t, { renewable: true });
  await page.clock.install();
  script.on('session.start', () => {
    const now = Date.now();
    return signedIn({
      serverTime: new Date(now).toISOString(),
      tokenExpiresAt: new Date(now + 600_000).toISOString(),
    });
  });
  await page.evaluate(() => window.client.connect());
  t.equal((await script.next('session.start')).token, 'token-1');
  // Half a minute of room on both sides: a busy machine takes its time, and this clock runs on.
  await page.clock.fastForward(510_000);
  t.equal(await page.evaluate(() => window.tokens), 1);
  await page.clock.fastForward(60_000);
  t.equal((await script.next('session.start')).token, 'token-2');
  t.equal(script.connections, 1);
});

t.test('refusals', async (t) => {
  const table: [name: string, refusal: string[], renewable: boolean, result: string, tries: number][] = [
    ['a bad token', ['unauthorized'], false, 'VerbatimClientError unauthorized', 1],
    ['a token that ran out', ['token_expired'], false, 'VerbatimClientError token_expired', 1],
    ['a first token that ran out, with more to come', ['token_expired'], true, 'ok', 2],
    ['two bad tokens', ['unauthorized', 'unauthorized'], true, 'VerbatimClientError unauthorized', 2],
    ['a foreign origin', ['origin_refused'], true, 'VerbatimClientError origin_refused', 1],
    ['a server that is busy at first', ['unavailable', 'unavailable'], false, 'ok', 3],
  ];
  for (const [name, refusals, renewable, result, tries] of table) {
    t.test(`${name}: ${result} after ${tries}`, async (t) => {
      script.reset();
      const left = [...refusals];
      script.on('session.start', () => {
        const code = left.shift();
        return code === undefined ? signedIn() : new Refusal(code as Refusal['code']);
      });
      const page = await openPage(t, { renewable });
      t.equal(await attempt(page, 'connect'), result);
      t.equal(script.requests.length, tries);
      t.equal(await page.evaluate(() => window.client.state), result === 'ok' ? 'online' : 'closed');
    });
  }
});

t.test('a connection that another one replaced does not come back by itself', async (t) => {
  const page = await openConnected(t);
  script.shut('replaced');
  t.match(await event(page, 'connection', 'state', 'closed'), { error: {} });
  t.equal(await attempt(page, 'connect'), 'VerbatimClientError client_closed');
  t.equal(script.connections, 1);
});

t.test('a page that goes signs off, so that nobody waits for it', async (t) => {
  const page = await openConnected(t);
  await page.goto('about:blank');
  t.strictSame(await script.next('session.end'), {});
});

t.test('F16 a hang-up that came too fast is asked again until it is taken', async (t) => {
  const page = await openConnected(t);
  await attempt(page, 'startCall');
  let refusals = 2;
  script.on('call.cancel', () => (refusals-- > 0 ? new Refusal('rate_limited') : {}));
  await page.evaluate(() => window.client.hangup());
  t.equal(script.requests.filter(({ method }) => method === 'call.cancel').length, 3);
});

t.test(
  'F16 a page that the browser puts aside hangs up and signs off, and comes back when shown',
  async (t) => {
    const page = await openConnected(t);
    const { device } = await script.next('session.start');
    await attempt(page, 'startCall');
    await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true })));
    await script.next('session.end');
    t.match(await event(page, 'ended'), { call: { endReason: 'hangup' } });
    t.strictSame(await microphones(page), ['ended']);
    t.equal(await page.evaluate(() => window.client.state), 'reconnecting');
    t.equal(script.connections, 1, 'not before');
    await page.evaluate(() => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })));
    t.equal((await script.next('session.start')).device, device);
    await page.waitForFunction(() => window.client.state === 'online');
    t.equal(await attempt(page, 'startCall'), 'ok');
  },
);
