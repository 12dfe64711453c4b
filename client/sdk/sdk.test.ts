import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import { builtClient, launch, microphones, newPage } from '../test/browser.ts';
import { CALL_ID, callView, DISCLOSURE, Refusal, signedIn, startScript } from '../test/scripted-server.ts';
import type { ClientEvents, VerbatimClient } from './index.ts';

/** The SDK as messengers load it, in a real browser, against a server that says what each test needs. */

declare const window: {
  client: VerbatimClient;
  log: [keyof ClientEvents, unknown][];
  tokens: number;
  micGate: { gate?: Promise<void> };
  openGate: () => void;
};

// A browser page for each; the machine may be busy.
t.setTimeout(120_000);
const client = await builtClient();
const script = await startScript(client.dir);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});
t.beforeEach(() => script.reset());

/** A page with `window.client`, not connected yet, and `window.log` of all its events. */
async function openPage(
  t: Test,
  options: { token?: string; renewable?: boolean; microphone?: boolean; url?: string } = {},
): Promise<Page> {
  const { page, errors, close } = await newPage(browser, options.url ?? script.url, options);
  t.teardown(async () => {
    await close();
    // Assertions are over by now; a throw fails the test all the same.
    if (errors.length > 0) throw new Error(`the page reported ${errors.join('; ')}`);
  });
  await page.evaluate(
    async ({ url, renewable }) => {
      const { VerbatimClient } = await import(`${url}/sdk/verbatim.js`);
      window.tokens = 0;
      window.log = [];
      const getToken = async (): Promise<string> => {
        window.tokens += 1;
        return `token-${window.tokens}`;
      };
      window.client = new VerbatimClient({ url, ...(renewable ? { getToken } : { token: 'token' }) });
      for (const name of [
        'connection',
        'call',
        'incoming',
        'ended',
        'muted',
        'recording',
        'trouble',
      ] as const) {
        window.client.on(name, (payload) => window.log.push([name, payload]));
      }
    },
    { url: options.url ?? script.url, renewable: options.renewable ?? false },
  );
  return page;
}

async function openConnected(t: Test, options: Parameters<typeof openPage>[1] = {}): Promise<Page> {
  const page = await openPage(t, options);
  await page.evaluate(() => window.client.connect());
  return page;
}

/** `ok`, or the code of the error. */
function attempt(page: Page, act: 'startCall' | 'accept' | 'connect' | 'disclosure'): Promise<string> {
  return page.evaluate(async (what) => {
    const { client } = window;
    try {
      if (what === 'startCall') await client.startCall({ chatId: 'chat-1', mode: 'secure' });
      else if (what === 'accept') await client.accept();
      else if (what === 'connect') await client.connect();
      else await client.disclosure();
      return 'ok';
    } catch (error) {
      return `${(error as { name: string }).name} ${(error as { code: string }).code}`;
    }
  }, act);
}

/** The payload of the first event of this name that fits, past or future. */
async function event(page: Page, name: keyof ClientEvents, key?: string, value?: unknown): Promise<unknown> {
  const handle = await page.waitForFunction(
    ([name, key, value]) => {
      const fits = (payload: unknown): boolean =>
        key === undefined ||
        (typeof payload === 'object' &&
          payload !== null &&
          (payload as Record<string, unknown>)[key] === value);
      const found = window.log.find(([event, payload]) => event === name && fits(payload));
      return found && { payload: found[1] };
    },
    [name, key, value] as const,
  );
  return (await handle.jsonValue())?.payload;
}

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

t.test('a refused call is the server’s error, and the microphone is off', async (t) => {
  const page = await openConnected(t);
  for (const code of ['user_offline', 'user_busy', 'consent_required', 'not_a_direct_chat'] as const) {
    script.on('call.start', () => new Refusal(code));
    t.equal(await attempt(page, 'startCall'), `VerbatimClientError ${code}`);
  }
  t.strictSame(await microphones(page), ['ended', 'ended', 'ended', 'ended']);
});

t.test('F4 the disclosure is given out only when its text matches its hash', async (t) => {
  const page = await openConnected(t);
  t.equal(await attempt(page, 'disclosure'), 'ok');
  script.on('disclosure.get', () => ({ ...DISCLOSURE, text: 'This call is not recorded.' }));
  t.equal(await attempt(page, 'disclosure'), 'VerbatimClientError corrupt');
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

t.test('F13 media that cannot be set up ends the call for both, with an error', async (t) => {
  const page = await openConnected(t);
  script.on('media.open', () => new Refusal('media_failed'));
  await attempt(page, 'startCall');
  t.match(await event(page, 'ended'), { call: { endReason: 'media_failed' }, error: {} });
  t.match(await script.next('call.cancel'), { callId: CALL_ID });
  t.strictSame(await microphones(page), ['ended']);
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
  script.on('session.start', () => signedIn({ graceMs: 5_000 }));
  await page.evaluate(() => window.client.connect());
  await attempt(page, 'startCall');
  await script.next('media.produce');
  script.on('session.start', () => undefined);
  script.drop();
  await event(page, 'connection', 'state', 'reconnecting');
  await page.clock.fastForward(7_000);
  t.strictSame(await microphones(page), ['live']);
  await page.clock.fastForward(2_000);
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
  await page.clock.fastForward(539_000);
  t.equal(await page.evaluate(() => window.tokens), 1);
  await page.clock.fastForward(1_500);
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

t.test(
  'F24 the list of recordings is fetched with the token, and again with a fresh one when that ran out',
  async (t) => {
    const page = await openConnected(t, { renewable: true });
    const tokens: unknown[] = [];
    script.route('GET /v1/chats/chat-1/recordings', (token) => {
      tokens.push(token);
      return token === 'token-1'
        ? { status: 401, body: { code: 'token_expired', detail: 'The token has expired' } }
        : { status: 200, body: { recordings: [] } };
    });
    t.strictSame(await page.evaluate(() => window.client.listRecordings('chat-1')), { recordings: [] });
    t.strictSame(tokens, ['token-1', 'token-2']);
  },
);

t.test('F25 a playback address is made absolute, and its refusal is a named error', async (t) => {
  const page = await openConnected(t);
  script.route('POST /v1/recordings/rec-1/grants', () => ({
    status: 201,
    body: { url: '/media/g1?e=1&s=x' },
  }));
  t.equal(await page.evaluate(() => window.client.playbackUrl('rec-1')), `${script.url}/media/g1?e=1&s=x`);
  script.route('POST /v1/recordings/rec-2/grants', () => ({
    status: 409,
    body: { code: 'recording_not_ready', detail: 'The recording is not available yet' },
  }));
  const code = await page.evaluate(() =>
    window.client.playbackUrl('rec-2').catch((error: { code: string }) => error.code),
  );
  t.equal(code, 'recording_not_ready');
});
