import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import vue from '@vitejs/plugin-vue';
import type { LogLevel, Plugin } from 'vite';
import { build, defineConfig } from 'vite';

const SDK_FILE = 'sdk/verbatim.js';
const UI_FILE = 'ui/verbatim-ui.js';

const FILES: Readonly<Record<string, string>> = {
  sdk: SDK_FILE,
  testing: 'sdk/testing.js',
  server: 'sdk/verbatim-server.js',
  ui: UI_FILE,
};

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

/** The types of the files that messengers load, beside them; `npm run docs` makes them of the sources. */
const declarations: Plugin = {
  name: 'declarations',
  apply: 'build',
  generateBundle() {
    for (const fileName of [
      'sdk/verbatim.d.ts',
      'sdk/testing.d.ts',
      'sdk/verbatim-server.d.ts',
      'ui/verbatim-ui.d.ts',
    ]) {
      const source = readFileSync(join(import.meta.dirname, 'types', fileName));
      this.emitFile({ type: 'asset', fileName, source });
    }
  },
};

const components = vue({
  features: { optionsAPI: false },
  // The call elements are elements of the page, in the demo's components too.
  template: { compilerOptions: { isCustomElement: (tag) => tag.startsWith('verbatim-') } },
});

const OUTPUT = {
  target: 'es2022',
  sourcemap: true,
  modulePreload: false,
} as const;

/**
 * The demo is built after the files that messengers load, and apart from them: in one build the two would share a
 * third file with Vue in it, and the elements are to be one file.
 */
function demoAfterwards(): Plugin {
  let outDir = 'dist';
  let logLevel: LogLevel | undefined;
  return {
    name: 'demo-afterwards',
    apply: 'build',
    configResolved: (config) => {
      outDir = config.build.outDir;
      logLevel = config.logLevel;
    },
    closeBundle: async () => {
      await build({
        configFile: false,
        root: import.meta.dirname,
        base: './',
        ...(logLevel === undefined ? {} : { logLevel }),
        plugins: [roomsAsFiles, components],
        build: {
          ...OUTPUT,
          outDir,
          emptyOutDir: false,
          rollupOptions: {
            checks: { pluginTimings: false },
            input: { demo: 'demo/index.html' },
            output: {
              entryFileNames: 'demo/[name]-[hash].js',
              assetFileNames: 'demo/[name]-[hash][extname]',
            },
          },
        },
      });
    },
  };
}

/** `dist/sdk/verbatim.js`, `dist/sdk/testing.js`, `dist/sdk/verbatim-server.js` and `dist/ui/verbatim-ui.js`, each with its types; and `dist/demo/index.html`. */
export default defineConfig({
  root: import.meta.dirname,
  // The pages work under any path.
  base: './',
  plugins: [roomsAsFiles, components, declarations, demoAfterwards()],
  build: {
    ...OUTPUT,
    outDir: 'dist',
    emptyOutDir: true,
    rollupOptions: {
      checks: { pluginTimings: false },
      input: { sdk: 'sdk/index.ts', testing: 'sdk/testing.ts', server: 'server/index.ts', ui: 'ui/index.ts' },
      preserveEntrySignatures: 'strict',
      output: { entryFileNames: ({ name }) => FILES[name] ?? '[name]/[name]-[hash].js' },
    },
  },
});
