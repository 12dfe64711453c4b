import vue from '@vitejs/plugin-vue';
import type { Plugin } from 'vite';
import { defineConfig } from 'vite';

const SDK_FILE = 'sdk/verbatim.js';
const UI_FILE = 'ui/verbatim-ui.js';

const FILES: Readonly<Record<string, string>> = { sdk: SDK_FILE, testing: 'sdk/testing.js', ui: UI_FILE };

/** What the elements and the demo import of other rooms is the file that messengers load: one copy in every page. */
const ROOM_FILES: readonly [room: RegExp, door: RegExp, file: string][] = [
  [/[/](demo|ui)[/]/, /^(\.\.[/])+sdk[/]index\.ts$/, SDK_FILE],
  [/[/]sdk[/]testing[./]/, /^\.{1,2}[/]index\.ts$/, SDK_FILE],
  [/[/]demo[/]/, /^(\.\.[/])+ui[/]index\.ts$/, UI_FILE],
];

const roomsAsFiles: Plugin = {
  name: 'rooms-as-files',
  apply: 'build',
  enforce: 'pre',
  resolveId: (source, importer) => {
    for (const [room, door, file] of ROOM_FILES) {
      if (room.test(importer ?? '') && door.test(source)) return { id: `../${file}`, external: true };
    }
    return null;
  },
};

/** One build: `dist/sdk/verbatim.js` and `dist/sdk/testing.js`, `dist/ui/verbatim-ui.js` and `dist/demo/index.html`. */
export default defineConfig({
  root: import.meta.dirname,
  // The pages work under any path.
  base: './',
  plugins: [roomsAsFiles, vue({ features: { optionsAPI: false } })],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: true,
    modulePreload: false,
    rollupOptions: {
      input: { sdk: 'sdk/index.ts', testing: 'sdk/testing.ts', ui: 'ui/index.ts', demo: 'demo/index.html' },
      preserveEntrySignatures: 'strict',
      output: {
        entryFileNames: ({ name }) => FILES[name] ?? '[name]/[name]-[hash].js',
        assetFileNames: 'demo/[name]-[hash][extname]',
      },
    },
  },
});
