import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { build } from 'vite';

/** For tests: the client as it is built for messengers, and a Chromium with a microphone that beeps. */

/**
 * The browser that people have. Chromium's headless shell would open a page in half the time, but gives no page the
 * microphone unless it gives it to all of them, and then nobody could refuse it.
 */
const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--use-fake-device-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-background-networking',
  // The other side of a voice call is on this machine, which may have no other network.
  '--allow-loopback-in-peer-connection',
  // A name that is not localhost, for the page that has no HTTPS.
  '--host-resolver-rules=MAP verbatim.test 127.0.0.1',
];

/** The client that the test run has built (`CLIENT_DIST`); without one it is built into a folder of its own. */
export async function builtClient(): Promise<{ dir: string; remove(): Promise<void> }> {
  const { CLIENT_DIST } = process.env;
  if (CLIENT_DIST) return { dir: CLIENT_DIST, remove: async () => {} };
  const dir = await mkdtemp(join(tmpdir(), 'verbatim-client-'));
  await build({
    configFile: join(import.meta.dirname, '../vite.config.ts'),
    logLevel: 'silent',
    build: { outDir: dir, emptyOutDir: true },
  });
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) };
}

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGS, headless: true });
}

/** A page of its own browser profile. What the page itself reports as an error fails the test by `errors`. */
export async function newPage(
  browser: Browser,
  url: string,
  options: { microphone?: boolean; intervals?: boolean } = {},
): Promise<{ page: Page; errors: string[]; close(): Promise<void> }> {
  const context = await browser.newContext();
  if (options.microphone ?? true) await context.grantPermissions(['microphone']);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  // Every track that the page ever gets, so that a test can ask whether a microphone is still on.
  await page.addInitScript(() => {
    const tracks: MediaStreamTrack[] = [];
    const held: { gate?: Promise<void> } = {};
    const media = navigator.mediaDevices;
    Object.assign(window, { micTracks: tracks, micGate: held });
    if (!media) return;
    const real = media.getUserMedia.bind(media);
    media.getUserMedia = async (constraints) => {
      const stream = await real(constraints);
      await held.gate;
      tracks.push(...stream.getTracks());
      return stream;
    };
  });
  if (options.intervals === false) {
    // What the page does then, it does because of an event.
    await page.addInitScript(() => Object.assign(window, { setInterval: () => 0 }));
  }
  await page.goto(url);
  return { page, errors, close: () => context.close() };
}

/** `live` or `ended` of every microphone track that the page ever got. */
export function microphones(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    (window as unknown as { micTracks: MediaStreamTrack[] }).micTracks.map((track) => track.readyState),
  );
}
