import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { builtClient, launch } from '../browser.ts';
import { CALL_SHOTS } from './calls.ts';
import { contactSheet } from './contact-sheet.ts';
import { DEMO_SHOTS } from './demo.ts';
import type { Shot } from './shot.ts';
import { LOOKS } from './shot.ts';
import { TAB_SHOTS } from './tab.ts';

/**
 * `scripts/screens [--sheet] [NAME…]`: pictures of every state of elements and demo (or of those whose name begins so),
 * light and dark, wide and narrow, into `.screens/`. `--sheet` makes `docs/screens.jpg` of the main ones.
 */
const root = resolve(import.meta.dirname, '../../..');
const folder = join(root, '.screens');
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'));

/** Everybody's pictures: each room adds its own list. */
const SHOTS: readonly Shot[] = [...CALL_SHOTS, ...TAB_SHOTS, ...DEMO_SHOTS];

const chosen = SHOTS.filter(
  ({ name }) => wanted.length === 0 || wanted.some((start) => name.startsWith(start)),
);
if (wanted.length === 0) await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });

const client = await builtClient();
const browser = await launch();
try {
  for (const shot of chosen) {
    for (const look of LOOKS) {
      const picture = await shot.take(browser, client.dir, look);
      await writeFile(join(folder, `${shot.name}-${look.name}.png`), picture);
    }
    console.log(shot.name);
  }
  if (process.argv.includes('--sheet')) {
    const main = SHOTS.filter((shot) => shot.main);
    await writeFile(join(root, 'docs/screens.jpg'), await contactSheet(browser, folder, main));
    console.log('docs/screens.jpg');
  }
} finally {
  await Promise.all([browser.close(), client.remove(), ...SHOTS.map((shot) => shot.close?.())]);
}
