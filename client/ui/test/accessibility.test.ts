import t from 'tap';
import { axeFindings } from '../../../scripts/lib/axe.ts';
import { builtClient, launch } from '../../test/browser.ts';
import { startScript } from '../../test/scripted-server.ts';
import { call, incoming, openMessenger, serveMessenger } from './messenger.ts';
import { STATES } from './states.ts';

/** axe over every state of button and popup: light and dark, wide and at 320 px, and from right to left. */

t.setTimeout(600_000);
const client = await builtClient();
const script = await startScript(client.dir);
serveMessenger(script);
const browser = await launch();
t.teardown(async () => {
  await browser.close();
  await script.close();
  await client.remove();
});

/** Colours do not depend on the width: so axe looks at each colour scheme once, and at each width. */
const LOOKS = [
  { colorScheme: 'light', width: 1280, dir: 'ltr', axe: true },
  { colorScheme: 'dark', width: 1280, dir: 'ltr', axe: false },
  { colorScheme: 'light', width: 320, dir: 'rtl', axe: false },
  { colorScheme: 'dark', width: 320, dir: 'ltr', axe: true },
] as const;

for (const state of STATES) {
  t.test(`axe finds nothing in the state ${state.name}, and nothing is cut off`, async (t) => {
    script.reset();
    script.on('call.start', () => call());
    script.on('call.accept', () => incoming({ state: 'connecting' }));
    const { page, errors, close } = await openMessenger(browser, script, state);
    t.teardown(close);
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await state.show(page, script);
    for (const { colorScheme, width, dir, axe } of LOOKS) {
      const look = `${colorScheme}, ${width} px, ${dir}`;
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height: 720 });
      await page.evaluate((to) => {
        document.documentElement.dir = to;
      }, dir);
      if (axe) t.strictSame(await axeFindings(page), [], look);
      const cut = await page.evaluate(() => {
        const boxes = [...document.querySelectorAll('*')].flatMap(({ shadowRoot }) => [
          ...(shadowRoot?.querySelectorAll('[part~=popup], [part~=menu], [part~=consent]') ?? []),
        ]);
        return [document.documentElement, ...boxes]
          .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
          .map(
            (box) => `${box.getAttribute('part') ?? box.localName}: ${box.scrollWidth} in ${box.clientWidth}`,
          );
      });
      t.strictSame(cut, [], `${look}: nothing is cut off at the side`);
    }
    t.strictSame(errors, []);
  });
}
