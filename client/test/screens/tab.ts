import type { Page } from 'playwright-core';
import {
  haveRecordings,
  idOf,
  problem,
  reach,
  recording,
  rowOf,
  servePanel,
  signedOnPanel,
} from '../../ui/test/tab.ts';
import { startScript } from '../scripted-server.ts';
import type { Shot } from './shot.ts';

type Script = Awaited<ReturnType<typeof startScript>>;

interface TabState {
  name: string;
  query?: string;
  main?: boolean;
  /** What the server has and answers. */
  prepare(script: Script): void;
  show(page: Page, script: Script): Promise<void>;
}

const ROWS = [
  recording(0, { state: 'processing' }),
  recording(1),
  recording(2),
  recording(3, { state: 'failed', reason: 'no_audio' }),
  recording(4, {
    state: 'removed',
    reason: 'Order 2 C 17/26 of the district court',
    removedAt: '2026-11-20T09:30:00.000Z',
  }),
  recording(5, { state: 'expired', reason: 'expired' }),
];
const PATH = `/v1/recordings/${idOf(2)}`;
const LIST = 'GET /v1/chats/chat-1/recordings';

const rows = (script: Script): void => haveRecordings(script, ROWS);
const listed = (page: Page): Promise<void> => rowOf(page, 2).waitFor();

async function opened(page: Page, number: number): Promise<void> {
  await rowOf(page, number).locator('[part=toggle]').click();
  await rowOf(page, number).locator('[part=panel]').waitFor();
}

/** The second row plays, in the middle of its transcript. */
async function playing(page: Page): Promise<void> {
  await opened(page, 2);
  await page.locator('[part=line]').nth(2).click();
  await reach(page, 12);
}

const STATES: readonly TabState[] = [
  { name: 'list', prepare: rows, show: listed },
  { name: 'playing', main: true, prepare: rows, show: playing },
  { name: 'playing-rtl', query: 'dir=rtl&locale=de', prepare: rows, show: playing },
  {
    name: 'absent',
    prepare: rows,
    async show(page) {
      await opened(page, 4);
      await opened(page, 3);
    },
  },
  {
    name: 'listeners',
    prepare: rows,
    async show(page) {
      await opened(page, 2);
      await page.locator('[part=listeners-toggle]').click();
      await page.locator('[part=listeners] li').first().waitFor();
      await page.locator('[part=listeners]').scrollIntoViewIfNeeded();
    },
  },
  {
    name: 'failing-row',
    prepare(script) {
      rows(script);
      script.route(`GET ${PATH}/timeline`, () => problem(503, 'unavailable'));
      script.route(`GET ${PATH}/peaks`, () => problem(404, 'not_found'));
      script.route(`POST ${PATH}/grants`, () => problem(503, 'unavailable'));
    },
    async show(page) {
      await rowOf(page, 2).locator('[part=play]').click();
      await page.locator('[part=playback-error]').waitFor();
      await page.locator('[part=timeline-retry]').waitFor();
    },
  },
  {
    name: 'empty',
    prepare: (script) => haveRecordings(script, []),
    show: (page) => page.locator('[part=empty]').waitFor(),
  },
  {
    name: 'loading',
    prepare: (script) => script.route(LIST, () => new Promise(() => {})),
    show: (page) => page.locator('[part=loading]').waitFor(),
  },
  {
    name: 'failing',
    prepare: (script) => script.route(LIST, () => problem(503, 'unavailable')),
    show: (page) => page.locator('[part=error]').waitFor(),
  },
  {
    name: 'offline',
    prepare: rows,
    async show(page, script) {
      await listed(page);
      script.on('session.start', () => undefined);
      script.drop();
      await page.locator('[part=offline]').waitFor();
    },
  },
];

let started: Promise<Script> | undefined;

/** The Calls tab on a plain page, as wide as an info panel, against a server that says what each state needs. */
export const TAB_SHOTS: readonly Shot[] = STATES.map((state) => ({
  name: `tab-${state.name}`,
  ...(state.main ? { main: true } : {}),
  async take(browser, client, { colorScheme, width, height }) {
    started ??= startScript(client);
    const script = await started;
    servePanel(script);
    script.reset();
    state.prepare(script);
    const { page, close } = await signedOnPanel(browser, script, state.query);
    try {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height });
      await state.show(page, script);
      return await page.screenshot({ animations: 'disabled', fullPage: true });
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
