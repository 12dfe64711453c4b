import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { BrowserContext, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import t from 'tap';
import { loadConfig } from '#config';
import { axeFindings } from '../../scripts/lib/axe.ts';
import { openOperatorDatabase } from '../../scripts/lib/operator-database.ts';
import { startTemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { findProgram } from '../../scripts/lib/tools.ts';
import { ensureMediaWorker } from '../../scripts/media-worker/ensure.ts';
import { silentLog } from '../db/fixture.ts';

/** The console as a person meets it: a real server, Chromium, and an authenticator that Chromium plays (WebAuthn). */

t.setTimeout(240_000);
const ROOT = resolve(import.meta.dirname, '../..');
const PASSWORD = 'seven quiet herons over Tromsø';

const server = await startTemporaryServer({ mediaWorker: await ensureMediaWorker({ log: () => {} }) });
t.teardown(() => server.close());
const executablePath = findProgram('chromium');
if (!executablePath) throw new Error('chromium is missing: apt-get install chromium');
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
t.teardown(() => browser.close());

/** What the operator's command prints, as data. */
async function admin(...args: string[]): Promise<{ url: string; login: string }[] & { url: string }> {
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [join(ROOT, 'scripts/admin.ts'), ...args, '--json'], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, VERBATIM_DATA_DIR: server.dataDir },
  });
  return JSON.parse(stdout);
}

/** The link as it would be for this server, whose port is no setting. */
async function inviteUrl(role: string): Promise<string> {
  const { url } = await admin('invite', '--role', role);
  return server.url + new URL(url).pathname + new URL(url).hash;
}

interface Someone {
  page: Page;
  complaints: string[];
}

/** A browser profile of its own, with an authenticator that says yes. */
async function someone(options: Parameters<typeof browser.newContext>[0] = {}): Promise<Someone> {
  const context: BrowserContext = await browser.newContext({ locale: 'en-GB', ...options });
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    // An answer that refuses is a line of the browser's own.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text());
  });
  return { page, complaints };
}

async function joinAs({ page }: Someone, link: string, login: string, name: string): Promise<void> {
  await page.goto(link);
  await page.getByLabel('Login').fill(login);
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('button', { name: 'Make a passkey' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
}

/** Pictures for people, where the environment names a folder for them. */
async function picture({ page }: Someone, name: string): Promise<void> {
  const folder = process.env.PICTURES_FOLDER;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  for (const [kind, scheme, width] of [
    ['wide', 'light', 1280],
    ['dark', 'dark', 1280],
    ['narrow', 'light', 768],
  ] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 900 });
    await page.screenshot({ path: join(folder, `console-${name}-${kind}.png`), fullPage: true });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1280, height: 900 });
}

t.test('F40 F43 the first owner comes in, invites another admin, and each sees what they may', async (t) => {
  const owner = await someone();
  const link = await inviteUrl('owner');
  await owner.page.goto(link);
  await owner.page.getByText('You are to be an owner of this server.').waitFor();
  t.notMatch(owner.page.url(), link.split('/').at(-1) ?? '', 'the token is out of the address');
  await picture(owner, 'link');
  t.strictSame(await axeFindings(owner.page), []);
  await owner.page.getByLabel('Login').fill('olga');
  await owner.page.getByLabel('Name').fill('Olga Owner');
  await owner.page.getByLabel('Password').fill('olga-owner-2026');
  await owner.page.getByRole('button', { name: 'Continue' }).click();
  t.match(await owner.page.getByRole('alert').innerText(), /hard to guess/);
  await owner.page.getByLabel('Password').fill(PASSWORD);
  await owner.page.getByRole('button', { name: 'Continue' }).click();
  await owner.page.getByRole('heading', { name: 'Set up a second factor' }).waitFor();
  await picture(owner, 'enrol');
  t.strictSame(await axeFindings(owner.page), []);
  await owner.page.getByRole('button', { name: 'Make a passkey' }).click();
  await owner.page.getByText('Everything works.').waitFor();
  await picture(owner, 'overview');
  t.strictSame(await axeFindings(owner.page), []);

  await owner.page.getByRole('link', { name: 'Admins' }).click();
  await owner.page.getByLabel('Role of the new admin').selectOption('viewer');
  await owner.page.getByRole('button', { name: 'Make a link' }).click();
  const invitation = (await owner.page.locator('.told code').innerText()).trim();
  await picture(owner, 'admins');
  t.strictSame(await axeFindings(owner.page), []);

  const viewer = await someone();
  await joinAs(viewer, invitation, 'vera', 'Vera <b>Viewer</b>');
  await viewer.page.getByRole('link', { name: 'Admins' }).click();
  await viewer.page.getByRole('row', { name: /olga/ }).waitFor();
  t.equal(
    await viewer.page.getByRole('button', { name: 'Make a link' }).count(),
    0,
    'a viewer invites nobody',
  );

  await owner.page.reload();
  await owner.page.getByRole('cell', { name: 'Vera <b>Viewer</b>' }).waitFor();
  await owner.page.getByRole('button', { name: 'Disable vera' }).click();
  await owner.page.getByRole('button', { name: 'Enable vera' }).waitFor();
  await viewer.page.reload();
  await viewer.page.getByRole('heading', { name: 'Sign in' }).waitFor();
  t.match(await admin('list'), [{ login: 'olga' }, { login: 'vera', disabledAt: String }]);
  t.strictSame([...owner.complaints, ...viewer.complaints], []);
});

t.test('F43 signing in takes password and passkey, and a stale session asks for a proof', async (t) => {
  const person = await someone();
  await joinAs(person, await inviteUrl('owner'), 'paula', 'Paula');
  const { page } = person;
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Login').fill('paula');
  await page.getByLabel('Password').fill('not the password at all');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  await picture(person, 'refused');
  t.match(await page.getByRole('alert').innerText(), /do not belong together/);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Second factor' }).waitFor();
  await picture(person, 'second-factor');
  t.strictSame(await axeFindings(page), []);
  await page.getByRole('button', { name: 'Use passkey' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();

  // As after five minutes: the server's own memory of the proof goes.
  const config = loadConfig({ env: { VERBATIM_DATA_DIR: server.dataDir }, cwd: ROOT });
  const db = await openOperatorDatabase(config, silentLog);
  await db.sql`update admin_sessions set proven_at = now() - interval '6 minutes' where stage = 'full'`;
  await db.close();

  await page.getByRole('link', { name: 'Your account' }).click();
  await page.getByLabel('New password').fill('nine loud puffins on Lofoten');
  await page.getByRole('button', { name: 'Change' }).click();
  const dialog = page.getByRole('dialog', { name: 'Prove that it is you' });
  await dialog.waitFor();
  await picture(person, 'proof');
  t.strictSame(await axeFindings(page), []);
  await page.keyboard.press('Escape');
  await page.getByRole('alert').waitFor();
  t.match(await page.getByRole('alert').innerText(), /proof/, 'giving up says why nothing changed');
  await page.getByRole('button', { name: 'Change' }).click();
  await dialog.getByRole('button', { name: 'Use passkey' }).click();
  await page.getByText('The password is changed').waitFor();
  await picture(person, 'account');
  t.strictSame(await axeFindings(page), []);
  t.strictSame(person.complaints, []);
});

t.test('F43 the way back in by the command line, once', async (t) => {
  const lost = await someone();
  await joinAs(lost, await inviteUrl('operator'), 'lotte', 'Lotte');
  const { url } = await admin('recover', 'lotte');
  const again = await someone({ colorScheme: 'dark' });
  const link = server.url + new URL(url).pathname + new URL(url).hash;
  await again.page.goto(link);
  await again.page.getByRole('heading', { name: 'Come back' }).waitFor();
  await again.page.getByLabel('Password').fill('eleven slow barges near Ghent');
  await again.page.getByRole('button', { name: 'Continue' }).click();
  await again.page.getByRole('button', { name: 'Make a passkey' }).click();
  await again.page.getByRole('heading', { name: 'Overview' }).waitFor();
  await lost.page.reload();
  await lost.page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await lost.page.goto(link);
  t.match(await lost.page.getByRole('alert').innerText(), /was used/);
});
