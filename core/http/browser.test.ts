import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { chromium } from 'playwright-core';
import t from 'tap';
import { muxedSpeech } from '../../recorder-worker/test/muxed.ts';
import { speak } from '../../recorder-worker/test/speech.ts';
import { findProgram } from '../../scripts/lib/tools.ts';
import { testDatabase } from '../db/fixture.ts';
import type { HttpFixture } from './fixture.ts';
import { httpFixture } from './fixture.ts';

const executablePath = findProgram('chromium');
if (executablePath === undefined) throw new Error('chromium is missing: apt-get install chromium');
const browser: Browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--autoplay-policy=no-user-gesture-required',
    '--disable-background-networking',
  ],
});
t.teardown(() => browser.close());
const db = await testDatabase(t);
const spoken = speak('One person speaks for some seconds, so that there is something to seek in.', 'en-us');
const SPEECH = muxedSpeech([spoken, spoken]);
const SECONDS = spoken.packets.length * 0.02;
/** The first four bytes of a WebM file (RFC 8794: EBML), as a page reads them for text. */
const FRONT = '\u001aE\u07e3';

/** Runs in the page: gets a grant, then the bytes by fetch and the sound by an audio element. */
async function playInPage(input: { origin: string; recordingId: string; token: string; format?: string }) {
  const grant = await fetch(`${input.origin}/v1/recordings/${input.recordingId}/grants`, {
    method: 'POST',
    headers: { authorization: input.token, 'content-type': 'application/json' },
    credentials: 'include',
    body: JSON.stringify({ format: input.format }),
  });
  if (!grant.ok) return { grant: grant.status };
  const { url } = (await grant.json()) as { url: string };
  const address = input.origin + url;
  const part = await fetch(address, { credentials: 'include', headers: { range: 'bytes=0-3' } });
  const text = await part.text();
  const AudioElement = (globalThis as unknown as { Audio: new () => AudioLike }).Audio;
  const audio = new AudioElement();
  audio.crossOrigin = 'use-credentials';
  const duration = await new Promise<number>((resolve, reject) => {
    audio.oncanplaythrough = () => resolve(audio.duration);
    audio.onerror = () => reject(new Error(audio.error?.message ?? 'the audio does not load'));
    audio.src = address;
  });
  audio.currentTime = 2.5;
  await new Promise<void>((resolve) => {
    audio.onseeked = () => resolve();
  });
  return { grant: grant.status, address, status: part.status, text, duration };
}

/** The part of `HTMLAudioElement` used above; tests here have no DOM types. */
interface AudioLike {
  crossOrigin: string;
  src: string;
  duration: number;
  currentTime: number;
  error: { message: string } | null;
  oncanplaythrough: () => void;
  onerror: () => void;
  onseeked: () => void;
}

async function scene(fixture: HttpFixture, appId: string, origins: string[] = []) {
  const app = await fixture.addApp(appId, origins);
  const put = (url: string, payload: object) =>
    fixture.http.inject({ method: 'PUT', url, headers: { authorization: app.server }, payload });
  for (const id of ['alice', 'bob']) await put(`/v1/users/${id}`, { name: id });
  await put('/v1/chats/c', { kind: 'direct', members: ['alice', 'bob'] });
  const parties = { appId, chatId: 'c', callerId: 'alice', calleeId: 'bob' };
  return {
    app,
    recording: await fixture.addRecording({ ...parties, bytes: SPEECH }),
  };
}

t.test(
  'F25 Chromium plays and seeks through the session cookie, on localhost and on 127.0.0.1',
  async (t) => {
    const clientDir = t.testdir({ demo: { 'index.html': '<!doctype html><title>Page</title>' } });
    const fixture = await httpFixture(t, db, {
      clientDir,
      demo: { token: async () => Promise.reject(new Error('not asked for here')) },
    });
    const { app, recording } = await scene(fixture, 'browser');
    const { port } = new URL(fixture.url);
    for (const host of ['localhost', '127.0.0.1']) {
      const origin = `http://${host}:${port}`;
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(`${origin}/demo/`);
      const input = { origin, recordingId: recording.id, token: await app.user('alice') };
      const seen = await page.evaluate(playInPage, input);
      t.match(seen, { grant: 201, status: 206, text: FRONT }, host);
      t.ok(Math.abs((seen.duration ?? 0) - SECONDS) < 0.3, `${host}: ${seen.duration} s`);
      const cookies = await context.cookies(origin);
      t.match(
        cookies,
        [{ name: '__Host-verbatim-session', httpOnly: true, secure: true, sameSite: 'Lax' }],
        host,
      );

      const elsewhere = await browser.newContext();
      const answer = await (await elsewhere.newPage()).goto(String(seen.address));
      t.equal(answer?.status(), 403, `${host}: the copied address in another browser`);
      await elsewhere.close();
      await context.close();
    }
  },
);

t.test('F24 F25 Chromium plays and seeks a recording in each of its formats', async (t) => {
  const clientDir = t.testdir({ demo: { 'index.html': '<!doctype html><title>Page</title>' } });
  const fixture = await httpFixture(t, db, {
    clientDir,
    demo: { token: async () => Promise.reject(new Error('not asked for here')) },
  });
  const { app, recording } = await scene(fixture, 'formats');
  const origin = `http://localhost:${new URL(fixture.url).port}`;
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${origin}/demo/`);
  const durations: number[] = [];
  for (const format of ['webm', 'mp4', 'ogg']) {
    const input = { origin, recordingId: recording.id, token: await app.user('alice'), format };
    const seen = await page.evaluate(playInPage, input);
    t.match(seen, { grant: 201, status: 206 }, format);
    durations.push(seen.duration ?? 0);
  }
  const [kept = 0, ...others] = durations;
  t.ok(kept > 3, `${kept} s`);
  t.ok(
    others.every((duration) => Math.abs(duration - kept) < 0.05),
    `${others} s`,
  );
  await context.close();
});

t.test('F25 Chromium plays on a messenger’s page of another site, with a partitioned cookie', async (t) => {
  const messenger = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>Messenger</title>');
  });
  messenger.listen(0, '127.0.0.1');
  await once(messenger, 'listening');
  t.teardown(() => messenger.close());
  // To a browser `localhost` and `127.0.0.1` are two sites.
  const page = `http://localhost:${(messenger.address() as AddressInfo).port}`;
  const fixture = await httpFixture(t, db);
  const { app, recording } = await scene(fixture, 'cross-site', [page]);
  const context = await browser.newContext();
  const tab = await context.newPage();
  await tab.goto(page);
  const input = { origin: fixture.url, recordingId: recording.id, token: await app.user('bob') };
  const seen = await tab.evaluate(playInPage, input);
  t.match(seen, { grant: 201, status: 206, text: FRONT });
  t.match(await context.cookies(fixture.url), [
    { name: '__Host-verbatim-session', sameSite: 'None', secure: true },
  ]);
  await context.close();
});

t.test('a page of a site that the app does not allow gets nothing', async (t) => {
  const messenger = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>Evil</title>');
  });
  messenger.listen(0, '127.0.0.1');
  await once(messenger, 'listening');
  t.teardown(() => messenger.close());
  const fixture = await httpFixture(t, db);
  const { app, recording } = await scene(fixture, 'not-allowed', ['https://chat.example']);
  const context = await browser.newContext();
  const tab = await context.newPage();
  await tab.goto(`http://localhost:${(messenger.address() as AddressInfo).port}`);
  const input = { origin: fixture.url, recordingId: recording.id, token: await app.user('bob') };
  await t.rejects(tab.evaluate(playInPage, input), /Failed to fetch/);
  await context.close();
});
