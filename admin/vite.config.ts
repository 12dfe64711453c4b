import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vite';

/** `client/dist/admin/index.html` with its files beside it, where all pages are served from; nothing is inlined, so that the page's policy can refuse what is. */
export default defineConfig({
  root: import.meta.dirname,
  base: './',
  plugins: [vue({ features: { optionsAPI: false } })],
  build: {
    target: 'es2022',
    sourcemap: true,
    modulePreload: false,
    assetsInlineLimit: 0,
    outDir: '../client/dist/admin',
    emptyOutDir: true,
    rollupOptions: { checks: { pluginTimings: false } },
  },
});
