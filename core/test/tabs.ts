import type { BrowserContext, Browser as Chromium } from 'playwright-core';
import { chromium } from 'playwright-core';
import type { Browser as PuppeteerBrowser, Page as PuppeteerPage } from 'puppeteer-core';
import puppeteer from 'puppeteer-core';
import { findProgram } from '../../scripts/lib/tools.ts';

export type Kind = 'Chromium' | 'Firefox';

/** Loading a page on a machine that is busy with tests. */
const LOAD_MS = 30_000;

/** One tab, in a profile of its own, of either browser. */
export interface Tab {
  kind: Kind;
  /** What the page logged as errors. */
  complaints: string[];
  open(url: string): Promise<void>;
  reload(): Promise<void>;
  /** Goes to the page before this one. */
  back(): Promise<void>;
  /** Clicks like a person, once it can be clicked; a selector reaches into shadows. */
  click(selector: string): Promise<void>;
  /** What is written there, once it is seen. */
  text(selector: string): Promise<string>;
  /** Runs in the page; what it answers has to be plain data. */
  run<A, R>(inPage: (arg: A) => R | Promise<R>, arg: A): Promise<R>;
  /** In mid-call, as in the browser's settings: a microphone that is taken away ends its track. Chromium only. */
  allowMicrophone?(allowed: boolean): Promise<void>;
  /** What the page holds, after a collection of garbage. Chromium only. */
  memory?(): Promise<{ heapBytes: number; nodes: number; listeners: number }>;
  /** Ends the tab's process. Chromium only. */
  crash?(): Promise<void>;
  close(): Promise<void>;
}

/** A browser of which each person gets a profile: nothing is shared between two tabs but the process. */
export interface RealBrowser {
  kind: Kind;
  tab(options?: TabOptions): Promise<Tab>;
  close(): Promise<void>;
}

export interface TabOptions {
  /** False: this person has refused the microphone. Chromium only. */
  microphone?: boolean;
}

/**
 * Headless Chromium that takes a WAV file for its microphone; without one it has no microphone at all.
 * @throws Error with one sentence when Debian's chromium is not there
 */
export async function launchChromium(wav?: string): Promise<RealBrowser> {
  const executablePath = findProgram('chromium');
  if (!executablePath) throw new Error('chromium is missing: apt-get install chromium');
  const microphone = ['--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${wav}`];
  const browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--autoplay-policy=no-user-gesture-required',
      '--disable-background-networking',
      '--disable-features=WebRtcHideLocalIpsWithMdns',
      ...(wav === undefined ? [] : microphone),
    ],
  });
  return {
    kind: 'Chromium',
    tab: ({ microphone = true } = {}) => chromiumTab(browser, microphone),
    close: () => browser.close(),
  };
}

async function chromiumTab(browser: Chromium, microphone: boolean): Promise<Tab> {
  const context: BrowserContext = await browser.newContext();
  context.setDefaultTimeout(LOAD_MS);
  // Only what is named is granted: every other permission is refused from then on.
  await context.grantPermissions([microphone ? 'microphone' : 'notifications']);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  return {
    kind: 'Chromium',
    complaints,
    open: async (url) => void (await page.goto(url)),
    reload: async () => void (await page.reload()),
    back: async () => void (await page.goBack()),
    click: (selector) => page.locator(selector).click(),
    text: (selector) => page.locator(selector).innerText(),
    // Playwright describes what an argument may be in types of its own.
    run: (inPage, arg) => page.evaluate(inPage as (arg: unknown) => never, arg),
    allowMicrophone: (allowed) =>
      allowed ? context.grantPermissions(['microphone']) : context.clearPermissions(),
    memory: async () => {
      const session = await context.newCDPSession(page);
      await session.send('HeapProfiler.collectGarbage');
      await session.send('Performance.enable');
      const { metrics } = await session.send('Performance.getMetrics');
      await session.detach();
      const of = (name: string): number => metrics.find((metric) => metric.name === name)?.value ?? 0;
      return { heapBytes: of('JSHeapUsedSize'), nodes: of('Nodes'), listeners: of('JSEventListeners') };
    },
    crash: async () => {
      const crashed = page.waitForEvent('crash');
      // It never answers: the process that would is the one that ends.
      page.goto('chrome://crash').catch(() => undefined);
      await crashed;
    },
    close: () => context.close(),
  };
}

/**
 * Headless Firefox whose microphone is a tone that never ends, or who refuses every page the microphone.
 * @throws Error with one sentence when Debian's firefox-esr is not there
 */
export async function launchFirefox({ microphone = true }: TabOptions = {}): Promise<RealBrowser> {
  const executablePath = findProgram('firefox-esr');
  if (!executablePath) throw new Error('firefox-esr is missing: apt-get install firefox-esr');
  const browser: PuppeteerBrowser = await puppeteer.launch({
    browser: 'firefox',
    executablePath,
    headless: true,
    timeout: 2 * LOAD_MS,
    extraPrefsFirefox: {
      // The second as its settings keep it: 2 is refused.
      ...(microphone
        ? { 'media.navigator.permission.disabled': true }
        : { 'permissions.default.microphone': 2 }),
      'media.navigator.streams.fake': true,
      'media.autoplay.default': 0,
      'media.autoplay.blocking_policy': 0,
      'media.peerconnection.ice.obfuscate_host_addresses': false,
    },
  });
  return {
    kind: 'Firefox',
    tab: async () => {
      const context = await browser.createBrowserContext();
      return puppeteerTab('Firefox', await context.newPage(), () => context.close());
    },
    close: () => browser.close(),
  };
}

/**
 * Headless Chromium that keeps pages in its back/forward cache, as people's do: Playwright turns that off.
 * @throws Error with one sentence when Debian's chromium is not there
 */
export async function launchCachingChromium(): Promise<RealBrowser> {
  const executablePath = findProgram('chromium');
  if (!executablePath) throw new Error('chromium is missing: apt-get install chromium');
  const browser: PuppeteerBrowser = await puppeteer.launch({
    executablePath,
    headless: true,
    timeout: 2 * LOAD_MS,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--use-fake-ui-for-media-stream',
      '--use-fake-device-for-media-stream',
      '--autoplay-policy=no-user-gesture-required',
      '--disable-features=WebRtcHideLocalIpsWithMdns',
    ],
  });
  return {
    kind: 'Chromium',
    tab: async () => {
      const context = await browser.createBrowserContext();
      return puppeteerTab('Chromium', await context.newPage(), () => context.close());
    },
    close: () => browser.close(),
  };
}

function puppeteerTab(kind: Kind, page: PuppeteerPage, close: () => Promise<void>): Tab {
  page.setDefaultTimeout(LOAD_MS);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error instanceof Error ? error.message : String(error)));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  return {
    kind,
    complaints,
    open: async (url) => void (await page.goto(url)),
    reload: async () => void (await page.reload()),
    back: async () => void (await page.goBack()),
    click: (selector) => page.locator(deep(selector)).click(),
    text: async (selector) => {
      const found = await page.waitForSelector(deep(selector), { visible: true });
      return (await found?.evaluate((element) => element.textContent)) ?? '';
    },
    run: (inPage, arg) => page.evaluate(inPage as (arg: unknown) => never, arg),
    close,
  };
}

/** In Puppeteer's words: each step of a selector may be in a shadow of the one before. */
function deep(selector: string): string {
  return selector
    .split(' ')
    .map((step) => `>>> ${step}`)
    .join(' ');
}
