import type { Plugin } from 'vite';
import { defineConfig } from 'vite';

const SDK_FILE = 'sdk/verbatim.js';

/** The built demo loads the same one file that messengers load, instead of sharing chunks with it. */
const sdkAsOneFile: Plugin = {
  name: 'sdk-as-one-file',
  apply: 'build',
  enforce: 'pre',
  resolveId: (source, importer) =>
    source === '../sdk/index.ts' && importer?.includes('/demo/')
      ? { id: `../${SDK_FILE}`, external: true }
      : null,
};

/** One build, two entries: `dist/sdk/verbatim.js` and `dist/demo/index.html`. */
export default defineConfig({
  root: import.meta.dirname,
  // The pages work under any path.
  base: './',
  plugins: [sdkAsOneFile],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: true,
    modulePreload: false,
    rollupOptions: {
      input: { sdk: 'sdk/index.ts', demo: 'demo/index.html' },
      preserveEntrySignatures: 'strict',
      output: {
        entryFileNames: (chunk) => (chunk.name === 'sdk' ? SDK_FILE : '[name]/[name]-[hash].js'),
        assetFileNames: 'demo/[name]-[hash][extname]',
      },
    },
  },
});
