import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import type { CallView } from '#protocol';
import { builtClient, launch } from '../../test/browser.ts';
import { CALL_ID, DISCLOSURE, startScript } from '../../test/scripted-server.ts';
import { active, call, incoming, openMessenger, serveMessenger } from '../test/messenger.ts';
import { record, startVoice } from '../test/states.ts';

/** The popup, built, in a real browser, on a page that allows no inline style. */

t.setTimeout(300_000);
const client = await builtClient();
const script = await startScript(client.dir);
serveMessenger(script);
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

async function open(t: Test, options: { query?: string; microphone?: boolean } = {}): Promise<Page> {
  script.reset();
  script.on('call.start', () => call());
  script.on('call.accept', () => incoming({ state: 'connecting' }));
  const { page, errors, close } = await openMessenger(browser, script, options);
  t.teardown(async () => {
    const violations = await page.evaluate(() => (window as unknown as { violations: string[] }).violations);
    await close();
    if (errors.length > 0) throw new Error(`the page reported ${errors.join('; ')}`);
    if (violations.length > 0) throw new Error(`the page's policy was violated: ${violations.join('; ')}`);
  });
  return page;
}

const part = (page: Page, name: string) => page.locator(`[part="${name}"]`);

t.test('F5 an incoming secure call shows the text, and cannot be accepted before', async (t) => {
  const page = await open(t);
  let answer: (disclosure: unknown) => void = () => {};
  script.on('disclosure.get', () => new Promise((resolve) => (answer = resolve)));
  script.notify('call.incoming', { call: incoming() });
  await part(page, 'popup').getByText('Incoming secure call').waitFor();
  await script.next('disclosure.get');
  t.ok(await part(page, 'accept').isDisabled());
  answer(DISCLOSURE);
  await part(page, 'disclosure').getByText(DISCLOSURE.text).waitFor();
  await page.getByRole('button', { name: 'I agree, accept' }).click();
  t.strictSame(await script.next('call.accept'), { callId: CALL_ID, consent: CONSENT });
  await part(page, 'popup').getByText('Connecting…').waitFor();
});

t.test('F5 an incoming voice call shows no text and is accepted without consent', async (t) => {
  const page = await open(t);
  script.on('call.accept', () => incoming({ mode: 'voice', state: 'connecting' }));
  script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
  await part(page, 'popup').getByText('Incoming call').waitFor();
  t.equal(await part(page, 'disclosure').count(), 0);
  await page.getByRole('button', { name: 'Accept', exact: true }).click();
  t.strictSame(await script.next('call.accept'), { callId: CALL_ID });
});

t.test('F6 the popup is centred and stays over everything while the app goes on below', async (t) => {
  const page = await open(t);
  await record(page, script);
  await part(page, 'recording-badge').waitFor();
  const box = await part(page, 'popup').boundingBox();
  const { width, height } = page.viewportSize() ?? { width: 0, height: 0 };
  t.ok(box && Math.abs(box.x + box.width / 2 - width / 2) < 2, 'centred across');
  t.ok(box && Math.abs(box.y + box.height / 2 - height / 2) < 2, 'centred down');
  await page.evaluate(() => {
    history.pushState({}, '', '/messenger?page=notes');
    document.querySelector('main')?.replaceChildren('Another page');
  });
  t.ok(await part(page, 'recording-badge').isVisible(), 'after navigation inside the app');
  await part(page, 'minimise').click();
  await part(page, 'expand').waitFor();
  t.ok(await part(page, 'recording-badge').isVisible(), 'F9 also when it is small');
  await part(page, 'expand').click();
  await part(page, 'minimise').waitFor();
});

t.test('F7 F9 F34 name, picture, timer and badge, and no badge while nothing is recorded', async (t) => {
  const page = await open(t);
  await record(page, script);
  await part(page, 'recording-badge').waitFor();
  t.match(await part(page, 'timer').innerText(), /^12:3\d$/);
  t.equal(await part(page, 'avatar').locator('img').getAttribute('src'), '/bob.svg');
  t.equal(await part(page, 'name').innerText(), 'Bob Castillo');
  const badge = await part(page, 'recording-badge').boundingBox();
  const hangup = await part(page, 'hangup').boundingBox();
  t.ok(badge && hangup && badge.y + badge.height <= hangup.y, 'above the controls');
  script.notify('call.changed', { call: active(760, { recording: false }) });
  await part(page, 'interrupted').waitFor();
  t.equal(await part(page, 'recording-badge').count(), 0);
  script.notify('call.changed', { call: active(762) });
  await part(page, 'recording-badge').waitFor();
});

t.test('F8 mute is a switch, hang up ends the call and the microphone', async (t) => {
  const page = await open(t);
  await record(page, script);
  await part(page, 'recording-badge').waitFor();
  await part(page, 'mute').click();
  t.match(await script.next('call.mute'), { muted: true });
  t.equal(await part(page, 'mute').getAttribute('aria-pressed'), 'true');
  await part(page, 'mute').click();
  t.match(await script.next('call.mute'), { muted: false });
  await part(page, 'hangup').click();
  t.match(await script.next('call.hangup'), { callId: CALL_ID });
  await part(page, 'ending').getByText('Call ended').waitFor();
});

t.test('F10 F11 every way in which a call ends has its own sentence', async (t) => {
  const page = await open(t);
  const table: [call: CallView, sentence: string][] = [
    [incoming({ endReason: 'cancelled' }), 'Bob Castillo hung up before you answered'],
    [incoming({ endReason: 'no_answer' }), 'Missed call from Bob Castillo'],
    [incoming({ endReason: 'answered_elsewhere' }), 'on another device'],
    [incoming({ endReason: 'connection_lost' }), 'The connection was lost'],
    [call({ endReason: 'declined' }), 'Bob Castillo declined the call'],
    [call({ endReason: 'no_answer' }), 'Bob Castillo did not answer'],
    [call({ endReason: 'busy' }), 'Bob Castillo is in another call'],
    [call({ endReason: 'offline' }), 'Bob Castillo is offline'],
    [call({ endReason: 'recorder_unavailable' }), 'Nothing was heard'],
    [call({ endReason: 'recording_lost' }), 'Nothing was heard unrecorded'],
    [call({ endReason: 'media_failed' }), 'Microphone or connection unavailable'],
    [call({ endReason: 'peer_unreachable' }), 'networks could not reach each other'],
    [call({ endReason: 'shutdown' }), 'restarting'],
  ];
  for (const [view, sentence] of table) {
    const voice: CallView = { ...view, mode: 'voice' };
    if (view.side === 'callee') {
      script.notify('call.incoming', { call: voice });
      await part(page, 'decline').waitFor();
    } else {
      script.on('call.start', () => call({ mode: 'voice' }));
      await startVoice(page);
      await part(page, 'popup').getByText('Calling…').waitFor();
    }
    script.notify('call.ended', { call: { ...voice, state: 'ended' } });
    await part(page, 'ending').getByText(sentence).first().waitFor();
    t.pass(sentence);
    await part(page, 'dismiss').click();
    await part(page, 'ending').waitFor({ state: 'detached' });
  }
});

t.test('F13 F60 a refused microphone says what to do, and the call can still be declined', async (t) => {
  const page = await open(t, { microphone: false });
  script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
  await part(page, 'accept').click();
  await page.locator('[data-code=microphone_denied]').getByText('allow the microphone').waitFor();
  await part(page, 'decline').click();
  t.match(await script.next('call.decline'), { callId: CALL_ID });
});

t.test('a call that rings takes no focus away, and the keys lead to it and back', async (t) => {
  const page = await open(t);
  await page.locator('#message').fill('half a sen');
  script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
  await part(page, 'accept').waitFor();
  await page.keyboard.type('tence');
  t.equal(await page.locator('#message').inputValue(), 'half a sentence');
  t.match(await page.locator('verbatim-call-popup [role=alert]').first().innerText(), /Alt\+Shift\+C/);
  await page.keyboard.press('Alt+Shift+KeyC');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  t.match(await script.next('call.decline'), { callId: CALL_ID }, 'the first button declines');
  script.notify('call.ended', {
    call: incoming({ mode: 'voice', state: 'ended', endReason: 'declined' }),
  });
  await part(page, 'ending').waitFor();
  await page.keyboard.press('Escape');
  await part(page, 'ending').waitFor({ state: 'detached' });
  await page.waitForFunction(() => document.activeElement?.id === 'message');
  t.pass('the focus is back');
});

t.test('F3 F4 F8 a whole call with the keyboard alone', async (t) => {
  const page = await open(t);
  script.on('call.start', () => call({ mode: 'voice' }));
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await part(page, 'menu').waitFor();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Escape');
  await part(page, 'menu').waitFor({ state: 'detached' });
  await page.keyboard.press('ArrowDown');
  await part(page, 'menu').waitFor();
  await page.keyboard.press('Home');
  await page.keyboard.press('Enter');
  await part(page, 'popup').getByText('Calling…').waitFor();
  script.notify('call.changed', { call: active(1, { mode: 'voice' }) });
  await part(page, 'timer').waitFor();
  // Who started it is in its controls: small, mute, devices, hang up.
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  t.match(await script.next('call.mute'), { muted: true });
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  t.match(await script.next('call.hangup'), { callId: CALL_ID });
  await part(page, 'ending').waitFor();
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.activeElement?.localName === 'verbatim-call-button');
  t.pass('the focus is back on the button');
});

t.test('a call that rings is heard, and silent as soon as it is answered', async (t) => {
  const page = await open(t);
  await page.evaluate(() => {
    const contexts: AudioContext[] = [];
    Object.assign(window, { contexts });
    const Real = window.AudioContext;
    window.AudioContext = class extends Real {
      constructor() {
        super();
        contexts.push(this);
      }
    };
  });
  const states = (): Promise<string[]> =>
    page.evaluate(() =>
      (window as unknown as { contexts: AudioContext[] }).contexts.map(({ state }) => state),
    );
  script.notify('call.incoming', { call: incoming({ mode: 'voice' }) });
  await page.waitForFunction(() =>
    (window as unknown as { contexts: AudioContext[] }).contexts.some(({ state }) => state === 'running'),
  );
  await part(page, 'accept').click();
  await part(page, 'popup').getByText('Connecting…').waitFor();
  await page.waitForFunction(() =>
    (window as unknown as { contexts: AudioContext[] }).contexts.every(({ state }) => state === 'closed'),
  );
  t.equal((await states()).length, 1);
});

t.test('elements that are taken away and put back leave nothing behind and show what is', async (t) => {
  const page = await open(t);
  await record(page, script);
  await part(page, 'recording-badge').waitFor();
  const dismantled = await page.evaluate(async () => {
    const popup = document.querySelector('verbatim-call-popup');
    let listeners = 0;
    for (const target of [window, document]) {
      const { addEventListener, removeEventListener } = target;
      target.addEventListener = (...given: Parameters<typeof addEventListener>) => {
        listeners += 1;
        addEventListener.apply(target, given);
      };
      target.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
        listeners -= 1;
        removeEventListener.apply(target, given);
      };
    }
    const frame = (): Promise<void> => new Promise((done) => requestAnimationFrame(() => done()));
    const counts: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      popup?.remove();
      await frame();
      if (popup) document.body.append(popup);
      await frame();
      counts.push(listeners);
    }
    return counts;
  });
  t.ok(
    dismantled.every((count) => count === dismantled[0]),
    `listeners after each round: ${dismantled}`,
  );
  await part(page, 'recording-badge').waitFor();
  t.ok(await part(page, 'hangup').isVisible());
});

t.test('F5 a call that comes while the page is out of sight is told by the desktop', async (t) => {
  const page = await open(t);
  await page.context().grantPermissions(['notifications']);
  // Headless pages are never hidden, and nobody can click on a desktop that is not there: both are said by the test.
  await page.evaluate(() => {
    const told: Notification[] = [];
    const facts = { told, hidden: true, focused: 0, closed: 0 };
    Object.defineProperty(document, 'hidden', { get: () => facts.hidden });
    window.focus = () => {
      facts.focused += 1;
    };
    class Told extends Notification {
      constructor(title: string, options?: NotificationOptions) {
        super(title, options);
        told.push(this);
      }
      override close(): void {
        facts.closed += 1;
        super.close();
      }
    }
    Object.assign(window, { facts, Notification: Told });
  });
  interface Facts {
    facts: { told: Notification[]; hidden: boolean; focused: number; closed: number };
  }
  const ring = async (callId: string): Promise<void> => {
    script.notify('call.incoming', { call: incoming({ mode: 'voice', callId }) });
    await part(page, 'accept').waitFor();
  };
  const told = () =>
    page.evaluate(() =>
      (window as unknown as Facts).facts.told.map(({ title, body, tag, onclick }) => ({
        title,
        body,
        tag,
        leads: onclick !== null,
      })),
    );
  await ring(CALL_ID);
  t.strictSame(await told(), [
    { title: 'Bob Castillo is calling', body: 'Incoming call', tag: `verbatim-${CALL_ID}`, leads: true },
  ]);
  const clicked = await page.evaluate(() => {
    const { facts } = window as unknown as Facts;
    facts.told[0]?.dispatchEvent(new Event('click'));
    return { focused: facts.focused, closed: facts.closed };
  });
  t.strictSame(clicked, { focused: 1, closed: 1 }, 'a click leads to the page, and takes it away');

  script.notify('call.ended', { call: incoming({ mode: 'voice', state: 'ended', endReason: 'cancelled' }) });
  await part(page, 'accept').waitFor({ state: 'detached' });
  await page.evaluate(() => {
    (window as unknown as Facts).facts.hidden = false;
  });
  await ring('00000000-0000-4000-8000-000000000009');
  t.equal((await told()).length, 1, 'and a page that is looked at needs none');
});
