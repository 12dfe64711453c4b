import type { Page } from 'playwright-core';
import { haveRecordings, recording } from '../../ui/test/tab.ts';
import { newPage } from '../browser.ts';
import { BOB, serveDemo } from '../demo-server.ts';
import { callView, startScript } from '../scripted-server.ts';
import type { Shot } from './shot.ts';

type Script = Awaited<ReturnType<typeof startScript>>;

interface DemoState {
  name: string;
  /** What follows the address of the demo. */
  at: string;
  show(page: Page, script: Script): Promise<void>;
}

const TALK: readonly [who: string, text: string, chatId?: string][] = [
  ['bob', 'Good morning! Did you get the plans for the harbour?'],
  ['alice', 'Yes, last night. Page 3 has two versions of the same wall, which one is it?'],
  ['bob', 'The second one.'],
  ['bob', 'https://plans.example/harbour/2026/11/a-very-long-address-that-does-not-break-by-itself.pdf'],
  ['alice', 'Can you talk? It is easier than writing.'],
  ['carol', 'Chapter seven for Thursday.', 'room-1'],
  ['bob', 'I will be late.', 'room-1'],
];

const said = (page: Page): Promise<void> => page.getByTestId('message').last().waitFor();

async function talk(page: Page, script: Script): Promise<void> {
  const call = callView({ side: 'callee', mode: 'secure', peer: BOB });
  script.notify('call.incoming', { call });
  await page.locator('[part~="accept"]').click();
  await script.next('call.accept');
  const activeAt = new Date(Date.now() - 65_000).toISOString();
  script.notify('call.changed', { call: { ...call, state: 'active', recording: true, activeAt } });
  await page.locator('[part~="recording-badge"]').waitFor();
}

async function infoPanel(page: Page): Promise<void> {
  if ((await page.getByTestId('info-panel').count()) === 0) await page.getByTestId('info-toggle').click();
  await page.getByTestId('info-panel').waitFor();
}

const STATES: readonly DemoState[] = [
  { name: 'choose', at: '', show: (page) => page.getByTestId('choose').waitFor() },
  { name: 'chats', at: '?as=alice#/', show: (page) => page.getByTestId('chat-direct').waitFor() },
  { name: 'chat', at: '?as=alice#/chat/chat-1', show: said },
  {
    name: 'calls',
    at: '?as=alice#/chat/chat-1',
    async show(page) {
      await said(page);
      await infoPanel(page);
      await page.locator('[part~="row"]').first().waitFor();
    },
  },
  {
    name: 'about',
    at: '?as=alice#/chat/chat-1',
    async show(page) {
      await infoPanel(page);
      await page.getByTestId('tab-about').click();
    },
  },
  {
    name: 'call',
    at: '?as=alice#/chat/chat-1',
    async show(page, script) {
      await said(page);
      await talk(page, script);
    },
  },
  { name: 'room', at: '?as=alice#/chat/room-1', show: said },
  { name: 'notes', at: '?as=alice#/notes', show: (page) => page.getByTestId('notes').waitFor() },
];

let started: Promise<Script> | undefined;

/** The demo messenger, against a server that says what each state needs. */
export const DEMO_SHOTS: readonly Shot[] = STATES.map((state) => ({
  name: `demo-${state.name}`,
  async take(browser, client, { colorScheme, width, height }) {
    started ??= startScript(client);
    const script = await started;
    script.reset();
    const { say } = serveDemo(script);
    haveRecordings(script, [recording(0, { state: 'processing' }), recording(1), recording(2)]);
    for (const line of TALK) say(...line);
    const { page, close } = await newPage(browser, 'about:blank');
    try {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height });
      await page.goto(`${script.url}/demo/${state.at}`);
      const online = page.locator('[data-testid=connection][data-state=online]');
      if (state.at !== '') await online.waitFor({ state: 'attached' });
      await state.show(page, script);
      return await page.screenshot({ animations: 'disabled' });
    } finally {
      await close();
    }
  },
  async close() {
    const script = started;
    started = undefined;
    await (await script)?.close();
  },
}));
