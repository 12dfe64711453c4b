import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import t from 'tap';
import { axeFindings } from '../../../scripts/lib/axe.ts';
import { builtClient, launch } from '../../test/browser.ts';
import { startScript } from '../../test/scripted-server.ts';
import {
  haveRecordings,
  idOf,
  openPanel,
  problem,
  reach,
  recording,
  rowOf,
  servePanel,
  slider,
  TIMELINE,
} from '../test/tab.ts';

/** An open row beside its player: transcript, messages, listeners, and what is saved. */

t.setTimeout(300_000);
const client = await builtClient();
const script = await startScript(client.dir);
servePanel(script);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});

const PATH = `/v1/recordings/${idOf(2)}`;

async function open(t: Test, query = ''): Promise<Page> {
  script.reset();
  haveRecordings(script, [recording(2)]);
  return openPanel(t, browser, script, query);
}

/** The row of recording 2, opened, with waveform and transcript. */
async function openRow(t: Test, query = ''): Promise<Page> {
  const page = await open(t, query);
  await rowOf(page, 2).locator('[part=toggle]').click();
  await rowOf(page, 2).locator('[part=line]').first().waitFor();
  return page;
}

const current = (page: Page) => page.locator('li[aria-current=true] .text');
const fetched = (...parts: string[]) =>
  script.fetched.filter((line) => parts.some((part) => line.includes(part)));

t.test('F27 transcript and messages go along, and a click goes to their place', async (t) => {
  const page = await openRow(t);
  t.equal(await page.locator('[part=line]').count(), 6);
  t.equal(await current(page).count(), 0, 'nobody has spoken at the very beginning');
  // What is marked, one after the other.
  await page.evaluate(() => {
    const marked: string[] = [];
    const root = document.querySelector('verbatim-calls-tab')?.shadowRoot;
    Object.assign(window, { marked });
    if (!root) return;
    new MutationObserver(() => {
      const text = root.querySelector('li[aria-current=true] .text')?.textContent ?? '';
      if (text !== '' && text !== marked.at(-1)) marked.push(text);
    }).observe(root, { attributes: true, attributeFilter: ['aria-current'], subtree: true });
  });
  await page.getByRole('button', { name: /The twelfth of April/ }).click();
  await rowOf(page, 2).getByRole('button', { name: 'Pause' }).waitFor();
  await reach(page, 17);
  await rowOf(page, 2).getByRole('button', { name: 'Pause' }).click();
  t.strictSame(await page.evaluate(() => (window as unknown as { marked: string[] }).marked.slice(0, 3)), [
    'The twelfth of April, in the morning. I send you the address in the chat.',
    '14 Harbour Street, gate B',
    'I have it. The twelfth, in the morning, it is.',
  ]);
  // Silence follows what was said last.
  await slider(page).focus();
  await page.keyboard.press('Home');
  for (let press = 0; press < 5; press += 1) await page.keyboard.press('ArrowRight');
  await current(page).waitFor({ state: 'detached' });
  t.strictSame(await axeFindings(page), []);
});

t.test('F27 a jump is followed within a second, while it plays', async (t) => {
  const page = await openRow(t);
  await rowOf(page, 2).getByRole('button', { name: 'Play' }).click();
  await reach(page, 1);
  const jump = () =>
    page.evaluate(
      ([selector, text]) =>
        new Promise<number>((resolve, reject) => {
          const root = document.querySelector('verbatim-calls-tab')?.shadowRoot;
          const slider = root?.querySelector('[role=slider]');
          if (!root || !slider) return reject(new Error('no slider'));
          const press = (key: string): boolean =>
            slider.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
          const follow = (beganMs: number): void => {
            if (root.querySelector(selector)?.textContent?.includes(text))
              resolve(performance.now() - beganMs);
            else requestAnimationFrame(() => follow(beganMs));
          };
          const begin = (): void => {
            if (Number(slider.getAttribute('aria-valuenow')) > 4) {
              requestAnimationFrame(begin);
              return;
            }
            press('PageUp');
            follow(performance.now());
          };
          press('Home');
          begin();
        }),
      ['li[aria-current=true]', 'Goodbye, Bob.'] as const,
    );
  // The machine may be busy with other things; what the tab itself takes is the least of three.
  const tookMs = Math.min(await jump(), await jump(), await jump());
  t.ok(tookMs < 1_000, `${tookMs.toFixed(0)} ms`);
});

t.test('F27 without times it is a list that stands still', async (t) => {
  const page = await open(t);
  const segments = TIMELINE.segments.map(({ side, text }) => ({ side, text }));
  script.route(`GET ${PATH}/timeline`, () => ({ status: 200, body: { segments, messages: [] } }));
  await rowOf(page, 2).locator('[part=toggle]').click();
  await page.locator('[part=line]').first().waitFor();
  t.strictSame(
    await page.locator('[part=line] .text').allInnerTexts(),
    segments.map(({ text }) => text),
  );
  t.equal(await page.locator('button[part=line]').count(), 0);
  t.strictSame(await axeFindings(page), []);
});

t.test(
  'F27 the messenger’s own loadTimeline takes the place of the server’s; when it fails, the row says so',
  async (t) => {
    const page = await open(t);
    await rowOf(page, 2).waitFor();
    await page.evaluate(() => {
      const tab = document.querySelector('verbatim-calls-tab');
      let calls = 0;
      Object.assign(tab ?? {}, {
        loadTimeline: async (recording: { id: string }) => {
          calls += 1;
          if (calls === 1) throw new Error('the messages are locked');
          return { segments: [], messages: [{ atMs: 2_000, name: 'Bob', text: `about ${recording.id}` }] };
        },
      });
    });
    await rowOf(page, 2).locator('[part=toggle]').click();
    await page.getByRole('alert').getByText('Transcript and messages could not be loaded.').waitFor();
    t.strictSame(await axeFindings(page), []);
    await page.locator('[part=timeline-retry]').click();
    await page.getByText(`about ${idOf(2)}`).waitFor();
    t.strictSame(fetched('/timeline'), [], 'the server was not asked');
  },
);

t.test('F39 a row tells who listed, played and downloaded its recording', async (t) => {
  const page = await openRow(t);
  t.strictSame(fetched('/access'), []);
  await page.getByRole('button', { name: 'Who has listened' }).click();
  const list = page.locator('[part=listeners] li > span');
  await list.first().waitFor();
  t.strictSame(await list.allInnerTexts(), [
    'Bob Castillo listened to it',
    'You saw it in the list · 2 times',
    'An administrator looked at it as an administrator',
  ]);
  t.strictSame(await axeFindings(page), []);
});

t.test('F25 F38 file and evidence bundle are saved; what fails is said in the row', async (t) => {
  const page = await openRow(t);
  const asked: unknown[] = [];
  script.route(`POST ${PATH}/grants`, (_, { sent }) => {
    asked.push(sent);
    return { status: 201, body: { url: '/media/hum.wav' } };
  });
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    rowOf(page, 2)
      .getByRole('button', { name: /^Download, call of/ })
      .click(),
  ]);
  await file.cancel();
  const [bundle] = await Promise.all([
    page.waitForEvent('download'),
    rowOf(page, 2).getByRole('button', { name: 'Evidence bundle' }).click(),
  ]);
  await bundle.cancel();
  t.strictSame(asked, [{ disposition: 'attachment' }, { disposition: 'bundle' }]);
  script.route(`POST ${PATH}/grants`, () => problem(404, 'no_evidence'));
  await rowOf(page, 2).getByRole('button', { name: 'Evidence bundle' }).click();
  await page.getByRole('alert').getByText('There is no evidence bundle of this recording.').waitFor();
});

t.test('F26 F60 an open row in both schemes, wide and narrow, and from right to left', async (t) => {
  for (const query of ['', 'dir=rtl&locale=de']) {
    await t.test(query || 'left to right', async (t) => {
      const page = await openRow(t, query);
      await page.locator('[part=listeners-toggle]').click();
      await page.locator('[part=listeners] li').first().waitFor();
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        for (const width of [1280, 320]) {
          await page.setViewportSize({ width, height: 800 });
          t.strictSame(await axeFindings(page), [], `${colorScheme}, ${width} px`);
          t.notOk(
            await page.evaluate(() => document.documentElement.scrollWidth > innerWidth),
            `${width} px`,
          );
        }
      }
    });
  }
});
