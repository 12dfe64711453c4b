import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';

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

t.test('an address that keeps failing to sign in is not heard for a while', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const { server, kid } = await addApp('guess');
  const ask = (authorization: string, remoteAddress: string) =>
    http.inject({ url: user, headers: { authorization }, remoteAddress });
  for (let i = 0; i < 60; i += 1) {
    t.equal((await ask(`Bearer ${kid}.guess${i}`, '192.0.2.1')).statusCode, 401);
  }
  t.equal((await ask(`Bearer ${kid}.guess`, '192.0.2.1')).statusCode, 429);
  t.equal((await ask(server, '192.0.2.1')).statusCode, 429, 'not even with the right secret');
  t.equal((await ask(server, '192.0.2.2')).statusCode, 404, 'others are served');
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
