import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import { builtClient, launch } from '../../test/browser.ts';
import { DISCLOSURE, startScript } from '../../test/scripted-server.ts';
import { call, openMessenger, serveMessenger } from '../test/messenger.ts';

/** The call button, built, in a real browser, on a page that allows no inline style. */

t.setTimeout(180_000);
const client = await builtClient();
const script = await startScript(client.dir);
serveMessenger(script);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});

async function open(t: Test, options: { query?: string; microphone?: boolean } = {}): Promise<Page> {
  script.reset();
  script.on('call.start', () => call());
  const { page, errors, close } = await openMessenger(browser, script, options);
  t.teardown(async () => {
    const violations = await page.evaluate(() => (window as unknown as { violations: string[] }).violations);
    await close();
    if (errors.length > 0) throw new Error(`the page reported ${errors.join('; ')}`);
    if (violations.length > 0) throw new Error(`the page's policy was violated: ${violations.join('; ')}`);
  });
  return page;
}

t.test('F3 the phone icon opens a menu of two', async (t) => {
  const page = await open(t);
  await page.getByRole('button', { name: 'Call Bob Castillo' }).click();
  const items = page.getByRole('menuitem');
  await items.first().waitFor();
  t.equal(await items.count(), 2);
  t.equal(await page.getByRole('menuitem', { name: 'Voice call' }).count(), 1);
  t.equal(await page.getByRole('menuitem', { name: 'Secure call (recorded)' }).count(), 1);
  await page.locator('#message').click();
  await items.first().waitFor({ state: 'detached' });
  t.pass('a click elsewhere closes it');
});

t.test('F4 a voice call starts at once, without consent', async (t) => {
  const page = await open(t);
  script.on('call.start', () => call({ mode: 'voice' }));
  await page.getByRole('button', { name: 'Call Bob Castillo' }).click();
  await page.getByRole('menuitem', { name: 'Voice call' }).click();
  t.strictSame(await script.next('call.start'), { chatId: 'chat-1', mode: 'voice' });
  await page.getByRole('dialog', { name: 'Bob Castillo' }).getByText('Calling…').waitFor();
});

t.test('F4 a secure call first shows the disclosure text, and names exactly that text', async (t) => {
  const page = await open(t);
  await page.getByRole('button', { name: 'Call Bob Castillo' }).click();
  await page.getByRole('menuitem', { name: 'Secure call (recorded)' }).click();
  const dialog = page.getByRole('dialog', { name: 'Start a secure call?' });
  await dialog.getByText(DISCLOSURE.text).waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  t.notOk(
    script.requests.some(({ method }) => method === 'call.start'),
    'nothing was started',
  );
  await page.getByRole('button', { name: 'Call Bob Castillo' }).click();
  await page.getByRole('menuitem', { name: 'Secure call (recorded)' }).click();
  await dialog.getByRole('button', { name: 'I agree, call' }).click();
  t.strictSame(await script.next('call.start'), {
    chatId: 'chat-1',
    mode: 'secure',
    consent: {
      disclosureSha256: DISCLOSURE.sha256,
      disclosureVersion: DISCLOSURE.version,
      locale: DISCLOSURE.locale,
    },
  });
});
