import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Builds the two verifiers of evidence bundles into client/dist/verify: `verify.mjs` for Node 20 and newer, and
 * `verify.html` with its script inside, since a page from a file may not load modules. The same sources give the same bytes.
 */
export async function buildVerifiers(root: string): Promise<void> {
  const out = join(root, 'client/dist/verify');
  await mkdir(out, { recursive: true });
  const source = join(root, 'client/verify');
  const [page, css, script, program] = [
    await readFile(join(source, 'page.html'), 'utf8'),
    await readFile(join(source, 'page.css'), 'utf8'),
    await bundled(root, 'client/verify/page.ts', 'iife'),
    await bundled(root, 'scripts/bundle-verifier-main.ts', 'es'),
  ];
  // The end of a script element inside the script would end it; a function, so that no dollar sign means anything.
  const inline = script.replaceAll('</script', '<\\/script');
  const html = page.replace('/* page.css */', () => css).replace('/* page.js */', () => inline);
  await writeFile(join(out, 'verify.html'), html);
  await writeFile(join(out, 'verify.mjs'), program);
}

async function bundled(root: string, entry: string, format: 'es' | 'iife'): Promise<string> {
  const { build } = await import('vite');
  const result = await build({
    configFile: false,
    root,
    logLevel: 'warn',
    build: {
      write: false,
      target: 'es2022',
      minify: false,
      modulePreload: false,
      rollupOptions: {
        input: join(root, entry),
        external: /^node:/,
        output: { format, entryFileNames: 'verify.js' },
      },
    },
  });
  const outputs = (Array.isArray(result) ? result : [result]).flatMap((each) =>
    'output' in each ? each.output : [],
  );
  const [chunk, ...others] = outputs.filter(({ type }) => type === 'chunk');
  if (chunk?.type !== 'chunk' || others.length > 0) throw new Error(`${entry} did not build into one file`);
  return chunk.code;
}
