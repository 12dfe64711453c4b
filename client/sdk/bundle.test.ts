import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { builtClient } from '../test/browser.ts';

t.setTimeout(120_000);

/** Compressed, as servers and proxies send it (README of this folder). */
const LIMIT_BYTES = 100_000;

t.test('F50 the SDK is one module of at most 100 kB compressed, and the test server shares it', async (t) => {
  const { dir, remove } = await builtClient();
  t.teardown(remove);
  const sdk = await readFile(join(dir, 'sdk/verbatim.js'));
  const bytes = gzipSync(sdk).length;
  t.comment(`${bytes} bytes compressed`);
  t.ok(bytes < LIMIT_BYTES, `${bytes} bytes`);
  t.ok(bytes > 20_000, 'mediasoup-client is in it');
  t.notMatch(sdk.toString(), /^import /m, 'it needs nothing else');

  const testing = (await readFile(join(dir, 'sdk/testing.js'))).toString();
  // An error of the test server has to be an error of the SDK that the page loaded.
  t.match(testing, /from\s*["']\.\.?\/(sdk\/)?verbatim\.js["']/);
  t.ok(gzipSync(testing).length < 15_000, 'and has no copy of it');
});
