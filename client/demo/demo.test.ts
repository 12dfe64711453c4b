import type { Locator, Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import { axeFindings } from '../../scripts/lib/axe.ts';
import { builtClient, launch, newPage } from '../test/browser.ts';
import { BOB, serveDemo } from '../test/demo-server.ts';
import { callView, startScript } from '../test/scripted-server.ts';

/** The demo messenger, built, in a real browser, against a server that says what each test needs. */

// A browser page for each; the machine may be busy.
t.setTimeout(220_000);
const client = await builtClient();
const script = await startScript(client.dir);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});

/** The demo as Alice, online, at this size; what is sent comes back as the server's own answer would. */
async function openDemo(
  t: Test,
  { width = 1280, online = ['bob'] }: { width?: number; online?: string[] } = {},
): Promise<{ page: Page; part: (testid: string) => Locator; say: (userId: string, text: string) => void }> {
  script.reset();
  const { say } = serveDemo(script, online);
  const { page, errors, close } = await newPage(browser, 'about:blank');
  t.teardown(async () => {
    await close();
    // Assertions are over by now; a throw fails the test all the same.
    if (errors.length > 0) throw new Error(`the page reported ${errors.join('; ')}`);
  });
  await page.setViewportSize({ width, height: 800 });
  await page.goto(`${script.url}/demo/?as=alice`);
  const part = (testid: string): Locator => page.getByTestId(testid);
  await page.locator('[data-testid=connection][data-state=online]').waitFor({ state: 'attached' });
  return { page, part, say };
}

t.test('without a name the page asks as whom', async (t) => {
  script.reset();
  const { page, close } = await newPage(browser, `${script.url}/demo/`);
  t.teardown(close);
  await page.getByTestId('choose').waitFor();
  t.strictSame(
    await page.getByRole('link').evaluateAll((links) => links.map((link) => link.getAttribute('href'))),
    ['?as=alice', '?as=bob'],
  );
  t.equal(script.connections, 0);
});

t.test('F2 F3 a direct chat has the phone icon, and a room has none', async (t) => {
  const { page, part } = await openDemo(t);
  await page.getByRole('button', { name: 'Call Bob' }).waitFor();
  await part('chat-room').click();
  await page.getByRole('heading', { level: 1, name: 'Reading circle' }).waitFor();
  t.equal(await page.locator('verbatim-call-button').count(), 0);
  t.equal(await page.locator('verbatim-calls-tab').count(), 0, 'and no Calls tab');
  await part('chat-direct').click();
  await page.getByRole('button', { name: 'Call Bob' }).waitFor();
  t.pass('the icon is back in the direct chat');
});

t.test(
  'F24 the info panel is open where there is room, and its Calls tab lists the chat’s secure calls',
  async (t) => {
    const { page, part } = await openDemo(t);
    await part('info-panel').waitFor();
    await page.getByText('No secure calls', { exact: false }).first().waitFor();
    await part('tab-about').click();
    await page.getByText('not end-to-end encrypted', { exact: false }).waitFor();
    await page.keyboard.press('ArrowLeft');
    t.equal(await part('tab-calls').getAttribute('aria-selected'), 'true', 'arrow keys go between the tabs');
    await part('info-toggle').click();
    await part('info-panel').waitFor({ state: 'detached' });
    const narrow = await openDemo(t, { width: 1000 });
    t.equal(await narrow.part('info-panel').count(), 0, 'closed where it would cover the chat');
  },
);

t.test('F6 the call’s window stays while the app goes to another page and back', async (t) => {
  const { page, part } = await openDemo(t);
  const activeAt = new Date(Date.now() - 65_000).toISOString();
  const call = callView({ side: 'callee', mode: 'voice', peer: BOB });
  script.notify('call.incoming', { call });
  await page.locator('[part~="accept"]').click();
  await script.next('call.accept');
  script.notify('call.changed', { call: { ...call, state: 'active', activeAt } });
  const timer = page.locator('[part~="timer"]');
  await timer.filter({ hasText: /^01:/ }).waitFor();
  await page.evaluate(() => {
    location.hash = '#/notes';
  });
  await part('notes').waitFor();
  t.ok(await timer.isVisible(), 'on the notes');
  await page.evaluate(() => {
    location.hash = '#/chat/room-1';
  });
  await page.getByRole('heading', { level: 1, name: 'Reading circle' }).waitFor();
  t.ok(await timer.isVisible(), 'and in another chat');
});

t.test('messages are sent, come live, and what was not sent is not lost', async (t) => {
  const { page, part, say } = await openDemo(t);
  await part('composer').fill('Hello <b>Bob</b>');
  await page.keyboard.press('Enter');
  await part('message').filter({ hasText: 'Hello <b>Bob</b>' }).waitFor();
  t.equal(await part('composer').inputValue(), '');
  say('bob', 'مرحبا');
  await part('message').filter({ hasText: 'مرحبا' }).waitFor();
  await part('chat-direct').filter({ hasText: 'مرحبا' }).waitFor();
  script.route('POST /demo/messages', () => ({ status: 503, body: {} }));
  await part('composer').fill('again');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({ hasText: 'not sent' }).waitFor();
  t.equal(await part('composer').inputValue(), 'again');
});

t.test('who calls is online, whatever the answer before was', async (t) => {
  const { part } = await openDemo(t, { online: [] });
  await part('peer-presence').filter({ hasText: 'offline' }).waitFor();
  script.notify('call.incoming', { call: callView({ side: 'callee', mode: 'voice', peer: BOB }) });
  await part('peer-presence').filter({ hasText: 'online' }).waitFor();
  t.equal(await part('peer-presence').getAttribute('data-online'), 'true');
});

t.test('every page works at 320 px, and axe finds nothing, light and dark', async (t) => {
  const { page, part, say } = await openDemo(t);
  say('bob', 'Hello');
  await part('message').first().waitFor();
  for (const colorScheme of ['light', 'dark'] as const)
    for (const width of [1280, 320])
      for (const hash of ['#/', '#/chat/chat-1', '#/chat/room-1', '#/notes']) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 800 });
        await page.evaluate((to) => {
          location.hash = to;
        }, hash);
        await page.locator(`.messenger[data-page="${hash.split('/')[1] || 'chats'}"]`).waitFor();
        const what = `${hash}, ${colorScheme}, ${width} px`;
        t.strictSame(await axeFindings(page), [], what);
        const tooWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
        t.notOk(tooWide, `${what}: nothing is cut off`);
      }
});
