import type { Page } from 'playwright-core';
import t from 'tap';
import { microphones } from '../test/browser.ts';
import { callView, Refusal } from '../test/scripted-server.ts';
import type { SdkWindow } from '../test/sdk-page.ts';
import { attempt, event, openSdkStage } from '../test/sdk-page.ts';

/**
 * Everything that a call waits for, and the call dies meanwhile: whatever comes afterwards, no microphone is on.
 * Each row brings a page to the point where it waits, and says how the wait is over.
 */

declare const window: SdkWindow & { replacing?: Promise<unknown> };

const { openConnected, script } = await openSdkStage(t);

interface Row {
  waitsFor: string;
  /** Returns what ends the wait. */
  reach(page: Page): Promise<() => unknown>;
  /** Microphones that were opened by the time that everything has come. */
  opened: number;
}

/** The microphone takes as long as the test wants. */
async function holdMicrophone(page: Page): Promise<() => Promise<void>> {
  await page.evaluate(() => {
    window.micGate.gate = new Promise((resolve) => {
      window.openGate = resolve;
    });
  });
  return () => page.evaluate(() => window.openGate());
}

/** The answer to this method takes as long as the test wants. */
function holdAnswer(method: 'call.start' | 'media.open' | 'media.produce'): () => void {
  let release = (): void => {};
  script.on(
    method,
    () =>
      new Promise((resolve) => {
        // That it is refused at last is the worst that can come.
        release = () => resolve(new Refusal('conflict'));
      }),
  );
  return () => release();
}

async function sending(page: Page): Promise<void> {
  await attempt(page, 'startCall');
  await script.next('media.produce');
  script.notify('call.changed', { call: callView({ state: 'active' }) });
  await event(page, 'call', 'state', 'active');
}

const ROWS: readonly Row[] = [
  {
    waitsFor: 'the microphone of a call that is being started',
    reach: async (page) => {
      const release = await holdMicrophone(page);
      void attempt(page, 'startCall').catch(() => {});
      await page.waitForFunction(() => window.log.length >= 0 && window.micGate.gate !== undefined);
      return release;
    },
    opened: 1,
  },
  {
    waitsFor: 'the answer to call.start',
    reach: async (page) => {
      const release = holdAnswer('call.start');
      void attempt(page, 'startCall').catch(() => {});
      await script.next('call.start');
      return release;
    },
    opened: 1,
  },
  {
    waitsFor: 'the answer to media.open',
    reach: async (page) => {
      const release = holdAnswer('media.open');
      await attempt(page, 'startCall');
      await script.next('media.open');
      return release;
    },
    opened: 1,
  },
  {
    waitsFor: 'the answer to media.produce',
    reach: async (page) => {
      const release = holdAnswer('media.produce');
      await attempt(page, 'startCall');
      await script.next('media.produce');
      return release;
    },
    opened: 1,
  },
  {
    waitsFor: 'another microphone that was chosen',
    reach: async (page) => {
      await sending(page);
      const release = await holdMicrophone(page);
      await page.evaluate(async () => {
        const { microphones } = await window.client.devices();
        void window.client.setMicrophone(microphones.at(-1)?.id).catch(() => {});
      });
      return release;
    },
    opened: 2,
  },
  {
    waitsFor: 'another microphone in the place of an unplugged one',
    reach: async (page) => {
      await sending(page);
      const release = await holdMicrophone(page);
      await page.evaluate(() => {
        const track = window.micTracks.at(-1);
        track?.stop();
        track?.dispatchEvent(new Event('ended'));
      });
      return release;
    },
    opened: 2,
  },
  {
    waitsFor: 'the exchange of what is sent',
    reach: async (page) => {
      await sending(page);
      await page.evaluate(async () => {
        const gate = new Promise<void>((resolve) => {
          window.openGate = resolve;
        });
        RTCRtpSender.prototype.replaceTrack = () => gate;
        const { microphones } = await window.client.devices();
        void window.client.setMicrophone(microphones.at(-1)?.id).catch(() => {});
      });
      await page.waitForFunction(() => window.micTracks.length === 2);
      return () => page.evaluate(() => window.openGate());
    },
    opened: 2,
  },
];

for (const { waitsFor, reach, opened } of ROWS) {
  t.test(`F8 a call that is hung up while it waits for ${waitsFor} leaves no microphone on`, async (t) => {
    const page = await openConnected(t);
    const release = await reach(page);
    await page.evaluate(() => window.client.hangup());
    t.equal(await page.evaluate(() => window.client.call), undefined);
    await release();
    await page.waitForFunction((opened) => window.micTracks.length === opened, opened);
    await page.waitForFunction(() => window.micTracks.every(({ readyState }) => readyState === 'ended'));
    // And it stays off, when the next call has come and gone.
    script.on('media.open', () => new Refusal('media_failed'));
    script.on('call.start', () => callView());
    await page.evaluate(() => {
      delete window.micGate.gate;
    });
    t.equal(await attempt(page, 'startCall'), 'ok', 'the next call can be started');
    await page.evaluate(() => window.client.hangup());
    t.ok((await microphones(page)).every((state) => state === 'ended'));
  });
}
