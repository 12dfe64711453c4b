import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { configPage } from './page-config.ts';
import { endingsPart, errorsPage } from './page-errors.ts';
import { signalingPage } from './page-signaling.ts';
import type { Check } from './problem.ts';

const GUIDE = 'docs/integrate.md';
/** What stands between these lines of a page is generated, the rest is written. */
const PART = /(<!-- Generated from core\/protocol by `npm run docs`: begin -->\n)[\s\S]*?(\n<!-- end -->)/;

/** The generated pages: path from the root -> text. Their source is the code that the server itself runs on. */
async function pages(root: string): Promise<Map<string, string>> {
  const signalingSource = await readFile(join(root, 'core/protocol/signaling.ts'), 'utf8');
  const guide = await readFile(join(root, GUIDE), 'utf8');
  return new Map([
    [GUIDE, withPart(guide, endingsPart())],
    ['docs/generated/config.md', configPage()],
    ['docs/generated/errors.md', errorsPage()],
    ['docs/generated/signaling.md', signalingPage(signalingSource)],
  ]);
}

export const generatedDocs: Check = {
  name: 'generated docs',
  run: async (root) => {
    const wanted = await pages(root);
    const present = await Promise.all(
      [...wanted.keys()].map((path) => readFile(join(root, path), 'utf8').catch(() => undefined)),
    );
    return [...wanted].flatMap(([path, text], index) =>
      present[index] === text
        ? []
        : [
            {
              where: path,
              what: present[index] === undefined ? 'is missing' : 'is not what the code says any more',
              mend: 'npm run docs',
            },
          ],
    );
  },
};

/** Writes the pages and answers their paths. */
export async function writeDocs(root: string): Promise<string[]> {
  const wanted = await pages(root);
  for (const [path, text] of wanted) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return [...wanted.keys()];
}

function withPart(page: string, part: string): string {
  if (!PART.test(page)) throw new Error(`${GUIDE} has no place for the generated part`);
  return page.replace(PART, (_whole, begin: string, end: string) => `${begin}\n${part}\n${end}`);
}
