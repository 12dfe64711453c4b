import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';
import { HTTP_LIMITS } from './limits.ts';

const db = await testDatabase(t);
const user = '/v1/users/alice';
const chat = '/v1/chats/c1';

t.test('what is no HTTP request gets a problem document and the socket is closed', async (t) => {
  const { http, url } = await httpFixture(t, db);
  const port = Number(new URL(url).port);
  const raw: [string, string | Buffer, number][] = [
    ['not HTTP', 'hello\r\n\r\n', 400],
    ['TLS on the plain port', Buffer.from('16030100a5010000a10303', 'hex'), 400],
    ['a header without a colon', 'GET /v1/health HTTP/1.1\r\nhost x\r\n\r\n', 400],
    [
      'two content lengths',
      'PUT /v1/users/a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
      400,
    ],
    [
      'content-length and chunked together',
      'PUT /v1/users/a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['a header of 20 KiB', `GET /v1/health HTTP/1.1\r\nhost: x\r\na: ${'b'.repeat(20_480)}\r\n\r\n`, 413],
  ];
  for (const [what, bytes, status] of raw) {
    const socket = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => undefined); // A reset after the answer is fine: the close below is what counts.
    const closed = once(socket, 'close');
    socket.write(bytes);
    await closed;
    const text = Buffer.concat(chunks).toString();
    t.match(text, new RegExp(`^HTTP/1.1 ${status} `), what);
    t.match(text, /content-type: application\/problem\+json/i, what);
    t.equal((await http.inject('/v1/health/live')).statusCode, 200, `after ${what}`);
  }
});

t.test('too many requests of one caller are refused, and others are not', async (t) => {
  const { http, addApp } = await httpFixture(t, db, { requestsPerMinute: 5 });
  const { user: tokenOf } = await addApp('rates');
  const ask = async (authorization: string) =>
    http.inject({ url: '/v1/chats/none/recordings', headers: { authorization } });
  const alice = await tokenOf('alice');
  for (let i = 0; i < 5; i += 1) t.equal((await ask(alice)).statusCode, 404);
  const refused = await ask(alice);
  t.equal(refused.statusCode, 429);
  t.equal(refused.json().code, 'rate_limited');
  t.match(refused.headers['content-type'], /problem\+json/);
  t.ok(Number(refused.headers['retry-after']) > 0);
  t.equal((await ask(await tokenOf('alice'))).statusCode, 429, 'another token of the same user');
  t.equal((await ask(await tokenOf('bob'))).statusCode, 404);
});

t.test(
  'an address that keeps failing to sign in is told to wait, and who signs in from there is served',
  async (t) => {
    const { http, addApp } = await httpFixture(t, db);
    const { server, kid, user: tokenOf } = await addApp('guess');
    const ask = async (authorization: string, remoteAddress = '192.0.2.1') =>
      http.inject({ url: '/v1/disclosures/en', headers: { authorization }, remoteAddress });
    for (let i = 0; i < HTTP_LIMITS.failedSignIns; i += 1) {
      t.equal((await ask(`Bearer ${kid}.guess${i}`)).statusCode, 401);
    }
    const refused = await ask(`Bearer ${kid}.guess`);
    t.equal(refused.statusCode, 429);
    t.equal(refused.json().code, 'rate_limited');
    t.equal((await ask((await tokenOf('alice')).slice(0, -2))).statusCode, 429, 'whichever way it fails');
    // Many people can share one address: a proxy that is not named in trustProxy, an office, a mobile network.
    t.equal((await ask(await tokenOf('alice'))).statusCode, 404, 'a user of the same address');
    t.equal((await ask(server)).statusCode, 404, 'the app’s server at the same address');
    t.equal((await ask(`Bearer ${kid}.guess`, '192.0.2.2')).statusCode, 401, 'another address');
  },
);

t.test('behind a trusted proxy each client is counted by its own address, and only there', async (t) => {
  const { http, addApp } = await httpFixture(t, db, { requestsPerMinute: 2, trustProxy: ['172.30.44.0/24'] });
  const { kid } = await addApp('proxied');
  const ask = async (remoteAddress: string, client: string, headers: Record<string, string> = {}) => {
    const url = headers.authorization === undefined ? '/v1/openapi.json' : user;
    const sent = { ...headers, 'x-forwarded-for': client };
    return (await http.inject({ url, headers: sent, remoteAddress })).statusCode;
  };
  const guess = { authorization: `Bearer ${kid}.guess` };
  for (let i = 0; i < HTTP_LIMITS.failedSignIns; i += 1) await ask('172.30.44.1', '203.0.113.66', guess);
  t.equal(await ask('172.30.44.1', '203.0.113.66', guess), 429);
  t.equal(await ask('172.30.44.1', '198.51.100.7', guess), 401, 'another client of the proxy');
  for (const expected of [200, 200, 429]) t.equal(await ask('172.30.44.1', '203.0.113.66'), expected);
  t.equal(await ask('172.30.44.1', '198.51.100.7'), 200, 'another client of the proxy');
  // Nobody gets a new count by inventing the header.
  for (const expected of [200, 200, 429]) {
    t.equal(await ask('192.0.2.1', `198.51.100.${expected}`), expected, 'who is no proxy is not believed');
  }
});

t.test('a hostile list does not keep the server busy', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const { server } = await addApp('hostile');
  const headers = { authorization: server, 'content-type': 'application/json' };
  // The check that names the duplicates of such a list takes time that grows with its square: hours for this one.
  const payload = `{"kind":"group","members":[${'1,'.repeat(700_000)}1]}`;
  const answer = await http.inject({ method: 'PUT', url: chat, headers, payload });
  t.equal(answer.statusCode, 400);
  t.match(answer.json().detail, /expected at most 10000 items, got 700001/);
});

t.test('a chat may have ten thousand members', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const { server, id } = await addApp('big');
  const members = Array.from({ length: 10_000 }, (_, i) => `user-${i}-${'x'.repeat(115)}`);
  await db.sql`insert into users (app_id, id, name) select ${id}, member, 'x' from unnest(${members}::text[]) member`;
  const send = (payload: object) =>
    http.inject({ method: 'PUT', url: chat, headers: { authorization: server }, payload });
  const answer = await send({ kind: 'group', members });
  t.equal(answer.statusCode, 200, answer.body.slice(0, 200));
  t.equal(answer.json().members.length, 10_000);
});

t.test('while the database is away the answer is 503, and its words stay inside', async (t) => {
  const own = await testDatabase(t);
  const { http, addApp, logText } = await httpFixture(t, own);
  const { server } = await addApp('away');
  await own.close();
  const answer = await http.inject({ url: user, headers: { authorization: server } });
  t.equal(answer.statusCode, 503);
  t.match(answer.json(), { code: 'unavailable' });
  t.notMatch(answer.body, /CONNECTION|postgres/i);
  t.match(logText(), /CONNECTION_ENDED/, 'the log has the cause');
  t.equal((await http.inject('/v1/health/live')).statusCode, 200);
});
