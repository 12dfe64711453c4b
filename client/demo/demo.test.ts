import type { Locator, Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import type { CallView } from '#protocol';
import { builtClient, launch, newPage } from '../test/browser.ts';
import { CALL_ID, callView, DISCLOSURE, Refusal, signedIn, startScript } from '../test/scripted-server.ts';

/** The demo page, built, in a real browser, against a server that says what each test needs. */

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

const CONSENT = {
  disclosureSha256: DISCLOSURE.sha256,
  disclosureVersion: DISCLOSURE.version,
  locale: DISCLOSURE.locale,
};

type Part = (testid: string) => Locator;

/** The demo as Alice, online. */
async function openDemo(
  t: Test,
  options: { recordings?: object[]; microphone?: boolean; intervals?: boolean; online?: string[] } = {},
): Promise<{ page: Page; part: Part; text: (testid: string, pattern: string | RegExp) => Promise<void> }> {
  script.reset();
  script.route('POST /demo/token', () => ({
    status: 200,
    body: {
      token: 'token',
      userId: 'alice',
      name: 'Alice',
      chatId: 'chat-1',
      peer: { userId: 'bob', name: 'Bob' },
    },
  }));
  script.route('GET /v1/chats/chat-1/recordings', () => ({
    status: 200,
    body: { recordings: options.recordings ?? [] },
  }));
  script.on('presence.get', () => ({ online: options.online ?? ['bob'] }));
  const { page, errors, close } = await newPage(browser, `${script.url}/demo/?as=alice`, options);
  t.teardown(async () => {
    await close();
    // Assertions are over by now; a throw fails the test all the same.
    if (errors.length > 0) throw new Error(`the page reported ${errors.join('; ')}`);
  });
  const part: Part = (testid) => page.getByTestId(testid);
  await page.locator('[data-testid=connection][data-state=online]').waitFor();
  const text = async (testid: string, pattern: string | RegExp): Promise<void> => {
    await part(testid).filter({ hasText: pattern }).waitFor();
    t.pass(`${testid}: ${pattern}`);
  };
  return { page, part, text };
}

const incoming = (changes: Partial<CallView> = {}): CallView => callView({ side: 'callee', ...changes });

t.test('without a name the page asks as whom', async (t) => {
  script.reset();
  const { page, close } = await newPage(browser, `${script.url}/demo/`);
  t.teardown(close);
  await page.getByTestId('choose').waitFor();
  t.strictSame(await page.getByRole('link').allInnerTexts(), ['I am Alice', 'I am Bob']);
  t.equal(script.connections, 0);
});

t.test('F3 the phone icon opens a menu of two', async (t) => {
  const { page, part } = await openDemo(t);
  t.notOk(await part('call-menu').isVisible());
  await part('call-menu-button').click();
  t.strictSame(await part('call-menu').getByRole('menuitem').allInnerTexts(), [
    'Voice call',
    'Secure call (recorded)',
  ]);
  await page.mouse.click(5, 300);
  t.notOk(await part('call-menu').isVisible(), 'a click elsewhere closes it');
});

t.test('F4 a voice call starts at once, without consent', async (t) => {
  const { part, text } = await openDemo(t);
  script.on('call.start', () => callView({ mode: 'voice' }));
  await part('call-menu-button').click();
  await part('call-voice').click();
  t.strictSame(await script.next('call.start'), { chatId: 'chat-1', mode: 'voice' });
  await text('call-status', 'Calling…');
  await text('call-peer', 'Bob');
});

t.test('F4 a secure call first shows the disclosure text, and names exactly that text', async (t) => {
  const { part } = await openDemo(t);
  await part('call-menu-button').click();
  await part('call-secure').click();
  await part('consent-dialog').waitFor();
  t.equal(await part('consent-text').innerText(), DISCLOSURE.text);
  await part('consent-cancel').click();
  t.notOk(
    script.requests.some(({ method }) => method === 'call.start'),
    'nothing was started',
  );
  await part('call-menu-button').click();
  await part('call-secure').click();
  await part('consent-confirm').click();
  t.strictSame(await script.next('call.start'), { chatId: 'chat-1', mode: 'secure', consent: CONSENT });
});

t.test('F5 an incoming secure call shows the text, and cannot be accepted before', async (t) => {
  const { part } = await openDemo(t);
  let answer: (disclosure: unknown) => void = () => {};
  script.on('disclosure.get', () => new Promise((resolve) => (answer = resolve)));
  script.notify('call.incoming', { call: incoming() });
  await part('incoming-dialog').waitFor();
  t.equal(await part('incoming-title').innerText(), 'Incoming secure call');
  await script.next('disclosure.get');
  t.ok(await part('incoming-accept').isDisabled());
  answer(DISCLOSURE);
  await part('incoming-disclosure').filter({ hasText: DISCLOSURE.text }).waitFor();
  await part('incoming-accept').click();
  t.strictSame(await script.next('call.accept'), { callId: CALL_ID, consent: CONSENT });
});

t.test('F5 an incoming voice call shows no text and is accepted without consent', async (t) => {
  const { part } = await openDemo(t);
  script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
  await part('incoming-dialog').waitFor();
  t.equal(await part('incoming-title').innerText(), 'Incoming call');
  t.notOk(await part('incoming-disclosure').isVisible());
  await part('incoming-accept').click();
  t.strictSame(await script.next('call.accept'), { callId: CALL_ID });
});

t.test(
  'the peer is online from the moment that their call rings, whatever the answer before was',
  async (t) => {
    const { part, text } = await openDemo(t, { online: [], intervals: false });
    await script.next('presence.get');
    await text('peer-presence', 'offline');
    // Asked again at once; this answer never comes, so it is the call that says it.
    script.on('presence.get', () => undefined);
    script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
    t.strictSame(await script.next('presence.get'), { userIds: ['bob'] });
    await text('peer-presence', 'online');
    t.equal(await part('peer-presence').getAttribute('data-online'), 'true');
  },
);

t.test('in a call the peer stays online, and when it is over presence is asked at once', async (t) => {
  const { text, part } = await openDemo(t, { online: [], intervals: false });
  script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
  await part('incoming-accept').click();
  await text('call-status', 'Connecting…');
  // The answers say offline all the while.
  await text('peer-presence', 'online');
  script.notify('call.ended', { call: incoming({ mode: 'voice', state: 'ended', endReason: 'hangup' }) });
  await text('peer-presence', 'offline');
});

t.test(
  'a call that rings the peer says nothing about them: presence is asked, and shown as answered',
  async (t) => {
    const { text, part } = await openDemo(t, { online: [], intervals: false });
    await script.next('presence.get');
    await text('peer-presence', 'offline');
    await part('call-menu-button').click();
    await part('call-voice').click();
    await text('call-status', 'Calling…');
    await script.next('presence.get');
    await text('peer-presence', 'offline');
    script.on('presence.get', () => ({ online: ['bob'] }));
    script.notify('call.ended', { call: callView({ mode: 'voice', state: 'ended', endReason: 'declined' }) });
    await text('peer-presence', 'online');
  },
);

t.test('F7 F9 the popup shows each state, the timer and the Recording badge', async (t) => {
  const { page, part, text } = await openDemo(t);
  script.notify('call.incoming', { call: incoming() });
  await part('incoming-accept').click();
  await text('call-status', 'Connecting…');
  t.notOk(await part('call-timer').isVisible());
  t.notOk(await part('recording-badge').isVisible(), 'not before audio of both is stored');
  const activeAt = new Date(Date.now() - 65_000).toISOString();
  const active = incoming({ state: 'active', recording: true, activeAt });
  script.notify('call.changed', { call: active });
  await text('call-status', 'Recording');
  await part('recording-badge').waitFor();
  await text('call-timer', /^01:0\d$/);
  script.notify('call.changed', { call: { ...active, peerMuted: true } });
  await part('call-peer-muted').waitFor();
  script.notify('call.changed', { call: { ...active, recording: false } });
  await text('call-status', 'Recording interrupted');
  await text('call-interrupted', 'neither side hears the other until it is secured again');
  t.notOk(await part('recording-badge').isVisible());
  await page.keyboard.press('Escape');
  t.ok(await part('call-popup').isVisible());
});

t.test('F8 mute is a switch, hang up ends the call', async (t) => {
  const { part, text } = await openDemo(t);
  script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
  await part('incoming-accept').click();
  await part('call-mute').click();
  t.match(await script.next('call.mute'), { muted: true });
  await text('call-mute', 'Unmute');
  await part('call-mute').click();
  t.match(await script.next('call.mute'), { muted: false });
  await part('call-hangup').click();
  t.match(await script.next('call.hangup'), { callId: CALL_ID });
  await text('call-message-text', 'Call ended.');
  t.notOk(await part('call-popup').isVisible());
});

t.test('F10 every way in which a call ends has its own sentence', async (t) => {
  const { part, text } = await openDemo(t);
  const table: [call: CallView, sentence: string][] = [
    [incoming({ endReason: 'cancelled' }), 'Bob cancelled the call.'],
    [incoming({ endReason: 'declined' }), 'You declined the call.'],
    [incoming({ endReason: 'no_answer' }), 'Missed call from Bob.'],
    [incoming({ endReason: 'answered_elsewhere' }), 'The call was answered on another device.'],
    [incoming({ endReason: 'connection_lost' }), 'The connection was lost.'],
    [callView({ endReason: 'declined' }), 'Bob declined the call.'],
    [callView({ endReason: 'no_answer' }), 'Bob did not answer.'],
    [callView({ endReason: 'busy' }), 'Bob is in another call.'],
    [callView({ endReason: 'offline' }), 'Bob is offline.'],
    [callView({ endReason: 'recorder_unavailable' }), 'Nothing was heard.'],
    [callView({ endReason: 'recording_lost' }), 'The recording was lost and could not be secured again'],
    [callView({ endReason: 'media_failed' }), 'Microphone or connection unavailable'],
    [callView({ endReason: 'shutdown' }), 'The server is restarting.'],
  ];
  for (const [call, sentence] of table) {
    if (call.side === 'callee') {
      script.notify('call.incoming', { call: { ...call, mode: 'voice' } });
      await part('incoming-dialog').waitFor();
    } else {
      await part('call-menu-button').click();
      await part('call-voice').click();
      await part('call-popup').waitFor();
    }
    script.notify('call.ended', { call: { ...call, state: 'ended' } });
    await text('call-message-text', sentence);
    t.equal(await part('call-message').getAttribute('data-kind'), call.endReason);
    t.notOk(await part('incoming-dialog').isVisible());
    t.notOk(await part('call-popup').isVisible());
  }
});

t.test('F10 a call that is refused says why', async (t) => {
  const { part, text } = await openDemo(t);
  for (const [code, sentence] of [
    ['user_offline', 'Bob is offline.'],
    ['user_busy', 'Bob is in another call.'],
    ['recording_disabled', 'refused: recording_disabled'],
  ] as const) {
    script.on('call.start', () => new Refusal(code));
    await part('call-menu-button').click();
    await part('call-voice').click();
    await text('call-message-text', sentence);
  }
});

t.test('F13 a refused microphone says what to do, and the call can still be accepted', async (t) => {
  const { part, text } = await openDemo(t, { microphone: false });
  script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
  await part('incoming-accept').click();
  await text('call-message-text', /microphone is not allowed.*address bar/);
  await part('incoming-dialog').waitFor();
  await part('incoming-decline').click();
  t.match(await script.next('call.decline'), { callId: CALL_ID });
});

t.test('F24 F26 recordings are listed with their state, and no audio is asked for before play', async (t) => {
  const base = { callId: CALL_ID, chatId: 'chat-1', mode: 'secure', startedAt: '2026-01-02T03:04:05.000Z' };
  const recordings = [
    { ...base, id: 'r1', state: 'processing' },
    {
      ...base,
      id: 'r2',
      state: 'available',
      durationMs: 3_661_000,
      sizeBytes: 400_000,
      format: 'audio/webm; codecs=opus',
    },
    { ...base, id: 'r3', state: 'failed', reason: 'capture_error' },
    { ...base, id: 'r4', state: 'removed' },
  ];
  const { page, part, text } = await openDemo(t, { recordings });
  await part('recording-row').nth(3).waitFor();
  t.strictSame(await part('recording-status').allInnerTexts(), [
    'Processing',
    'Available',
    'Failed',
    'Removed under legal order',
  ]);
  t.match(await part('recording-row').nth(1).innerText(), /1:01:01 · 391 KB · Opus in WebM/);
  t.match(await part('recording-row').nth(2).innerText(), /capture_error/);
  t.equal(await part('recording-play').count(), 1, 'only what is available can be played');
  t.notOk(script.fetched.some((line) => line.includes('/grants') || line.includes('/media')));

  script.route('POST /v1/recordings/r2/grants', () => ({ status: 201, body: { url: '/media/none' } }));
  await part('recording-play').click();
  await text('recording-player-status', 'No recording available: it could not be loaded.');
  t.ok(script.fetched.includes('GET /media/none'));

  recordings[0] = { ...base, id: 'r1', state: 'available' };
  script.notify('recording.changed', {
    recordingId: CALL_ID,
    callId: CALL_ID,
    chatId: 'chat-1',
    state: 'available',
  });
  await page.locator('[data-recording-id=r1][data-state=available]').waitFor();
});

t.test('F16 the page says when the connection is lost and when it is back', async (t) => {
  const { page } = await openDemo(t);
  script.on('session.start', () => new Refusal('unavailable'));
  script.drop();
  await page.locator('[data-testid=connection][data-state=reconnecting]').waitFor();
  script.on('session.start', () => signedIn());
  await page.locator('[data-testid=connection][data-state=online]').waitFor();
  t.ok(script.connections > 1);
});
