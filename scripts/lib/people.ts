import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import type { CallMode, CallView, DemoToken, Recording } from '#protocol';
import { findProgram } from './tools.ts';

export type Name = 'alice' | 'bob';

/** The `part`s of the call elements (client/ui/README.md) that a person clicks; a selector reaches into open shadows. */
const MARKS = {
  menu: 'verbatim-call-button [part~="button"]',
  call: {
    voice: '[part~="menu-item"][data-mode="voice"]',
    secure: '[part~="menu-item"][data-mode="secure"]',
  },
  consent: '[part~="consent-agree"]',
  accept: '[part~="accept"]',
  decline: '[part~="decline"]',
  hangUp: '[part~="hangup"]',
  mute: '[part~="mute"]',
} as const;

/** What a click is told from in the page: the last step of each selector, since `matches` looks at one tree only. */
const ALL_MARKS = Object.values(MARKS)
  .flatMap((mark) => (typeof mark === 'string' ? [mark] : Object.values(mark)))
  .map(lastStep);

/** Nothing that a person waits for in a call may take longer on a machine that is busy with tests. */
const TIMEOUT_MS = 20_000;
const POLL_MS = 20;

/** One event of the SDK in a page, or a click. `atMs` is Unix time with fractions, comparable between pages of one machine. */
export type Seen = { atMs: number } & (
  | { type: 'call'; call: CallView | null }
  | { type: 'incoming'; call: CallView }
  | { type: 'ended'; call: CallView; error: string | null }
  | { type: 'recording'; recordingId: string; state: string; reason: string | null }
  | { type: 'connection'; state: string }
  | { type: 'click'; mark: string }
);

/** The SDK's figures of a call (client/sdk `CallStats`), as far as tests look at them. */
export interface CallStats {
  inbound: { packets: number; bytes: number; lost: number; jitter: number; totalAudioEnergy: number };
  outbound: { packets: number; bytes: number };
  rttMs?: number;
}

/**
 * The part of client/sdk `VerbatimClient` that is used here. It is written down again because the SDK's own types
 * need those of the DOM, which programs outside the browser do not have.
 */
interface PageClient {
  state: string;
  on(event: 'connection', listener: (event: { state: string }) => void): void;
  on(event: 'call', listener: (call: CallView | undefined) => void): void;
  on(event: 'incoming', listener: (call: CallView) => void): void;
  on(event: 'ended', listener: (event: { call: CallView; error?: { code: string } }) => void): void;
  on(
    event: 'recording',
    listener: (event: { recordingId: string; state: string; reason?: string }) => void,
  ): void;
  stats(): Promise<CallStats>;
  listRecordings(chatId: string): Promise<{ recordings: Recording[] }>;
  playbackUrl(recordingId: string, disposition: 'inline' | 'attachment'): Promise<string>;
}

/** What the demo page has, as its scripts see it. */
interface DemoWindow {
  verbatim?: PageClient;
  verbatimSeen?: Seen[];
}

interface Marked {
  matches(selector: string): boolean;
}

interface ClickSource {
  addEventListener(
    type: 'click',
    listener: (event: { composedPath(): readonly object[] }) => void,
    capture: boolean,
  ): void;
}

/**
 * Headless Chromium with a WAV file as its microphone, as root and without a network too. `starter` starts it elsewhere.
 * @throws Error with one sentence when Debian's chromium is not there
 */
export function launchBrowser(wav: string, starter?: string): Promise<Browser> {
  const executablePath = starter ?? findProgram('chromium');
  if (!executablePath) return Promise.reject(new Error('chromium is missing: apt-get install chromium'));
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--use-fake-ui-for-media-stream',
      '--use-fake-device-for-media-stream',
      `--use-file-for-fake-audio-capture=${wav}`,
      '--autoplay-policy=no-user-gesture-required',
      '--disable-background-networking',
      '--disable-features=WebRtcHideLocalIpsWithMdns',
      '--allow-loopback-in-peer-connection',
    ],
  });
}

export interface OpenPersonOptions {
  /** The server, `http://localhost:PORT`. */
  url: string;
  as: Name;
  /** What this person says. */
  wav: string;
  /** A browser that is there already, for one more device of the same person. */
  browser?: Browser;
}

/** Opens the demo messenger as one of the two people and waits until they are online. */
export async function openPerson({ url, as, wav, browser }: OpenPersonOptions): Promise<Person> {
  const own = browser ?? (await launchBrowser(wav));
  try {
    const context = await own.newContext();
    context.setDefaultTimeout(TIMEOUT_MS);
    const page = await context.newPage();
    const person = new Person({ url, as, page, context, browser: own, ownsBrowser: browser === undefined });
    await person.open();
    return person;
  } catch (error) {
    if (browser === undefined) await own.close();
    throw error;
  }
}

/** One person at one page of the demo messenger: clicks like a person, and sees what the page's SDK sees. */
export class Person {
  readonly as: Name;
  readonly page: Page;
  readonly browser: Browser;
  /** What the page logged as errors. */
  readonly complaints: string[] = [];
  readonly #url: string;
  readonly #context: BrowserContext;
  readonly #ownsBrowser: boolean;

  constructor(options: {
    url: string;
    as: Name;
    page: Page;
    context: BrowserContext;
    browser: Browser;
    ownsBrowser: boolean;
  }) {
    this.as = options.as;
    this.page = options.page;
    this.browser = options.browser;
    this.#url = options.url;
    this.#context = options.context;
    this.#ownsBrowser = options.ownsBrowser;
    this.page.on('pageerror', (error) => this.complaints.push(error.message));
    this.page.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
  }

  /** Loads the page (again) and waits until it is signed in. */
  async open(): Promise<void> {
    await this.page.goto(`${this.#url}/demo/?as=${this.as}`);
    await this.#until('be online', () => {
      const { verbatim } = globalThis as DemoWindow;
      return verbatim?.state === 'online';
    });
    await this.page.evaluate(watch, ALL_MARKS);
  }

  /** A part of the call elements, in whichever it is (client/ui/README.md). */
  part(name: string, within: string | Locator = 'body'): Locator {
    const place = typeof within === 'string' ? this.page.locator(within) : within;
    return place.locator(`[part~="${name}"]`);
  }

  /** Places a call as a person does: the menu, and for a secure call the consent to the disclosure text. */
  async call(mode: CallMode): Promise<void> {
    await this.#click(MARKS.menu);
    await this.#click(MARKS.call[mode]);
    if (mode === 'secure') await this.#click(MARKS.consent);
  }

  /** Waits for the ringing and accepts. Answers the moment of the click, in Unix time with fractions. */
  accept(): Promise<number> {
    return this.#click(MARKS.accept);
  }

  decline(): Promise<number> {
    return this.#click(MARKS.decline);
  }

  /** Hangs up. Answers the moment of the click. */
  hangUp(): Promise<number> {
    return this.#click(MARKS.hangUp);
  }

  /** Presses the mute button, which unmutes the second time. */
  toggleMute(): Promise<number> {
    return this.#click(MARKS.mute);
  }

  /** Waits until the page's call is in this state; `recording` is an active call that is recorded. */
  async waitStatus(
    status: CallView['state'] | 'recording' | 'incoming',
    timeoutMs = TIMEOUT_MS,
  ): Promise<Seen> {
    return this.waitFor(
      `see the call ${status}`,
      (seen) => {
        if (status === 'ended') return seen.type === 'ended';
        if (status === 'incoming') return seen.type === 'incoming';
        if (seen.type !== 'call' || seen.call === null) return false;
        return status === 'recording' ? seen.call.recording : seen.call.state === status;
      },
      timeoutMs,
    );
  }

  /** Waits until a recording of the chat is Available. @throws Error when it has failed instead */
  async waitAvailable(recordingId: string, timeoutMs = TIMEOUT_MS): Promise<Seen> {
    const seen = await this.waitFor(
      'see the recording Available',
      (one) =>
        one.type === 'recording' &&
        one.recordingId === recordingId &&
        (one.state === 'available' || one.state === 'failed'),
      timeoutMs,
    );
    if (seen.type === 'recording' && seen.state === 'failed')
      throw new Error(`The recording ${recordingId} has failed: ${seen.reason ?? 'no reason given'}.`);
    return seen;
  }

  /** The first event that fits, of those that came and those that will. `what` completes "alice did not …". */
  async waitFor(what: string, fits: (seen: Seen) => boolean, timeoutMs = TIMEOUT_MS): Promise<Seen> {
    const deadline = Date.now() + timeoutMs;
    for (let from = 0; ; ) {
      const seen = await this.seen();
      const found = seen.slice(from).find(fits);
      if (found) return found;
      from = seen.length;
      const left = deadline - Date.now();
      if (left <= 0) break;
      const arg = { from, key: 'verbatimSeen' } as const;
      await this.page
        .waitForFunction((it) => ((globalThis as DemoWindow)[it.key]?.length ?? 0) > it.from, arg, {
          timeout: left,
          polling: POLL_MS,
        })
        .catch(() => undefined);
    }
    throw new Error(`${this.as} did not ${what} within ${timeoutMs} ms; ${await this.#story()}`);
  }

  /** Everything the page's SDK reported since it was opened. */
  seen(): Promise<Seen[]> {
    return this.page.evaluate(() => (globalThis as DemoWindow).verbatimSeen ?? []);
  }

  /** What this page has sent and heard in the running call, or in the last one. */
  stats(): Promise<CallStats> {
    return this.page.evaluate(async () => {
      const { verbatim } = globalThis as DemoWindow;
      if (verbatim === undefined) throw new Error('the page has no client');
      return verbatim.stats();
    });
  }

  /** The chat's recordings as this person's page lists them, newest first. */
  async recordings(): Promise<Recording[]> {
    const { chatId } = await this.token();
    return this.page.evaluate(async (chat) => {
      const { verbatim } = globalThis as DemoWindow;
      if (verbatim === undefined) throw new Error('the page has no client');
      return (await verbatim.listRecordings(chat)).recordings;
    }, chatId);
  }

  /** This person's copy of a recording, fetched by the page through a grant of its own. */
  async download(recordingId: string): Promise<Buffer> {
    const base64 = await this.page.evaluate(async (id) => {
      const { verbatim } = globalThis as DemoWindow;
      if (verbatim === undefined) throw new Error('the page has no client');
      const answer = await fetch(await verbatim.playbackUrl(id, 'attachment'), { credentials: 'include' });
      if (!answer.ok) throw new Error(`the copy answers ${answer.status}: ${await answer.text()}`);
      const bytes = new Uint8Array(await answer.arrayBuffer());
      let text = '';
      // In parts: a call takes only so many arguments.
      for (let at = 0; at < bytes.length; at += 8_192) {
        text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
      }
      return btoa(text);
    }, recordingId);
    return Buffer.from(base64, 'base64');
  }

  /** A fresh token of this person, and who and where they are. */
  async token(): Promise<DemoToken> {
    const answer = await fetch(`${this.#url}/demo/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ as: this.as }),
    });
    if (!answer.ok) throw new Error(`the demo answers ${answer.status}: is it turned on (demo.enabled)?`);
    return (await answer.json()) as DemoToken;
  }

  /** Closes the page, and the browser if this person opened it. Does nothing the second time. */
  async close(): Promise<void> {
    await this.#context.close().catch(() => undefined);
    if (this.#ownsBrowser) await this.browser.close();
  }

  /** Waits until a person could click there, clicks, and answers when the page noticed. */
  async #click(mark: string): Promise<number> {
    try {
      await this.page.locator(mark).click();
    } catch (error) {
      throw new Error(`${this.as} could not click ${mark}; ${await this.#story()}`, { cause: error });
    }
    const last = (await this.seen()).findLast((one) => one.type === 'click' && one.mark === lastStep(mark));
    if (!last) throw new Error(`${this.as} clicked ${mark}, and the page did not notice`);
    return last.atMs;
  }

  async #until(what: string, condition: () => boolean): Promise<void> {
    try {
      await this.page.waitForFunction(condition, undefined, { timeout: TIMEOUT_MS, polling: POLL_MS });
    } catch (error) {
      throw new Error(`${this.as} did not ${what} within ${TIMEOUT_MS} ms; ${await this.#story()}`, {
        cause: error,
      });
    }
  }

  /** What happened so far, for the message of an error. */
  async #story(): Promise<string> {
    const seen = await this.seen().catch(() => []);
    const events = seen.map((one) => {
      if (one.type === 'call' || one.type === 'incoming') return `${one.type} ${one.call?.state ?? 'none'}`;
      if (one.type === 'ended') return `ended ${one.call.endReason ?? ''} ${one.error ?? ''}`.trim();
      return `${one.type} ${one.type === 'click' ? one.mark : one.state}`;
    });
    const complaints = this.complaints.length > 0 ? `; the page says: ${this.complaints.join(' / ')}` : '';
    return `seen: ${events.join(', ') || 'nothing'}${complaints}`;
  }
}

function lastStep(selector: string): string {
  return selector.slice(selector.lastIndexOf(' ') + 1);
}

/** Runs in the page: keeps what the SDK reports, with the time. */
function watch(marks: readonly string[]): void {
  const page = globalThis as DemoWindow;
  const client = page.verbatim;
  if (client === undefined || page.verbatimSeen !== undefined) return;
  const seen: Seen[] = [];
  page.verbatimSeen = seen;
  // The scripts of this project are checked without the DOM's types.
  const { document } = globalThis as unknown as { document: ClickSource };
  const at = (): number => performance.timeOrigin + performance.now();
  const click = (event: { composedPath(): readonly object[] }): void => {
    // From the innermost element outwards, through the shadows.
    const clicked = event
      .composedPath()
      .filter((node): node is Marked => 'matches' in node)
      .flatMap((node) => marks.filter((mark) => node.matches(mark)));
    const [mark] = clicked;
    if (mark !== undefined) seen.push({ atMs: at(), type: 'click', mark });
  };
  // In the capture phase: before the page's own handlers have done anything.
  document.addEventListener('click', click, true);
  client.on('connection', ({ state }) => seen.push({ atMs: at(), type: 'connection', state }));
  client.on('incoming', (call) => seen.push({ atMs: at(), type: 'incoming', call }));
  client.on('call', (call) => seen.push({ atMs: at(), type: 'call', call: call ?? null }));
  client.on('ended', ({ call, error }) =>
    seen.push({ atMs: at(), type: 'ended', call, error: error?.code ?? null }),
  );
  client.on('recording', ({ recordingId, state, reason }) =>
    seen.push({ atMs: at(), type: 'recording', recordingId, state, reason: reason ?? null }),
  );
}
