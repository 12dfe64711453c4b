import t from 'tap';
import { microphones } from '../test/browser.ts';
import { CALL_ID, callView, Refusal, signedIn, transports } from '../test/scripted-server.ts';
import type { SdkWindow } from '../test/sdk-page.ts';
import { attempt, event, openSdkStage } from '../test/sdk-page.ts';

/** Calls of one page: what it asks of the server, and what it makes of the answers. */

declare const window: SdkWindow;

type Building = 'media.open' | 'media.connect' | 'media.produce';

const { openConnected, openPage, script } = await openSdkStage(t);

t.test('F13 a refused microphone is a named error, and nobody was rung', async (t) => {
  const page = await openConnected(t, { microphone: false });
  t.equal(await attempt(page, 'startCall'), 'VerbatimClientError microphone_denied');
  t.notOk(script.requests.some(({ method }) => method === 'call.start'));
  t.equal(await page.evaluate(() => window.client.call), undefined, 'the next call may be tried');

  script.notify('call.incoming', { call: callView({ side: 'callee' }) });
  await event(page, 'incoming');
  t.equal(await attempt(page, 'accept'), 'VerbatimClientError microphone_denied');
  t.notOk(script.requests.some(({ method }) => method === 'call.accept'));
  t.equal(await page.evaluate(() => window.client.incoming?.callId), CALL_ID, 'it still rings');
});

t.test('F13 each way in which a microphone fails has its own name', async (t) => {
  const page = await openConnected(t);
  for (const [name, code] of [
    ['NotAllowedError', 'microphone_denied'],
    ['NotFoundError', 'microphone_missing'],
    ['OverconstrainedError', 'microphone_missing'],
    ['NotReadableError', 'microphone_busy'],
    ['SomethingNewError', 'microphone_busy'],
  ] as const) {
    await page.evaluate((name) => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name));
    }, name);
    t.equal(await attempt(page, 'startCall'), `VerbatimClientError ${code}`, name);
  }
});

t.test('a refused call is the server’s error, and the microphone is off', async (t) => {
  const page = await openConnected(t);
  for (const code of ['user_offline', 'user_busy', 'consent_required', 'not_a_direct_chat'] as const) {
    script.on('call.start', () => new Refusal(code));
    t.equal(await attempt(page, 'startCall'), `VerbatimClientError ${code}`);
  }
  t.strictSame(await microphones(page), ['ended', 'ended', 'ended', 'ended']);
});

t.test('a second call on the same page is refused without asking the server', async (t) => {
  const page = await openConnected(t);
  t.equal(await attempt(page, 'startCall'), 'ok');
  t.equal(await attempt(page, 'startCall'), 'VerbatimClientError already_in_call');
  t.equal(script.requests.filter(({ method }) => method === 'call.start').length, 1);
});

t.test('accepting opens the media without waiting for the answer', async (t) => {
  const page = await openConnected(t);
  script.on('call.accept', () => undefined);
  script.notify('call.incoming', { call: callView({ side: 'callee' }) });
  await event(page, 'incoming');
  // It is still waiting when the page goes.
  const accepting = attempt(page, 'accept').catch(() => 'gone');
  t.match(await script.next('call.accept'), { callId: CALL_ID });
  const { rtpCapabilities } = await script.next('media.open');
  t.match(rtpCapabilities, { codecs: [{ mimeType: 'audio/opus' }] });
  await page.evaluate(() => window.client.hangup());
  script.drop();
  t.equal(await accepting, 'VerbatimClientError call_over');
});

t.test('the caller opens the media while it still rings', async (t) => {
  const page = await openConnected(t);
  t.equal(await attempt(page, 'startCall'), 'ok');
  t.match(await script.next('media.open'), { callId: CALL_ID });
  t.match(await script.next('media.connect'), { direction: 'send', dtlsParameters: { fingerprints: [{}] } });
  const { rtpParameters } = await script.next('media.produce');
  t.match(rtpParameters, {
    codecs: [
      { mimeType: 'audio/opus', parameters: { usedtx: 1, useinbandfec: 1, ptime: 20, 'sprop-stereo': 0 } },
    ],
  });
});

t.test(
  'F16 a socket that breaks while the media is set up delays the call, and does not end it',
  async (t) => {
    const page = await openConnected(t);
    await script.next('session.start');
    const view = callView();
    script.on('call.start', () => view);
    script.on('session.start', () => signedIn({ call: view }));
    const answers = {
      'media.open': transports(),
      'media.connect': {},
      'media.produce': { producerId: 'p-1' },
    };
    const asked = { 'media.open': [], 'media.connect': [], 'media.produce': [] } as Record<
      Building,
      string[]
    >;
    const producedAgain = Promise.withResolvers<void>();
    for (const [method, answer] of Object.entries(answers)) {
      script.on(method as Building, (params) => {
        const words = asked[method as Building];
        words.push(JSON.stringify(params));
        if (words.length === 1) script.drop();
        else if (method === 'media.produce') producedAgain.resolve();
        return words.length === 1 ? undefined : answer;
      });
    }
    t.equal(await attempt(page, 'startCall'), 'ok');
    await producedAgain.promise;
    for (const [method, words] of Object.entries(asked)) {
      t.ok(words.length >= 2, `${method} is asked again`);
      t.equal(new Set(words).size, 1, 'in the same words');
    }
    t.match(await page.evaluate(() => window.client.call), { callId: CALL_ID });
    t.notOk(await page.evaluate(() => window.log.some(([name]) => name === 'ended')));
  },
);

for (const [how, arrived] of [
  ['was not answered', true],
  ['did not arrive', false],
] as const) {
  t.test(`F16 an accept that ${how}, because the socket broke, is said again`, async (t) => {
    const page = await openConnected(t);
    const view = callView({ side: 'callee' });
    script.notify('call.incoming', { call: view });
    await event(page, 'incoming');
    const accepted = callView({ side: 'callee', state: 'connecting' });
    script.on('session.start', () => signedIn(arrived ? { call: accepted } : { incoming: view }));
    let asked = 0;
    script.on('call.accept', () => {
      asked += 1;
      if (asked > 1) return accepted;
      script.drop();
      return undefined;
    });
    t.equal(await attempt(page, 'accept'), 'ok');
    t.equal(asked, 2);
    t.match(await page.evaluate(() => window.client.call), { state: 'connecting' });
    t.equal(await page.evaluate(() => window.client.incoming), undefined);
    const told = await page.evaluate(() => window.log.map(([name]) => name));
    t.notOk(told.includes('ended'), 'nobody is told that it is over');
    t.equal(told.filter((name) => name === 'incoming').length, 1, 'nor that it rings anew');
  });
}

t.test('F13 media that cannot be set up ends the call for both, with an error', async (t) => {
  const page = await openConnected(t);
  script.on('media.open', () => new Refusal('media_failed'));
  await attempt(page, 'startCall');
  t.match(await event(page, 'ended'), { call: { endReason: 'media_failed' }, error: {} });
  t.match(await script.next('call.cancel'), { callId: CALL_ID });
  t.strictSame(await microphones(page), ['ended']);
});

t.test('hanging up while a call is still being started takes it back', async (t) => {
  const page = await openConnected(t);
  let answer: (view: unknown) => void = () => {};
  script.on('call.start', () => new Promise((resolve) => (answer = resolve)));
  const starting = attempt(page, 'startCall');
  await script.next('call.start');
  await page.evaluate(() => window.client.hangup());
  t.strictSame(await microphones(page), ['ended']);
  answer(callView());
  t.match(await script.next('call.cancel'), { callId: CALL_ID });
  t.equal(await starting, 'VerbatimClientError call_over');
});

t.test('a cancel that comes after the accept becomes a hang-up', async (t) => {
  const page = await openConnected(t);
  await attempt(page, 'startCall');
  script.on('call.cancel', () => new Refusal('conflict'));
  await page.evaluate(() => window.client.hangup());
  t.match(await script.next('call.hangup'), { callId: CALL_ID });
  t.match(await event(page, 'ended'), { call: { endReason: 'cancelled' } });
});

t.test(
  'F8 muting is local and at once: the track stays live and is silent, and the other side is told',
  async (t) => {
    const page = await openConnected(t);
    await attempt(page, 'startCall');
    await page.evaluate(() => window.client.mute());
    t.match(await script.next('call.mute'), { callId: CALL_ID, muted: true });
    const track = (): Promise<unknown> =>
      page.evaluate(() => {
        const { micTracks } = window as unknown as { micTracks: MediaStreamTrack[] };
        return [micTracks[0]?.readyState, micTracks[0]?.enabled];
      });
    t.strictSame(await track(), ['live', false]);
    await page.evaluate(() => window.client.unmute());
    t.strictSame(await track(), ['live', true]);
    t.equal(await event(page, 'muted'), true);
  },
);

t.test('F16 after a loss the same device signs in again, and its call goes on', async (t) => {
  const page = await openConnected(t);
  const { device } = await script.next('session.start');
  await attempt(page, 'startCall');
  await script.next('media.produce');
  await page.evaluate(() => window.client.mute());
  await script.next('call.mute');
  script.on('session.start', () => signedIn({ call: callView({ state: 'active', recording: true }) }));
  script.drop();
  await event(page, 'connection', 'state', 'reconnecting');
  t.equal((await script.next('session.start')).device, device);
  await event(page, 'call', 'state', 'active');
  t.match(await script.next('call.mute'), { muted: true }, 'the other side is told again');
  t.strictSame(await microphones(page), ['live']);
  t.notOk(await page.evaluate(() => window.log.some(([name]) => name === 'ended')));
  t.equal(script.connections, 2);
});

t.test('F16 a page whose server does not come back ends its side after the grace period', async (t) => {
  const page = await openPage(t);
  await page.clock.install();
  script.on('session.start', () => signedIn({ graceMs: 60_000 }));
  await page.evaluate(() => window.client.connect());
  await attempt(page, 'startCall');
  await script.next('media.produce');
  script.on('session.start', () => undefined);
  script.drop();
  await event(page, 'connection', 'state', 'reconnecting');
  await page.clock.fastForward(45_000);
  t.strictSame(await microphones(page), ['live']);
  await page.clock.fastForward(20_000);
  t.match(await event(page, 'ended'), { call: { endReason: 'connection_lost' } });
  t.strictSame(await microphones(page), ['ended']);
});

t.test('F16 a call that this page knows nothing about, as after a reload, is hung up', async (t) => {
  script.on('session.start', () => signedIn({ call: callView({ state: 'active' }) }));
  await openConnected(t);
  t.match(await script.next('call.hangup'), { callId: CALL_ID });
});

t.test('a call that rang before the page was there rings, and stops when it is gone', async (t) => {
  script.on('session.start', () => signedIn({ incoming: callView({ side: 'callee' }) }));
  const page = await openConnected(t);
  t.match(await event(page, 'incoming'), { callId: CALL_ID });
  script.on('session.start', () => signedIn());
  script.drop();
  t.match(await event(page, 'ended'), { call: { callId: CALL_ID, endReason: 'connection_lost' } });
  t.equal(await page.evaluate(() => window.client.incoming), undefined);
});

t.test('F11 a call that was answered elsewhere stops ringing', async (t) => {
  const page = await openConnected(t);
  const call = callView({ side: 'callee' });
  script.notify('call.incoming', { call });
  await event(page, 'incoming');
  script.notify('call.ended', { call: { ...call, state: 'ended', endReason: 'answered_elsewhere' } });
  t.match(await event(page, 'ended'), { call: { endReason: 'answered_elsewhere' } });
  t.equal(await page.evaluate(() => window.client.incoming), undefined);
});

t.test('an answer that a notification overtook does not turn the call back', async (t) => {
  const page = await openConnected(t);
  script.on('call.start', () => {
    script.notify('call.changed', { call: callView({ state: 'connecting' }) });
    return callView({ state: 'ringing' });
  });
  t.equal(await attempt(page, 'startCall'), 'ok');
  t.equal(await page.evaluate(() => window.client.call?.state), 'connecting');
});
