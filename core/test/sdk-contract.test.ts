import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import t from 'tap';
import type { Consent, Disclosure } from '#protocol';
import { launchBrowser } from '../../scripts/lib/people.ts';
import { speak } from '../../scripts/lib/speech.ts';
import { startTemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { ensureMediaWorker } from '../../scripts/media-worker/ensure.ts';
import type { ContractClient, Scene } from './sdk-contract.ts';
import { CONTRACT } from './sdk-contract.ts';

/** One table, run against a real server with real media, and against the one in memory that messengers test with. */

/** What the page's scripts see; programs outside the browser have no types for a window. */
interface ContractWindow {
  open(): Promise<Scene & { close(): Promise<void> }>;
}

// Two calls a row, on a machine that may be busy.
t.setTimeout(400_000);
const folder = await mkdtemp(join(tmpdir(), 'verbatim-contract-'));
const wav = join(folder, 'voice.wav');
const [server] = await Promise.all([
  ensureMediaWorker({ log: () => {} }).then((mediaWorker) =>
    startTemporaryServer({ mediaWorker, env: { VERBATIM_CALL_RING_TIMEOUT_MS: '2500' } }),
  ),
  speak('alice', wav),
]);
const browser = await launchBrowser(wav);
t.teardown(async () => {
  await browser.close();
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

/** An empty page of the server, with `open()`, which makes a scene of fresh clients. */
async function stage(kind: 'real' | 'memory'): Promise<Page> {
  const context = await browser.newContext();
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  await page.route('**/contract', (route) =>
    route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>contract</title>' }),
  );
  await page.goto(`${server.url}/contract`);
  await page.evaluate(
    async ({ kind, url }) => {
      type Constructor = new (options: object) => ContractClient;
      type Module = { VerbatimClient: Constructor; consentTo(disclosure: Disclosure): Consent };
      const sdk: Module = await import(`${url}/sdk/verbatim.js`);
      const memory = kind === 'memory' ? await import(`${url}/sdk/testing.js`) : undefined;
      let chatId = 'chat-1';
      const people = ['alice', 'bob'].map((id) => ({ id, name: id }));
      const chats = [{ id: chatId, members: ['alice', 'bob'] }];

      const open: ContractWindow['open'] = async () => {
        const test = memory && new memory.TestServer({ users: people, chats, ringTimeoutMs: 2_500 });
        const clients: ContractClient[] = [];
        const optionsOf = (who: string): object => {
          if (test) return test.options(who);
          const getToken = async (): Promise<string> => {
            const headers = { 'content-type': 'application/json' };
            const body = JSON.stringify({ as: who });
            const answer = await (await fetch('/demo/token', { method: 'POST', headers, body })).json();
            chatId = answer.chatId;
            return answer.token;
          };
          return { url, getToken };
        };
        const another: Scene['another'] = async (who) => {
          const client = new sdk.VerbatimClient(optionsOf(who));
          clients.push(client);
          await client.connect();
          return client;
        };
        const [alice, bob] = [await another('alice'), await another('bob')];
        return {
          alice,
          bob,
          chatId,
          another,
          consentTo: sdk.consentTo,
          code: (promise) =>
            promise.then(
              () => 'ok',
              (error: { code: string }) => error.code ?? String(error),
            ),
          until: async (ask) => {
            const deadline = Date.now() + 30_000;
            for (;;) {
              const answer = await ask();
              if (answer !== undefined) return answer;
              if (Date.now() > deadline) throw new Error(`not in time: ${ask}`);
              await new Promise((resolve) => setTimeout(resolve, 20));
            }
          },
          ended: async (client) => {
            const { call } = (await client.once('ended')) as { call: { endReason: string } };
            return call.endReason;
          },
          close: async () => {
            await Promise.all(clients.map((client) => client.close()));
            test?.close();
          },
        };
      };
      Object.assign(globalThis, { open });
    },
    { kind, url: server.url },
  );
  return page;
}

for (const kind of ['real', 'memory'] as const) {
  t.test(`the ${kind} server`, async (t) => {
    const page = await stage(kind);
    for (const { name, run, expected } of CONTRACT) {
      t.test(name, async (t) => {
        const found = await page.evaluate(async (source) => {
          const scene = await (globalThis as unknown as ContractWindow).open();
          try {
            // The row's own function, which came here as text.
            const run: (scene: Scene) => Promise<unknown> = new Function(`return ${source}`)();
            return await run(scene);
          } finally {
            await scene.close();
          }
        }, String(run));
        t.strictSame(found, expected);
      });
    }
    t.teardown(() => page.context().close());
  });
}
