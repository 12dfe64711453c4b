import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import type { Shot } from './shot.ts';
import { LOOKS } from './shot.ts';

const WIDTH_PX = 1_600;
/** The document is loaded by everybody who reads it. */
const MAX_BYTES = 256 * 1024;

/** The main states side by side, as one JPEG: the narrow pictures, light and dark in turn. */
export async function contactSheet(
  browser: Browser,
  folder: string,
  shots: readonly Shot[],
): Promise<Uint8Array> {
  const narrow = LOOKS.filter(({ width }) => width < 600);
  const figures = await Promise.all(
    shots.map(async ({ name }, index) => {
      const look = narrow[index % narrow.length];
      const png = await readFile(join(folder, `${name}-${look?.name}.png`));
      return `<img src="data:image/png;base64,${png.toString('base64')}">`;
    }),
  );
  const page = await browser.newPage({ viewport: { width: WIDTH_PX, height: 600 } });
  try {
    await page.setContent(`<style>
      body { margin: 0; padding: 16px; background: #8d97a5; display: flex; flex-wrap: wrap; gap: 12px; justify-content: center; }
      img { height: 440px; border-radius: 10px; }
    </style>${figures.join('')}`);
    for (const quality of [82, 72, 60, 48]) {
      const jpeg = await page.screenshot({ type: 'jpeg', quality, fullPage: true });
      if (jpeg.length <= MAX_BYTES) return jpeg;
    }
  } finally {
    await page.close();
  }
  throw new Error(`the contact sheet does not fit into ${MAX_BYTES} bytes: show fewer states on it`);
}
