import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import t from 'tap';
import type { CallView, Consent, Disclosure } from '#protocol';
import { launchBrowser } from '../../scripts/lib/people.ts';
import { speak } from '../../scripts/lib/speech.ts';
import type { TemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { startTemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { ensureMediaWorker } from '../../scripts/media-worker/ensure.ts';
import type { ContractClient, PageOptions, Scene, Told, Who, World } from './sdk-contract.ts';
import { CONTRACT } from './sdk-contract.ts';

// One table, run against a real server with real media, and against the one in memory that messengers test with.
t.setTimeout(400_000);

const RING_TIMEOUT_MS = 4_000;
const GRACE_MS = 3_000;
const TOKEN_LIFETIME_MS = 3_600_000;
const TEXT = 'This call will be recorded.\n';
const WORLDS: readonly World[] = ['records', 'silent'];
const PEOPLE = [
  { id: 'alice', name: 'Alice' },
  { id: 'bob', name: 'Bob' },
  { id: 'carol', name: 'Carol', role: 'guest' },
];
const CHATS = [
  { id: 'alice-bob', kind: 'direct', members: ['alice', 'bob'] },
  { id: 'alice-carol', kind: 'direct', members: ['alice', 'carol'] },
  { id: 'all', kind: 'group', members: ['alice', 'bob', 'carol'] },
];
const GUEST = { voice: true, secure: false, recordings: false };

const root = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

/** What the page's scripts see; programs outside the browser have no types for a window. */
interface ContractWindow {
  openScene(world: World): Scene & { told(): Record<string, Told>; close(): Promise<void> };
  /** A token as the messenger's own server signs it. */
  signToken(world: World, who: string, lifetimeMs: number): Promise<string>;
}

type Key = { kid: string; secret: string };

/** The two apps, with their users and chats, as an operator and a messenger's server put them in place. */
async function putWorlds(server: TemporaryServer, folder: string): Promise<Record<World, Key>> {
  const text = join(folder, 'disclosure.txt');
  await writeFile(text, TEXT);
  const app = async (...args: string[]): Promise<string> =>
    (await run(process.execPath, ['scripts/app.ts', ...args, '--data', server.dataDir], { cwd: root }))
      .stdout;
  const keys: Partial<Record<World, Key>> = {};
  for (const world of WORLDS) {
    const recording = world === 'records' ? 'on' : 'off';
    const made = await app('create', '--json', '--id', world, '--name', world, '--recording', recording);
    const { key }: { key: Key } = JSON.parse(made);
    keys[world] = key;
    const put = async (path: string, body: object): Promise<void> => {
      const headers = {
        authorization: `Bearer ${key.kid}.${key.secret}`,
        'content-type': 'application/json',
      };
      const answer = await fetch(server.url + path, { method: 'PUT', headers, body: JSON.stringify(body) });
      if (!answer.ok) throw new Error(`${path} answers ${answer.status}: ${await answer.text()}`);
    };
    await put('/v1/policy', {
      default: { ...GUEST, secure: true, recordings: true },
      roles: { guest: GUEST },
    });
    for (const { id, ...person } of PEOPLE) await put(`/v1/users/${id}`, person);
    for (const { id, ...chat } of CHATS) await put(`/v1/chats/${id}`, chat);
  }
  await app('disclosure', 'set', 'records', '--locale', 'en', '--file', text);
  const { records, silent } = keys;
  if (records === undefined || silent === undefined) throw new Error('an app is missing');
  return { records, silent };
}

function signToken({ kid, secret }: Key, who: string, lifetimeMs: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Date.now() / 1000;
  const head = part({ alg: 'HS256', typ: 'JWT', kid });
  const body = part({ sub: who, iat: Math.floor(now), exp: Math.ceil(now + lifetimeMs / 1000) });
  // Nobody is who has no key.
  const signed = createHmac('sha256', who === 'nobody' ? 'another' : secret).update(`${head}.${body}`);
  return `${head}.${body}.${signed.digest('base64url')}`;
}

const folder = await mkdtemp(join(tmpdir(), 'verbatim-contract-'));
t.teardown(() => rm(folder, { recursive: true, force: true }));
const wav = join(folder, 'voice.wav');
await speak('alice', wav);
const mediaWorker = await ensureMediaWorker({ log: () => {} });
const env = {
  VERBATIM_DEMO_ENABLED: 'false',
  VERBATIM_CALL_RING_TIMEOUT_MS: String(RING_TIMEOUT_MS),
  VERBATIM_CALL_GRACE_MS: String(GRACE_MS),
};
const server = await startTemporaryServer({ mediaWorker, env });
t.teardown(() => server.close());
const keys = await putWorlds(server, folder);
const browser = await launchBrowser(wav);
t.teardown(() => browser.close());

/** A page of the server that does nothing by itself, with `openScene()`. */
async function stage(kind: 'real' | 'memory'): Promise<Page> {
  // The rows come to the page as text, which the server's own pages rightly forbid.
  const context = await browser.newContext({ bypassCSP: true });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  await page.exposeFunction('signToken', (world: World, who: string, lifetimeMs: number) =>
    signToken(keys[world], who, lifetimeMs),
  );
  await page.goto(`${server.url}/sdk/verbatim.js`);
  const facts = {
    kind,
    url: server.url,
    users: PEOPLE.map(({ id, name, role }) => ({ id, name, ...(role === 'guest' ? { may: GUEST } : {}) })),
    chats: CHATS,
    disclosure: TEXT,
    ringTimeoutMs: RING_TIMEOUT_MS,
    graceMs: GRACE_MS,
    lifetimeMs: TOKEN_LIFETIME_MS,
  };
  await page.evaluate(async ({ kind, url, lifetimeMs, ...facts }) => {
    type Client = new (options: object) => ContractClient;
    interface Memory {
      options(who: string): { url: string; transport: object };
      token(who: string): string;
      disconnect(who: string): void;
      close(): void;
    }
    const sdk: { VerbatimClient: Client; consentTo(disclosure: Disclosure): Consent } = await import(
      `${url}/sdk/verbatim.js`
    );
    const testing: { TestServer: new (options: object) => Memory } | undefined =
      kind === 'memory' ? await import(`${url}/sdk/testing.js`) : undefined;
    const global = globalThis as unknown as ContractWindow & { WebSocket: typeof WebSocket };

    // So that a row can break the connection of one device.
    const sockets = new Map<string, WebSocket>();
    global.WebSocket = class extends WebSocket {
      override send(data: string): void {
        const { method, params } = JSON.parse(data);
        if (method === 'session.start') sockets.set(params.device, this);
        super.send(data);
      }
    };

    const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

    function sceneOf(world: World): ReturnType<ContractWindow['openScene']> {
      const clients: ContractClient[] = [];
      const told: Record<string, Told> = {};
      const asked = new Map<ContractClient, number>();
      const away = new Map<ContractClient, PromiseWithResolvers<void>>();
      // A lifetime of tokens is a setting of the server in memory: each has its own, of the same people.
      const memories = new Map<number, Memory>();
      const memoryOf = (tokenLifetimeMs: number): Memory | undefined => {
        if (testing === undefined) return undefined;
        const recordingEnabled = world === 'records';
        const made =
          memories.get(tokenLifetimeMs) ??
          new testing.TestServer({ ...facts, recordingEnabled, tokenLifetimeMs });
        memories.set(tokenLifetimeMs, made);
        return made;
      };

      const listen = (name: string, client: ContractClient): void => {
        const mine: Told = { seen: [] };
        told[name] = mine;
        const note = (what: string): void => void mine.seen.push(what);
        const keep = (list: 'recordings' | 'mutes', what: string): void => {
          mine[list] ??= [];
          mine[list].push(what);
        };
        let last: { text: string; peerMuted: boolean } | undefined;
        client.on('connection', ({ state, error }: { state: string; error?: { code: string } }) =>
          note([state, ...(error ? [error.code] : [])].join(' ')),
        );
        client.on('incoming', ({ mode, peer }: CallView) => note(`incoming ${mode} from ${peer.userId}`));
        client.on('call', (call: CallView | undefined) => {
          const text =
            call === undefined ? 'no call' : `call ${call.state}${call.recording ? ' recording' : ''}`;
          const peerMuted = call?.peerMuted ?? false;
          if (text !== last?.text) note(text);
          if (call && peerMuted !== (last?.peerMuted ?? false))
            keep('mutes', peerMuted ? 'other muted' : 'other unmuted');
          last = { text, peerMuted };
        });
        client.on('ended', ({ call, error }: { call: CallView; error?: { code: string } }) =>
          note(['ended', call.endReason, ...(error ? [error.code] : [])].join(' ')),
        );
        client.on('muted', (muted: boolean) => keep('mutes', muted ? 'muted' : 'unmuted'));
        client.on('interrupted', (interrupted: boolean) => note(`interrupted ${interrupted}`));
        client.on('trouble', ({ code }: { code: string }) => note(`trouble ${code}`));
        client.on('recording', ({ state }: { state: string }) => keep('recordings', state));
      };

      const unsigned: Scene['unsigned'] = (who, options: PageOptions = {}) => {
        const memory = memoryOf(options.tokenLifetimeMs ?? lifetimeMs);
        const sign = async (): Promise<string> =>
          memory?.token(who) ?? global.signToken(world, who, options.tokenLifetimeMs ?? lifetimeMs);
        let first: Promise<string> | undefined;
        const getToken = async (): Promise<string> => {
          asked.set(client, (asked.get(client) ?? 0) + 1);
          await away.get(client)?.promise;
          first ??= sign();
          return options.fixedToken ? first : sign();
        };
        const server = memory === undefined ? { url } : memory.options(who);
        const device = options.device === undefined ? {} : { device: options.device };
        const client = new sdk.VerbatimClient({ ...server, ...device, getToken });
        const count = Object.keys(told).filter((name) => name.split(' ')[0] === who).length;
        listen(count === 0 ? who : `${who} ${count + 1}`, client);
        clients.push(client);
        return client;
      };

      const consent: Scene['consent'] = async (client, mode) =>
        mode === 'secure' ? { consent: sdk.consentTo(await client.disclosure('en')) } : {};
      const until: Scene['until'] = async (ask) => {
        const deadline = performance.now() + 30_000;
        for (;;) {
          const answer = await ask();
          if (answer !== undefined) return answer;
          if (performance.now() > deadline) throw new Error(`not in time: ${ask}; ${JSON.stringify(told)}`);
          await wait(20);
        }
      };
      const ring: Scene['ring'] = async (caller, callee, chatId, mode) => {
        const rings = callee.once('incoming');
        const started = await caller.startCall({ chatId, mode, ...(await consent(caller, mode)) });
        await rings;
        return started;
      };
      const cut: Scene['cut'] = (client) => {
        for (const memory of memories.values()) memory.disconnect(client.userId ?? '');
        sockets.get(client.device)?.close();
      };

      return {
        unsigned,
        page: async (who: Who, options) => {
          const client = unsigned(who, options);
          await client.connect();
          return client;
        },
        consent,
        ring,
        talk: async (caller, callee, chatId, mode) => {
          const started = await ring(caller, callee, chatId, mode);
          await callee.accept((await consent(callee, mode)).consent);
          await until(
            () => (caller.call?.state === 'active' && callee.call?.state === 'active') || undefined,
          );
          return started;
        },
        cut,
        keepAway: (client) => {
          away.set(client, Promise.withResolvers());
          cut(client);
        },
        letBack: (client) => {
          away.get(client)?.resolve();
          away.delete(client);
        },
        tokens: (client) => asked.get(client) ?? 0,
        code: (promise) =>
          promise.then(
            () => 'ok',
            (error: { code?: string }) => error.code ?? String(error),
          ),
        until,
        over: (...those) => Promise.all(those.map((client) => client.once('ended'))),
        told: () => structuredClone(told),
        close: async () => {
          for (const { resolve } of away.values()) resolve();
          await Promise.all(clients.map((client) => client.close()));
          for (const memory of memories.values()) memory.close();
        },
      };
    }
    global.openScene = sceneOf;
  }, facts);
  return page;
}

for (const kind of ['memory', 'real'] as const) {
  t.test(`the ${kind} server`, async (t) => {
    const page = await stage(kind);
    t.teardown(() => page.context().close());
    for (const { name, run, mode = 'voice', world = 'records', expected } of CONTRACT) {
      t.test(name, async (t) => {
        const found = await page.evaluate(
          async ({ source, mode, world }) => {
            const scene = (globalThis as unknown as ContractWindow).openScene(world);
            try {
              // The row's own function, which came here as text.
              const row: (typeof CONTRACT)[number]['run'] = new Function(`return ({ ${source} }).run`)();
              const answer = await row(scene, mode);
              return { answer, told: scene.told() };
            } finally {
              await scene.close();
            }
          },
          { source: `run: ${run}`, mode, world },
        );
        t.strictSame(found, expected);
      });
    }
  });
}
