import { request } from 'node:http';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { cookieOf, httpFixture } from './fixture.ts';
import { grantOf, idle, playbackScene } from './playback-fixture.ts';

const db = await testDatabase(t);
const SECRET = 'what lies beside the pages';
const site = t.testdir({
  pages: { sdk: { 'a.js': 'export {};' }, ui: { 'a.js': 'export {};' }, demo: { 'index.html': 'demo' } },
  'secret.txt': SECRET,
});
const fixture = await httpFixture(t, db, {
  clientDir: `${site}/pages`,
  demo: { token: async () => Promise.reject(new Error('not asked for here')) },
});
const { http } = fixture;

/** As it stands, without the tidying that URL parsers do. */
function raw(path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
  const { hostname, port } = new URL(fixture.url);
  return new Promise((resolve, reject) => {
    request({ hostname, port, path, headers }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
    })
      .on('error', reject)
      .end();
  });
}

t.test('F25 one bit changed anywhere in a playback address, and it is of nobody', async (t) => {
  const { grant } = await playbackScene(fixture);
  const { url, cookie } = await grant('alice');
  const play = async (address: string) =>
    http.inject({ method: 'HEAD', url: address, headers: { cookie } }).then((answer) => answer.statusCode);
  t.equal(await play(url), 200);
  const query = new URLSearchParams(url.slice(url.indexOf('?')));
  const parts = [url.slice('/media/'.length, url.indexOf('?')), ...query.values()];
  t.equal(parts.length, 4, 'id, end, key and signature');
  let tried = 0;
  const opened: string[] = [];
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const changed = String.fromCharCode(part.charCodeAt(at) ^ (1 << bit));
        const other = part.slice(0, at) + changed + part.slice(at + 1);
        // Bytes that cannot stand in an address go percent-encoded, as any client would send them.
        const address = url.replace(part, () => encodeURIComponent(other).replaceAll('%2F', '/'));
        tried += 1;
        if ((await play(address)) === 200) opened.push(address);
      }
    }
  }
  t.strictSame(opened, []);
  t.ok(tried > 700, `${tried} addresses`);
  t.equal(await play(url), 200, 'and the address itself is still good');
});

t.test(
  'F25 what is to be done with a recording is part of its address, and ends with the session',
  async (t) => {
    const { app, recording, grant } = await playbackScene(fixture);
    const { url, cookie } = await grant('alice');
    const saved = await grantOf(fixture, app, recording.id, 'alice', { cookie, disposition: 'attachment' });
    const remuxed = '&format=mp4';
    const play = (address: string) => http.inject({ url: address, headers: { cookie, range: 'bytes=0-9' } });
    const query = (address: string) => address.slice(address.indexOf('?'));
    const path = (address: string) => address.slice(0, address.indexOf('?'));
    const end = /e=(\d+)/.exec(url)?.[1] ?? '';
    const cases: [what: string, address: string][] = [
      ['another disposition, named', `${url}&disposition=attachment`],
      ['another disposition, as object stores take it', `${url}&response-content-disposition=attachment`],
      ['another format', `${url}${remuxed}`],
      ['another format beside the id', `${path(url)}.mp4${query(url)}`],
      ['the signature of the download for the player', path(url) + query(saved.url)],
      ['the signature of the player for the download', path(saved.url) + query(url)],
      ['an end put off', url.replace(end, String(Number(end) + 3_600))],
      ['an end with a zero in front', url.replace(end, `0${end}`)],
      ['an end as a fraction', url.replace(end, `${end}.0`)],
      ['an end in powers of ten', url.replace(end, '9e9')],
      ['an end beyond all numbers', url.replace(end, '9'.repeat(400))],
      ['an end that is none', url.replace(end, 'NaN')],
      ['parameters in capitals', url.replace('e=', 'E=')],
      ['parameters as a list', url.replace('e=', 'e[]=')],
      ['a signature with padding', `${url}=`],
      ['a signature with a space', `${url}%20`],
      [
        'a signature in the other base64',
        url.replaceAll('-', '%2B').replaceAll('_', '%2F').replace('s=', 's=%2B'),
      ],
      ['a path below', url.replace('?', '/?')],
    ];
    for (const [what, address] of cases) {
      const { statusCode, body } = await play(address);
      t.ok([403, 404].includes(statusCode), `${what}: ${statusCode} ${body.slice(0, 100)}`);
    }
    t.equal((await play(url)).statusCode, 206);
    t.match((await play(saved.url)).headers['content-disposition'], /^attachment;/);
    t.match((await play(url)).headers['content-disposition'], /^inline;/);

    const headers = { authorization: await app.user('alice'), cookie };
    t.equal((await http.inject({ method: 'DELETE', url: '/v1/session', headers })).statusCode, 204);
    for (const address of [url, saved.url])
      t.equal((await play(address)).statusCode, 403, 'after signing out');
    const again = await grant('alice');
    t.equal(
      (await http.inject({ url, headers: { cookie: again.cookie } })).statusCode,
      403,
      'nor in the session that follows',
    );
  },
);

t.test('F25 no range asks more of the server than one reading of the file', async (t) => {
  const { grant, recording } = await playbackScene(fixture);
  const { url, cookie } = await grant('alice');
  const size = recording.bytes.length;
  let opened = 0;
  const { open } = fixture.store;
  fixture.store.open = (id) => {
    opened += 1;
    return open(id);
  };
  t.teardown(() => {
    fixture.store.open = open;
  });
  const huge = '9'.repeat(400);
  const cases: [what: string, range: string, status: number][] = [
    ['1,000 ranges', `bytes=${Array.from({ length: 1_000 }, (_, at) => `${at}-${at}`).join()}`, 200],
    ['1,000 times the whole', `bytes=${'0-,'.repeat(999)}0-`, 200],
    ['overlapping', `bytes=0-${size - 1},0-${size - 1},1-`, 200],
    ['reversed', 'bytes=9-0', 200],
    ['in reversed order', 'bytes=5-9,0-4', 200],
    ['a beginning beyond all numbers', `bytes=${huge}-`, 200],
    ['an end beyond all numbers', `bytes=0-${huge}`, 200],
    ['as many last bytes', `bytes=-${huge}`, 200],
    ['the largest number', `bytes=${Number.MAX_SAFE_INTEGER}-`, 200],
    ['a beginning beyond the file', 'bytes=999999999999999-', 416],
    ['an end beyond the file', 'bytes=10-999999999999999', 206],
    ['a sign', 'bytes=--1', 200],
    ['a NUL', 'bytes=0-%00', 200],
    ['another unit', 'pages=0-1', 200],
  ];
  for (const [what, range, status] of cases) {
    opened = 0;
    const answer = await http.inject({ url, headers: { cookie, range } });
    t.equal(answer.statusCode, status, what);
    if (status === 200) t.ok(answer.rawPayload.equals(recording.bytes), `${what}: the file, once`);
    if (status === 206) t.ok(answer.rawPayload.equals(recording.bytes.subarray(10)), what);
    t.notMatch(answer.headers['content-type'], /multipart/, what);
    t.equal(opened, 1, what);
  }
  const lists = await http.inject({ url, headers: { cookie, range: `bytes=${'0-1,'.repeat(8_000)}0-1` } });
  t.ok(lists.statusCode < 500, `32 KB of ranges: ${lists.statusCode}`);
  await idle(fixture);
  t.equal(fixture.library.streams, 0);
});

/** Ways to write `../`, and a path that would lead to the file beside the pages. */
const UP = [
  '../',
  '..%2f',
  '..%2F',
  '%2e%2e/',
  '%2e%2e%2f',
  '%2E%2E%2F',
  '.%2e/',
  '..%5c',
  '..\\',
  '%2e%2e%5c',
  // Twice encoded, overlong UTF-8 (RFC 3629 §3), the full-width forms, with a path parameter
  '%252e%252e%252f',
  '..%252f',
  '%c0%ae%c0%ae%c0%af',
  '..%c0%af',
  '%e0%80%ae%e0%80%ae/',
  '..%c1%9c',
  '%uff0e%uff0e%u2215',
  '%ef%bc%8e%ef%bc%8e%ef%bc%8f',
  '..;/',
  '....//',
  '..././',
  './../',
  '..%00/',
  '%00../',
  '..%0d%0a/',
] as const;

t.test('no way to write a path leads out of the folder of pages', async (t) => {
  const bases = ['/sdk/', '/ui/', '/demo/', '/demo/x/', '/'];
  let tried = 0;
  for (const base of bases) {
    for (const up of UP) {
      for (const path of [
        `${base}${up.repeat(2)}secret.txt`,
        `${base}${up}secret.txt`,
        `${base}${up.repeat(9)}etc/passwd`,
      ]) {
        const { status, body } = await raw(path);
        t.ok([400, 403, 404].includes(status), `${path}: ${status}`);
        t.notMatch(body, SECRET, path);
        t.notMatch(body, 'root:', path);
        tried += 1;
      }
    }
  }
  const whole = [
    `/sdk//${site}/secret.txt`,
    `/sdk/${encodeURIComponent(`${site}/secret.txt`)}`,
    '/sdk/file:///etc/passwd',
  ];
  for (const path of whole) {
    const { status, body } = await raw(path);
    t.ok([400, 403, 404].includes(status), `${path}: ${status}`);
    t.notMatch(body, SECRET, path);
  }
  t.ok(tried > 300, `${tried} paths`);
  t.equal((await raw('/sdk/a.js')).status, 200);
});

t.test('no way to write an id leads to anything else than a refusal', async (t) => {
  const { app } = await playbackScene(fixture);
  const authorizations = [app.server, await app.user('alice')];
  const routes = http.routes.filter(
    ({ method, url }) => /:/.test(url) && method !== 'HEAD' && !url.startsWith('/media'),
  );
  t.ok(routes.length > 20, `${routes.length} routes with an id`);
  const odd = [
    ...UP.map((up) => `${up}${up}users`),
    '.',
    '..',
    '%2e',
    '%2e%2e',
    '%00',
    'a%00b',
    'a%0d%0aset-cookie:%20x=1',
    '%22',
    '%27%20or%201=1--',
    '%24%7b7*7%7d',
    '%3cscript%3e',
    '%f0%9f%8e%88',
    '%e2%80%ae',
    '%ff',
    '%',
    '*',
    '%2a',
    ' ',
    'a'.repeat(5_000),
  ];
  const failures: string[] = [];
  let tried = 0;
  for (const { method, url } of routes) {
    for (const id of odd) {
      const path = url.replace(/:\w+/g, () => id).replace('*', 'x');
      for (const authorization of authorizations) {
        const answer = await http
          .inject({ method: method as 'GET', url: path, headers: { authorization }, payload: {} })
          // What no client can even write down as a request.
          .catch(() => undefined);
        tried += 1;
        if (answer === undefined) continue;
        const isProblem = /^application\/problem\+json/.test(String(answer.headers['content-type']));
        const isRefusal = answer.statusCode >= 400 && answer.statusCode < 500 && isProblem;
        if (!isRefusal || answer.headers['set-cookie'] !== undefined)
          failures.push(`${method} ${path.slice(0, 100)}: ${answer.statusCode} ${answer.body.slice(0, 100)}`);
      }
    }
  }
  t.strictSame(failures, []);
  t.ok(tried > 1_500, `${tried} requests`);
});

/** Names that somebody may have, or that somebody typed with a purpose. */
const NAMES = [
  'O"Brien; filename="evil.exe"',
  "'; drop table users; --",
  'a\\"b\\',
  'рус‮cod.exe',
  '‏عربي‏',
  '👩‍👩‍👧‍👦 🎈',
  '=HYPERLINK("http://evil.example","click")',
  '+1+1',
  '-2+3',
  '@SUM(A1)',
  '<img src=x onerror=alert(1)>',
  '</script><script>alert(1)</script>',
  '{{7*7}} #{7*7}',
  '../../etc/passwd',
  'con.webm',
];

t.test('what people are called gets into no header, no file name and no page', async (t) => {
  const { app, recording } = await playbackScene(fixture);
  const server = { authorization: app.server };
  const put = (url: string, payload: object) => http.inject({ method: 'PUT', url, headers: server, payload });
  for (const breaking of ['a\r\nset-cookie: x=1', 'a\nb', 'a\u0000b', 'a\u0085b', 'a\u001b[2J'])
    for (const url of ['/v1/users/alice', '/v1/chats/c'])
      t.equal(
        (await put(url, { kind: 'direct', members: ['alice', 'bob'], name: breaking })).statusCode,
        400,
        JSON.stringify(breaking),
      );
  for (const name of NAMES) {
    t.equal((await put('/v1/users/alice', { name })).statusCode, 200, name);
    t.equal(
      (await put('/v1/chats/c', { kind: 'direct', name, members: ['alice', 'bob'] })).statusCode,
      200,
      name,
    );
    for (const disposition of ['inline', 'attachment']) {
      const given = await grantOf(fixture, app, recording.id, 'alice', { disposition });
      const file = await http.inject({ method: 'HEAD', url: given.url, headers: { cookie: given.cookie } });
      t.equal(file.statusCode, 200);
      t.match(
        file.headers['content-disposition'],
        /^(?:inline|attachment); filename="secure-call-\d{4}-\d\d-\d\d-\d{4}-[0-9a-f]{8}\.webm"$/,
        `${name}: the file is named by its time`,
      );
    }
    const user = { authorization: await app.user('bob') };
    const one = `/v1/recordings/${recording.id}`;
    for (const url of [
      one,
      `${one}/access`,
      `${one}/timeline`,
      '/v1/chats/c/recordings',
      '/v1/chats/c/calls',
    ]) {
      const { headers, body, statusCode } = await http.inject({ url, headers: user });
      t.equal(statusCode, 200, url);
      t.match(headers, { 'content-type': /^application\/json/, 'x-content-type-options': 'nosniff' }, url);
      t.match(headers['content-security-policy'], /default-src 'none'/, url);
      t.notMatch(JSON.stringify(headers), JSON.stringify(name).slice(1, -1).slice(0, 12), `${name}: ${url}`);
      JSON.parse(body);
    }
    t.equal(
      (await http.inject({ url: one, headers: user })).json().caller.name,
      name,
      'as it was given, in JSON',
    );
  }
  t.equal(cookieOf({}), '');
});
