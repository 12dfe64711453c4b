import t from 'tap';
import type { SdkWindow } from '../test/sdk-page.ts';
import { openSdkStage } from '../test/sdk-page.ts';

/** Calls and recordings that were. */

declare const window: SdkWindow;

const { openConnected, script } = await openSdkStage(t);

t.test(
  'F24 the list of recordings is fetched with the token, and again with a fresh one when that ran out',
  async (t) => {
    const page = await openConnected(t, { renewable: true });
    const tokens: unknown[] = [];
    script.route('GET /v1/chats/chat-1/recordings', (token) => {
      tokens.push(token);
      return token === 'token-1'
        ? { status: 401, body: { code: 'token_expired', detail: 'The token has expired' } }
        : { status: 200, body: { recordings: [] } };
    });
    t.strictSame(await page.evaluate(() => window.client.listRecordings('chat-1')), { recordings: [] });
    t.strictSame(tokens, ['token-1', 'token-2']);
  },
);

t.test('F25 a playback address is made absolute, and its refusal is a named error', async (t) => {
  const page = await openConnected(t);
  script.route('POST /v1/recordings/rec-1/grants', () => ({
    status: 201,
    body: { url: '/media/g1?e=1&s=x' },
  }));
  t.equal(await page.evaluate(() => window.client.playbackUrl('rec-1')), `${script.url}/media/g1?e=1&s=x`);
  script.route('POST /v1/recordings/rec-2/grants', () => ({
    status: 409,
    body: { code: 'recording_not_ready', detail: 'The recording is not available yet' },
  }));
  const code = await page.evaluate(() =>
    window.client.playbackUrl('rec-2').catch((error: { code: string }) => error.code),
  );
  t.equal(code, 'recording_not_ready');
});
