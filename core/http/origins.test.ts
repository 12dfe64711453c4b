import { request } from 'node:http';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);
const CHAT = 'https://chat.example';

t.test('F50 a page of an allowed origin may ask, with credentials, and read what it needs', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const app = await addApp('cors', [CHAT]);
  const preflight = await http.inject({
    method: 'OPTIONS',
    url: '/v1/recordings/x/grants',
    headers: {
      origin: CHAT,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type',
    },
  });
  t.equal(preflight.statusCode, 204);
  t.match(preflight.headers, {
    'access-control-allow-origin': CHAT,
    'access-control-allow-credentials': 'true',
    'access-control-allow-methods': /POST/,
    'access-control-allow-headers': /authorization, content-type, range/,
  });
  const answer = await http.inject({
    url: '/v1/chats/none/recordings',
    headers: { origin: CHAT, authorization: await app.user('alice') },
  });
  t.equal(answer.statusCode, 404);
  t.match(answer.headers, {
    'access-control-allow-origin': CHAT,
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': /content-range/,
    vary: /Origin/,
  });
});

t.test('a page of any other origin gets no permission', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const app = await addApp('cors-2', [CHAT]);
  await addApp('cors-3', ['https://other.example']);
  const origins = [
    'https://evil.example',
    'null',
    'http://chat.example',
    'https://chat.example:8443',
    'https://chat.example.evil.example',
    'https://CHAT.example',
    'chrome-extension://abcdefgh',
    '*',
  ];
  for (const origin of origins) {
    const preflight = await http.inject({
      method: 'OPTIONS',
      url: '/v1/recordings/x/grants',
      headers: { origin, 'access-control-request-method': 'POST' },
    });
    t.equal(preflight.statusCode, 403, origin);
    t.notOk(preflight.headers['access-control-allow-origin'], origin);
    const answer = await http.inject({
      url: '/v1/chats/none/recordings',
      headers: { origin, authorization: await app.user('alice') },
    });
    t.equal(answer.statusCode, 403, origin);
    t.equal(answer.json().code, 'origin_refused', origin);
  }
  // Allowed for the one app is not allowed for the other.
  const foreign = await http.inject({
    url: '/v1/chats/none/recordings',
    headers: { origin: 'https://other.example', authorization: await app.user('alice') },
  });
  t.equal(foreign.json().code, 'origin_refused');
});

t.test('a change of the allowed origins takes effect within two seconds', async (t) => {
  const { http, addApp, clock } = await httpFixture(t, db);
  const app = await addApp('cors-4', ['https://old.example']);
  const ask = async (origin: string) =>
    (
      await http.inject({
        url: '/v1/chats/none/recordings',
        headers: { origin, authorization: await app.user('a') },
      })
    ).statusCode;
  t.equal(await ask('https://old.example'), 404);
  await db.sql`update apps set allowed_origins = '{https://new.example}' where id = 'cors-4'`;
  clock.nowMs += 2_000;
  t.equal(await ask('https://old.example'), 403);
  t.equal(await ask('https://new.example'), 404);
});

t.test('the demo gives tokens to this machine only', async (t) => {
  const token = {
    token: 'x.y.z',
    expiresAt: new Date(0).toISOString(),
    userId: 'alice',
    name: 'Alice',
    chatId: 'c',
    peer: { userId: 'bob', name: 'Bob' },
    room: { chatId: 'r', name: 'Room', members: [] },
  };
  const { http, url } = await httpFixture(t, db, {
    demo: { token: async (as) => ({ ...token, userId: as }) },
  });
  const { port } = new URL(url);
  const ask = (
    headers: Record<string, string>,
    remoteAddress = '127.0.0.1',
    payload: object = { as: 'bob' },
  ) => http.inject({ method: 'POST', url: '/demo/token', headers, remoteAddress, payload });
  const good = { host: `localhost:${port}`, origin: `http://localhost:${port}` };
  t.match((await ask(good)).json(), { userId: 'bob', token: 'x.y.z' });
  t.equal((await ask({ host: `127.0.0.1:${port}` })).statusCode, 200);
  t.equal((await ask({ host: `[::1]:${port}` }, '::1')).statusCode, 200);
  const refused: [string, Record<string, string>, string?][] = [
    ['another machine', good, '192.0.2.7'],
    ['a proxy on this machine', { ...good, 'x-forwarded-for': '192.0.2.7' }],
    ['a proxy on this machine (RFC 7239)', { ...good, forwarded: 'for=192.0.2.7' }],
    [
      'a foreign name that resolves to this machine',
      { host: `evil.example:${port}`, origin: `http://evil.example:${port}` },
    ],
    ['a page of another site', { ...good, origin: 'https://evil.example' }],
    ['a page of another port', { ...good, origin: 'http://localhost:1' }],
    ['a page without an origin', { ...good, origin: 'null' }],
  ];
  for (const [what, headers, address] of refused) {
    const answer = await ask(headers, address);
    t.equal(answer.statusCode, 403, what);
    t.notMatch(answer.body, 'x.y.z', what);
    t.equal((await ask(good)).statusCode, 200, `after ${what}`);
  }
  for (const payload of [{}, { as: 'mallory' }, { as: ['alice'] }, { as: 'alice', admin: true }]) {
    t.equal((await ask(good, '127.0.0.1', payload)).statusCode, 400, JSON.stringify(payload));
  }
});

t.test('without the demo setting there is no demo', async (t) => {
  const { http } = await httpFixture(t, db, { clientDir: t.testdir({ demo: { 'index.html': 'x' } }) });
  t.equal(
    (await http.inject({ method: 'POST', url: '/demo/token', payload: { as: 'alice' } })).statusCode,
    404,
  );
  t.equal((await http.inject('/demo/')).statusCode, 404);
});

t.test('the built client is served, and nothing beside it', async (t) => {
  const clientDir = t.testdir({
    dist: {
      demo: { 'index.html': '<!doctype html><title>Demo</title>', 'main.js': 'export {};', '.env': 'secret' },
      sdk: { 'verbatim.js': 'export const sdk = 1;', 'verbatim.d.ts': 'export declare const sdk = 1;' },
      ui: { 'verbatim-ui.js': 'export const ui = 1;' },
    },
    'outside.txt': 'secret',
  });
  const { http, url } = await httpFixture(t, db, {
    clientDir: `${clientDir}/dist`,
    demo: { token: async () => Promise.reject(new Error('not asked for here')) },
  });
  const page = await http.inject('/demo/?as=alice');
  t.equal(page.statusCode, 200);
  t.match(page.headers, { 'content-type': /^text\/html/, 'cache-control': 'no-cache' });
  t.match(page.headers['content-security-policy'], /script-src 'self'/);
  t.equal((await http.inject('/demo')).headers.location, '/demo/');
  t.equal((await http.inject('/')).headers.location, '/demo/');
  for (const [path, type] of [
    ['/sdk/verbatim.js', /javascript/],
    ['/sdk/verbatim.d.ts', /^text\/plain/],
    ['/ui/verbatim-ui.js', /javascript/],
  ] as const) {
    const { headers } = await http.inject(path);
    t.match(headers, { 'content-type': type, 'cross-origin-resource-policy': 'cross-origin' }, path);
  }
  const paths = [
    '/demo/.env',
    '/demo/missing.js',
    '/demo/../outside.txt',
    '/demo/..%2f..%2foutside.txt',
    '/demo/%2e%2e/%2e%2e/outside.txt',
    '/sdk/..%5c..%5coutside.txt',
    '/sdk/../../outside.txt',
    '/sdk//etc/passwd',
    '/sdk/',
    '/ui/',
    '/ui/../../outside.txt',
    '/demo/%00',
  ];
  for (const path of paths) {
    // Not by fetch, which would tidy the path up before it is sent.
    const { status, body } = await rawGet(url, path);
    t.ok([400, 403, 404].includes(status), `${path}: ${status}`);
    t.notMatch(body, 'secret', path);
    t.match(body, /"code"/, `${path}: ${body.slice(0, 80)}`);
    t.equal((await http.inject('/sdk/verbatim.js')).statusCode, 200, `after ${path}`);
  }
});

function rawGet(url: string, path: string): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    request({ hostname, port, path }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}
