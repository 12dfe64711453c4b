import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildVerifiers } from './verifier-build.ts';

/** What the built pages are made of. */
const SOURCES = ['client', 'admin', 'core/protocol', 'scripts/bundle-verifier.ts', 'package-lock.json'];
/** Written last, so that a build that was cut off is made again. */
const STAMP = 'client/dist/.built-from';

/** Builds the pages into client/dist, unless what stands there was built from the same sources. */
export async function buildClient(root: string, log: (sentence: string) => void): Promise<void> {
  const want = await hashOf(root);
  const have = await readFile(join(root, STAMP), 'utf8').catch(() => '');
  if (have === want) return;
  log('Building the pages.');
  // Loaded only when it is needed: it costs more than all the rest of a second start.
  const { build } = await import('vite');
  await build({
    configFile: join(root, 'client/vite.config.ts'),
    root: join(root, 'client'),
    logLevel: 'warn',
  });
  await build({
    configFile: join(root, 'admin/vite.config.ts'),
    root: join(root, 'admin'),
    logLevel: 'warn',
  });
  await buildVerifiers(root);
  await mkdir(join(root, 'client/dist'), { recursive: true });
  await writeFile(join(root, STAMP), want);
}

async function hashOf(root: string): Promise<string> {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    const paths = source.includes('.') ? [source] : await filesOf(root, source);
    for (const path of paths)
      hash
        .update(path)
        .update('\0')
        .update(await readFile(join(root, path)));
  }
  return hash.digest('hex');
}

async function filesOf(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const found = await Promise.all(
    entries
      .filter((entry) => entry.name !== 'dist')
      .map((entry) => {
        const path = `${folder}/${entry.name}`;
        return entry.isDirectory() ? filesOf(root, path) : [path];
      }),
  );
  return found.flat().sort();
}
