import type { Browser, Page } from 'playwright-core';
import type { Test } from 'tap';
import type { AccessPage, Recording, Timeline, Waveform } from '#protocol';
import { newPage } from '../../test/browser.ts';
import type { startScript } from '../../test/scripted-server.ts';
import { CALL_ID } from '../../test/scripted-server.ts';
import { STRICT_CSP } from './messenger.ts';

/** For tests: a messenger's info panel with the Calls tab in it, and a server that has recordings. */

type Script = Awaited<ReturnType<typeof startScript>>;

const STYLE = `
  html { color-scheme: light dark; }
  body { margin: 0; font-family: system-ui, sans-serif; background: Canvas; color: CanvasText; }
  main { max-width: 40rem; margin: auto; }
  h1 { margin: 0; padding: .9rem 1rem; font-size: 1.1rem; border-bottom: 1px solid #8884; }
`;

const SCRIPT = `
  import { connectVerbatim, setLocale } from '/ui/verbatim-ui.js';
  const query = new URLSearchParams(location.search);
  window.violations = [];
  addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));
  window.rejections = [];
  addEventListener('unhandledrejection', (event) => rejections.push(String(event.reason)));
  if (query.get('dir')) document.documentElement.dir = query.get('dir');
  if (query.get('locale')) setLocale(query.get('locale'));
  window.verbatim = connectVerbatim({ url: location.origin, token: 'token', device: 'device-of-test' });
`;

const SECOND = 1_000;
const DAY = 86_400 * SECOND;
/** Of the sound that every Available recording of these tests has. */
export const DURATION_MS = 40 * SECOND;

/** The id of the recording with this number. */
export function idOf(number: number): string {
  return `0b5e55ed-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/** Recording `number` began that many days before a fixed day; alice called bob when the number is even. */
export function recording(number: number, changes: Partial<Recording> = {}): Recording {
  const startedMs = Date.UTC(2026, 2, 20, 14, 5) - number * DAY;
  const alice = { userId: 'alice', name: 'Alice Moreau' };
  const bob = { userId: 'bob', name: 'Bob Castillo' };
  const [caller, callee] = number % 2 === 0 ? [alice, bob] : [bob, alice];
  const available = (changes.state ?? 'available') === 'available';
  return {
    id: idOf(number),
    callId: CALL_ID,
    chatId: 'chat-1',
    mode: 'secure',
    state: 'available',
    caller,
    callee,
    startedAt: new Date(startedMs).toISOString(),
    endedAt: new Date(startedMs + DURATION_MS).toISOString(),
    ...(available ? { durationMs: DURATION_MS, sizeBytes: 312_456, format: 'audio/webm; codecs=opus' } : {}),
    ...changes,
  };
}

/** Speech in turns: who of the two is heard changes every few seconds, as loud as speech is. */
export function waveform(): Waveform {
  const pixels = DURATION_MS / 100;
  const data: number[] = [];
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const wave = 0.55 + 0.45 * Math.sin(pixel * 1.7) * Math.sin(pixel * 0.31);
    const loud = Math.round(6_000 * wave ** 2);
    const callerSpeaks = Math.floor(pixel / 55) % 2 === 0;
    const both = pixel % 137 < 9;
    for (const amplitude of [callerSpeaks || both ? loud : 25, !callerSpeaks || both ? loud : 25]) {
      data.push(-amplitude, amplitude);
    }
  }
  return {
    version: 2,
    channels: 2,
    sample_rate: 48_000,
    samples_per_pixel: 4_800,
    bits: 16,
    length: pixels,
    data,
  };
}

export const TIMELINE: Timeline = {
  segments: [
    {
      side: 'caller',
      startMs: 300,
      endMs: 5_200,
      text: 'Hello Bob. I agree to the price that we spoke of last week.',
    },
    {
      side: 'callee',
      startMs: 5_600,
      endMs: 10_800,
      text: 'Good. Then let us settle the date of the delivery, too.',
    },
    {
      side: 'caller',
      startMs: 11_000,
      endMs: 16_300,
      text: 'The twelfth of April, in the morning. I send you the address in the chat.',
    },
    {
      side: 'callee',
      startMs: 16_600,
      endMs: 21_900,
      text: 'I have it. The twelfth, in the morning, it is.',
    },
    { side: 'caller', startMs: 30_000, endMs: 36_000, text: 'Thank you. Goodbye, Bob.' },
  ],
  messages: [
    {
      userId: 'alice',
      name: 'Alice Moreau',
      side: 'caller',
      atMs: 14_000,
      text: '14 Harbour Street, gate B',
    },
  ],
};

export const ACCESS: AccessPage = {
  events: [
    {
      at: '2026-03-20T15:02:00.000Z',
      action: 'stream',
      actor: { kind: 'user', userId: 'bob', name: 'Bob Castillo' },
    },
    {
      at: '2026-03-20T14:40:00.000Z',
      action: 'list',
      actor: { kind: 'user', userId: 'alice', name: 'Alice Moreau' },
    },
    {
      at: '2026-03-20T14:30:00.000Z',
      action: 'list',
      actor: { kind: 'user', userId: 'alice', name: 'Alice Moreau' },
    },
    { at: '2026-03-20T14:20:00.000Z', action: 'admin_view', actor: { kind: 'admin' } },
  ],
};

/** PCM in a WAV file, 16 bits: the caller hums at 440 Hz on the left, the callee at 660 Hz on the right. */
export function hum(): Uint8Array {
  const rate = 8_000;
  const frames = (DURATION_MS / SECOND) * rate;
  const bytes = Buffer.alloc(44 + frames * 4);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(2, 22);
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(rate * 4, 28);
  bytes.writeUInt16LE(4, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write('data', 36);
  bytes.writeUInt32LE(frames * 4, 40);
  for (let frame = 0; frame < frames; frame += 1) {
    for (const [channel, hertz] of [440, 660].entries()) {
      const sample = Math.round(8_000 * Math.sin((2 * Math.PI * hertz * frame) / rate));
      bytes.writeInt16LE(sample, 44 + frame * 4 + channel * 2);
    }
  }
  return bytes;
}

/** Serves the panel at `/panel`, with the tab in it. */
export function servePanel(script: Script): void {
  const html = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Messenger</title>
    <link rel="icon" href="/icon.svg">
    <link rel="stylesheet" href="/panel.css">
    <script type="module" src="/panel.js"></script>
  </head>
  <body><main><h1>Calls</h1><verbatim-calls-tab chat-id="chat-1"></verbatim-calls-tab></main></body>
</html>`;
  script.page('/panel', { text: html, headers: { 'content-security-policy': STRICT_CSP } });
  script.page('/panel.css', { text: STYLE });
  script.page('/panel.js', { text: SCRIPT });
  script.page('/icon.svg', { text: '<svg xmlns="http://www.w3.org/2000/svg"/>' });
  script.page('/media/hum.wav', { text: hum() });
}

/** Answers for these recordings, newest first, in pages of what is asked for. The array may change later on. */
export function haveRecordings(script: Script, recordings: Recording[]): void {
  script.route('GET /v1/chats/chat-1/recordings', (_, { query }) => {
    const from = 1 + recordings.findIndex(({ id }) => id === query.get('cursor'));
    const page = recordings.slice(from, from + Number(query.get('limit') ?? 20));
    const more = from + page.length < recordings.length;
    return { status: 200, body: { recordings: page, ...(more ? { next: page.at(-1)?.id } : {}) } };
  });
  for (const { id } of recordings) haveRecording(script, recordings, id);
}

/** Everything about one recording of the list. */
export function haveRecording(script: Script, recordings: Recording[], id: string): void {
  const path = `/v1/recordings/${id}`;
  script.route(`GET ${path}`, () => ({ status: 200, body: recordings.find((each) => each.id === id) }));
  script.route(`GET ${path}/peaks`, () => ({ status: 200, body: waveform() }));
  script.route(`GET ${path}/timeline`, () => ({ status: 200, body: TIMELINE }));
  script.route(`GET ${path}/access`, () => ({ status: 200, body: ACCESS }));
  script.route(`POST ${path}/grants`, () => ({ status: 201, body: { url: '/media/hum.wav' } }));
}

/** A problem as the server tells it. */
export function problem(status: number, code: string): { status: number; body: object } {
  return { status, body: { type: 'about:blank', title: code, status, code, detail: code } };
}

/** The panel, signed in as alice, in a browser profile of its own. */
export async function signedOnPanel(browser: Browser, script: Script, query = '') {
  const opened = await newPage(browser, 'about:blank', { microphone: false });
  opened.page.setDefaultTimeout(30_000);
  await opened.page.goto(`${script.url}/panel?${query}`);
  return opened;
}

/** The same for a test, which fails by what the page complains of, or its policy refuses. */
export async function openPanel(t: Test, browser: Browser, script: Script, query = ''): Promise<Page> {
  const { page, errors, close } = await signedOnPanel(browser, script, query);
  t.teardown(async () => {
    const { violations, rejections } = await page.evaluate(() => ({
      violations: (window as unknown as { violations: string[] }).violations,
      rejections: (window as unknown as { rejections: string[] }).rejections,
    }));
    await close();
    const all = [...errors, ...violations, ...rejections];
    if (all.length > 0) throw new Error(`the page reported ${all.join('; ')}`);
  });
  return page;
}

/** The row of a recording. */
export const rowOf = (page: Page, number: number) => page.locator(`li[data-recording-id="${idOf(number)}"]`);

/** Of the one open row, in any language. */
export const slider = (page: Page) => page.getByRole('slider');

/** Where the open row's slider stands, in whole seconds. */
export const second = async (page: Page) => Number(await slider(page).getAttribute('aria-valuenow'));

/** Waits until the slider stands at least there, in seconds. */
export async function reach(page: Page, seconds: number): Promise<void> {
  const handle = await slider(page).elementHandle();
  await page.waitForFunction(
    ([element, seconds]) => Number(element?.getAttribute('aria-valuenow')) >= seconds,
    [handle, seconds] as const,
  );
}
