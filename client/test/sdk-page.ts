import type { Browser, Page } from 'playwright-core';
import type { Test } from 'tap';
import type { ClientEvents, VerbatimClient } from '../sdk/index.ts';
import { builtClient, launch, newPage } from './browser.ts';
import { startScript } from './scripted-server.ts';

/** For tests: the SDK as messengers load it, in a real browser, against a server that says what each test needs. */

export interface SdkWindow {
  client: VerbatimClient;
  log: [keyof ClientEvents, unknown][];
  tokens: number;
  micTracks: MediaStreamTrack[];
  micGate: { gate?: Promise<void> };
  openGate: () => void;
}

declare const window: SdkWindow;

export interface PageOptions {
  token?: string;
  renewable?: boolean;
  microphone?: boolean;
  url?: string;
}

type Script = Awaited<ReturnType<typeof startScript>>;

export interface SdkStage {
  browser: Browser;
  script: Script;
  /** A page with `window.client`, not connected yet, and `window.log` of all its events. */
  openPage(t: Test, options?: PageOptions): Promise<Page>;
  openConnected(t: Test, options?: PageOptions): Promise<Page>;
}

/** Builds the client and starts server and browser, for one test file. */
export async function openSdkStage(t: Test): Promise<SdkStage> {
  // A browser page for each test; the machine may be busy.
  t.setTimeout(240_000);
  const client = await builtClient();
  const script = await startScript(client.dir);
  const browser = await launch();
  t.teardown(async () => {
    await browser.close();
    await script.close();
    await client.remove();
  });
  t.beforeEach(() => script.reset());

  const openPage = async (t: Test, options: PageOptions = {}): Promise<Page> => {
    const { page, errors, close } = await newPage(browser, options.url ?? script.url, options);
    t.teardown(async () => {
      await close();
      // Assertions are over by now; a throw fails the test all the same.
      if (errors.length > 0) throw new Error(`the page reported ${errors.join('; ')}`);
    });
    await page.evaluate(
      async ({ url, renewable }) => {
        const { VerbatimClient } = await import(`${url}/sdk/verbatim.js`);
        window.tokens = 0;
        window.log = [];
        const getToken = async (): Promise<string> => {
          window.tokens += 1;
          return `token-${window.tokens}`;
        };
        window.client = new VerbatimClient({ url, ...(renewable ? { getToken } : { token: 'token' }) });
        for (const name of [
          'connection',
          'call',
          'incoming',
          'ended',
          'muted',
          'timer',
          'quality',
          'devices',
          'recording',
          'trouble',
        ] as const) {
          window.client.on(name, (payload) => window.log.push([name, payload]));
        }
      },
      { url: options.url ?? script.url, renewable: options.renewable ?? false },
    );
    return page;
  };
  const openConnected = async (t: Test, options: PageOptions = {}): Promise<Page> => {
    const page = await openPage(t, options);
    await page.evaluate(() => window.client.connect());
    return page;
  };
  return { browser, script, openPage, openConnected };
}

/** `ok`, or the code of the error. */
export function attempt(page: Page, act: 'startCall' | 'accept' | 'connect' | 'disclosure'): Promise<string> {
  return page.evaluate(async (what) => {
    const { client } = window;
    try {
      if (what === 'startCall') await client.startCall({ chatId: 'chat-1', mode: 'secure' });
      else if (what === 'accept') await client.accept();
      else if (what === 'connect') await client.connect();
      else await client.disclosure();
      return 'ok';
    } catch (error) {
      return `${(error as { name: string }).name} ${(error as { code: string }).code}`;
    }
  }, act);
}

/** The payload of the first event of this name that fits, past or future. */
export async function event(
  page: Page,
  name: keyof ClientEvents,
  key?: string,
  value?: unknown,
): Promise<unknown> {
  const handle = await page.waitForFunction(
    ([name, key, value]) => {
      const fits = (payload: unknown): boolean =>
        key === undefined ||
        (typeof payload === 'object' &&
          payload !== null &&
          (payload as Record<string, unknown>)[key] === value);
      const found = window.log.find(([event, payload]) => event === name && fits(payload));
      return found && { payload: found[1] };
    },
    [name, key, value] as const,
  );
  return (await handle.jsonValue())?.payload;
}
