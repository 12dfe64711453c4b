import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import type { Recording } from '#protocol';
import { axeFindings } from '../../../scripts/lib/axe.ts';
import { builtClient, launch } from '../../test/browser.ts';
import { CALL_ID, Refusal, signedIn, startScript } from '../../test/scripted-server.ts';
import { haveRecordings, idOf, openPanel, problem, recording, rowOf, servePanel } from '../test/tab.ts';

/** The list of the Calls tab, built, in a real browser, on a page that allows no inline style. */

t.setTimeout(300_000);
const client = await builtClient();
const script = await startScript(client.dir);
servePanel(script);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});

/** The panel of a chat with these recordings. */
async function open(t: Test, recordings: Recording[], query = ''): Promise<Page> {
  script.reset();
  haveRecordings(script, recordings);
  return openPanel(t, browser, script, query);
}

const ids = (page: Page) =>
  page
    .locator('li[part=row]')
    .evaluateAll((rows) => rows.map((row) => row.getAttribute('data-recording-id')));

/** axe in both schemes, wide and at 320 px. */
async function noFindings(t: Test, page: Page, state: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const width of [1280, 320]) {
      await page.setViewportSize({ width, height: 800 });
      t.strictSame(await axeFindings(page), [], `${state}, ${colorScheme}, ${width} px`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      t.notOk(overflow, `${state}: nothing is wider than ${width} px`);
    }
  }
}

t.test('F24 lists secure calls, newest first, with date, duration, size, format and status', async (t) => {
  const page = await open(t, [
    recording(0, { state: 'processing' }),
    recording(1),
    recording(3, { state: 'failed', reason: 'finalise_failed' }),
    recording(4, { state: 'removed', reason: 'Order 7' }),
    recording(5, { state: 'expired', reason: 'expired' }),
  ]);
  await rowOf(page, 1).waitFor();
  t.strictSame(await ids(page), [0, 1, 3, 4, 5].map(idOf));
  const text = await rowOf(page, 1).innerText();
  const ended = new Date(recording(1).endedAt ?? '');
  const date = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' }).format(ended);
  for (const part of ['Bob Castillo called you', date, '40 sec', '312 kB', 'WebM, Opus', 'Available']) {
    t.ok(text.includes(part), `"${text}" says ${part}`);
  }
  const statuses = await page.locator('[part=status]').allInnerTexts();
  t.strictSame(statuses, ['Processing', 'Available', 'Failed', 'Removed under legal order', 'Expired']);
  t.equal(await rowOf(page, 0).getByRole('button', { name: 'Play' }).isDisabled(), true);
  t.equal(await rowOf(page, 0).getByRole('button', { name: 'Download' }).isDisabled(), true);
  t.equal(await rowOf(page, 1).getByRole('button', { name: 'Play' }).isEnabled(), true);
  t.equal(await rowOf(page, 1).getByRole('button', { name: 'Download' }).isEnabled(), true);
  for (const number of [3, 4, 5]) {
    t.equal(await rowOf(page, number).getByRole('button', { name: 'Play' }).count(), 0, 'nothing to play');
  }
  await noFindings(t, page, 'the list');
});

t.test('F24 a row changes while it is looked at, and what is new comes on top', async (t) => {
  const recordings = [recording(1, { state: 'processing' }), recording(2)];
  const page = await open(t, recordings);
  await rowOf(page, 1).getByText('Processing').waitFor();
  recordings[0] = recording(1);
  const about = { callId: CALL_ID, chatId: 'chat-1' };
  script.notify('recording.changed', { ...about, recordingId: idOf(1), state: 'available' });
  await rowOf(page, 1).getByText('Available', { exact: true }).waitFor();
  t.equal(await rowOf(page, 1).getByRole('button', { name: 'Play' }).isEnabled(), true);
  await page
    .getByRole('status')
    .getByText(/^Call of .*: Available$/)
    .waitFor({ state: 'attached' });
  recordings.unshift(recording(0, { state: 'processing' }));
  haveRecordings(script, recordings);
  script.notify('recording.changed', { ...about, recordingId: idOf(0), state: 'processing' });
  await rowOf(page, 0).waitFor();
  t.strictSame(await ids(page), [0, 1, 2].map(idOf));
});

t.test('F24 a change in another chat, and a voice call, change nothing', async (t) => {
  const recordings = [recording(1, { state: 'processing' })];
  const page = await open(t, recordings);
  await rowOf(page, 1).waitFor();
  haveRecordings(script, [
    recording(7, { mode: 'voice' }),
    recording(8, { chatId: 'chat-2' }),
    ...recordings,
  ]);
  const changed = (number: number, chatId: string): void =>
    script.notify('recording.changed', {
      recordingId: idOf(number),
      callId: CALL_ID,
      chatId,
      state: 'available',
    });
  changed(8, 'chat-2');
  changed(7, 'chat-1');
  recordings[0] = recording(1);
  haveRecordings(script, [recording(7, { mode: 'voice' }), ...recordings]);
  changed(1, 'chat-1');
  await rowOf(page, 1).getByText('Available', { exact: true }).waitFor();
  t.strictSame(await ids(page), [idOf(1)]);
});

t.test('F24 older calls follow when the end of the list is seen', async (t) => {
  const page = await open(
    t,
    Array.from({ length: 45 }, (_, number) => recording(number)),
  );
  await rowOf(page, 19).waitFor();
  t.equal(await rowOf(page, 20).count(), 0);
  await page.locator('[part=more]').scrollIntoViewIfNeeded();
  await rowOf(page, 39).waitFor();
  await page.locator('[part=more]').scrollIntoViewIfNeeded();
  await rowOf(page, 44).waitFor();
  await page.locator('[part=more]').waitFor({ state: 'detached' });
  t.strictSame(
    await ids(page),
    Array.from({ length: 45 }, (_, number) => idOf(number)),
  );
});

t.test('F24 without calls it says what will be here', async (t) => {
  const page = await open(t, []);
  await page.getByText('No secure calls yet.').waitFor();
  await noFindings(t, page, 'empty');
});

t.test('F24 a slow list is seen to be loading, a failing one says why and is asked for again', async (t) => {
  script.reset();
  let answer = (_: { status: number; body: object }): void => {};
  const asked = new Promise<void>((resolve) => {
    script.route('GET /v1/chats/chat-1/recordings', () => {
      resolve();
      return new Promise((answered) => {
        answer = answered;
      });
    });
  });
  const page = await openPanel(t, browser, script);
  await asked;
  await page.getByRole('status').getByText('Loading calls…').waitFor({ state: 'attached' });
  await noFindings(t, page, 'loading');
  answer(problem(503, 'unavailable'));
  await page.getByRole('alert').getByText('The call server is not available.').waitFor();
  await noFindings(t, page, 'failed');
  haveRecordings(script, [recording(1)]);
  await page.getByRole('button', { name: 'Try again' }).click();
  await rowOf(page, 1).waitFor();
  t.equal(await page.getByRole('alert').count(), 0);
});

t.test(
  'F24 the list stays while the connection is gone, and is asked for anew when it is back',
  async (t) => {
    const recordings = [recording(1, { state: 'processing' })];
    const page = await open(t, recordings);
    await rowOf(page, 1).waitFor();
    let back = (): void => {};
    script.on(
      'session.start',
      () =>
        new Promise((resolve) => {
          back = () => resolve(signedIn());
        }),
    );
    script.drop();
    await page.getByText('No connection. You see the calls as they were before.').waitFor();
    t.equal(await rowOf(page, 1).count(), 1);
    await noFindings(t, page, 'offline');
    // The event of this change came to nobody.
    recordings[0] = recording(1);
    await page.waitForFunction(
      () => (window as unknown as { verbatim: { state: string } }).verbatim.state !== 'online',
    );
    await script.next('session.start');
    await script.next('session.start');
    back();
    await rowOf(page, 1).getByText('Available', { exact: true }).waitFor();
    t.equal(await page.locator('[part=offline]').count(), 0);
  },
);

t.test('F24 who may not see recordings is told so', async (t) => {
  script.reset();
  script.route('GET /v1/chats/chat-1/recordings', () => problem(403, 'forbidden'));
  const page = await openPanel(t, browser, script);
  await page.getByRole('alert').getByText('You are not allowed to do this here.').waitFor();
});

t.test('F24 a page that is refused says why', async (t) => {
  script.reset();
  script.on('session.start', () => new Refusal('unauthorized'));
  const page = await openPanel(t, browser, script);
  await page.getByRole('alert').getByText('You are not signed in for calls.').waitFor();
  await noFindings(t, page, 'refused');
});

t.test('F24 F60 in other languages and writing directions', async (t) => {
  for (const [locale, words] of [
    ['de', ['Bob Castillo hat dich angerufen', 'Verfügbar', '40 Sek.']],
    ['es', ['Bob Castillo te llamó', 'Disponible', '40 s']],
    ['zh', ['Bob Castillo 呼叫了你', '可用', '40秒']],
  ] as const) {
    await t.test(locale, async (t) => {
      const page = await open(t, [recording(1)], `locale=${locale}&dir=rtl`);
      await rowOf(page, 1).waitFor();
      const text = await rowOf(page, 1).innerText();
      for (const word of words) t.ok(text.replaceAll('\u00a0', ' ').includes(word), `"${text}" says ${word}`);
      await page.setViewportSize({ width: 320, height: 800 });
      t.notOk(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), 'it fits');
    });
  }
});
