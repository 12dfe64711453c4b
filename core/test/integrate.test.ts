import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Page } from 'playwright-core';
import t from 'tap';
import { launchBrowser } from '../../scripts/lib/people.ts';
import { speak } from '../../scripts/lib/speech.ts';
import { startTemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { ensureMediaWorker } from '../../scripts/media-worker/ensure.ts';

// The blocks of docs/integrate.md, with what the page itself says that is replaced.
t.setTimeout(220_000);

const root = resolve(import.meta.dirname, '../..');
const WAIT_MS = 30_000;

/** Every fenced block of the page, by language, in order; the settings for TypeScript are for another test. */
async function blocksOf(path: string): Promise<Record<'sh' | 'js' | 'html' | 'txt', string[]>> {
  const blocks = { sh: [] as string[], js: [] as string[], html: [] as string[], txt: [] as string[] };
  for (const [, language = '', body = ''] of (await readFile(path, 'utf8')).matchAll(
    /```(\w+)\n([\s\S]*?)```/g,
  )) {
    if (language === 'sh' || language === 'js' || language === 'html' || language === 'txt')
      blocks[language].push(body);
    else if (language !== 'json') throw new Error(`a block of ${language}`);
  }
  return blocks;
}

async function run(script: string, cwd: string, env: Record<string, string>): Promise<string> {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (out += String(chunk)));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`the block ended with ${code}:\n${script}\n${out}`);
  return out;
}

/**
 * The messenger's address, from the first moment on: the guide needs it before the messenger runs, and a port that was
 * free once may be another's then. What comes there goes on to the messenger's own socket.
 */
async function holdAddress(messenger: string): Promise<{ port: number; close(): void }> {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const onward = connect(messenger);
    for (const [one, other] of [[client, onward] as const, [onward, client] as const]) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }).listen(0, 'localhost');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const close = (): void => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  return { port: address.port, close };
}

t.test('F3 F17 F50 the blocks of the guide lead from nothing to a recorded call', async (t) => {
  const blocks = await blocksOf(join(root, 'docs/integrate.md'));
  t.same(
    Object.entries(blocks).map(([language, { length }]) => `${language} ${length}`),
    ['sh 2', 'js 2', 'html 1', 'txt 1'],
  );
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-integrate-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const mediaWorker = await ensureMediaWorker({ log: () => {} });
  const server = await startTemporaryServer({ mediaWorker, env: { VERBATIM_DEMO_ENABLED: 'false' } });
  t.teardown(() => server.close());
  const socket = join(folder, 'messenger.sock');
  const { port, close } = await holdAddress(socket);
  t.teardown(close);
  const here = (text: string | undefined): string =>
    (text ?? '')
      .replaceAll('wss://calls.example', server.url.replace('http', 'ws'))
      .replaceAll('https://calls.example', server.url)
      .replaceAll('https://chat.example', `http://localhost:${port}`)
      .replaceAll('./scripts/app', `./scripts/app --data '${server.dataDir}'`);

  const told = await run(here(blocks.sh[0]), root, {});
  const kid = /^Key id: +(\S+)/m.exec(told)?.[1];
  const secret = /^Secret: +(\S+)/m.exec(told)?.[1];
  t.ok(kid && secret, 'the key is printed');
  const env = { VERBATIM_KEY: `${kid}.${secret}` };
  const answers = await run(here(blocks.sh[1]), folder, env);
  t.match(answers, /Ann Example[\s\S]*Ben Example[\s\S]*ann-and-ben/, 'users and chat are there');

  const files = { 'messenger.mjs': blocks.js[0], 'messenger.js': blocks.js[1] };
  for (const [name, text] of Object.entries(files)) {
    t.equal(text?.split('\n', 1)[0], `// ${name}`, 'the block names its file');
    await writeFile(join(folder, name), here(text));
  }
  await writeFile(join(folder, 'messenger.html'), here(blocks.html[0]));
  await writeFile(join(folder, 'policy.txt'), here(blocks.txt[0]));
  const messenger: ChildProcess = spawn(process.execPath, [join(folder, 'messenger.mjs')], {
    // Node listens on a socket of this path, too.
    env: { ...process.env, ...env, PORT: socket },
    stdio: 'inherit',
  });
  t.teardown(() => messenger.kill());

  const wav = join(folder, 'ann.wav');
  await speak('alice', wav);
  const browser = await launchBrowser(wav);
  t.teardown(() => browser.close());
  const complaints: string[] = [];
  const open = async (as: string): Promise<Page> => {
    const context = await browser.newContext();
    context.setDefaultTimeout(WAIT_MS);
    const page = await context.newPage();
    page.on('console', (message) => void (message.type() === 'error' && complaints.push(message.text())));
    page.on('pageerror', (error) => complaints.push(error.message));
    const deadline = Date.now() + WAIT_MS;
    while (!(await page.goto(`http://localhost:${port}/?as=${as}`).catch(() => undefined)))
      if (Date.now() > deadline) throw new Error('the messenger does not answer');
    await page.locator('verbatim-call-button [part~="button"]:not([aria-disabled="true"])').waitFor();
    return page;
  };
  const ann = await open('ann');
  const ben = await open('ben');
  await ann.locator('verbatim-call-button [part~="button"]').click();
  await ann.locator('[part~="menu-item"][data-mode="secure"]').click();
  await ann.locator('[part~="disclosure"]').filter({ hasText: 'not end-to-end encrypted' }).waitFor();
  await ann.locator('[part~="consent-agree"]').click();
  await ben.locator('verbatim-call-popup [part~="name"]').filter({ hasText: 'Ann Example' }).waitFor();
  await ben.locator('[part~="accept"]').click();
  for (const page of [ann, ben]) await page.locator('[part~="recording-badge"]').waitFor();
  await ann
    .locator('verbatim-call-popup [part~="timer"]')
    .filter({ hasText: /^00:0[3-9]$/ })
    .waitFor();
  await ben.locator('[part~="hangup"]').click();
  for (const page of [ann, ben]) {
    const row = page.locator('[part~="row"][data-state="available"]');
    await row.waitFor();
    await row.locator('[part~="play"]').click();
    await row.locator('[part~="slider"]:not([aria-valuenow="0"])').waitFor();
    t.pass('F24 F25 the recording is in the Calls tab, and plays on the messenger’s own origin');
  }
  t.same(complaints, [], 'under the policy that the guide names, the page has nothing to complain of');
});
