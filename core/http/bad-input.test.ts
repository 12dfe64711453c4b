import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);

interface Case {
  what: string;
  method?: 'GET' | 'PUT' | 'POST' | 'DELETE' | 'PATCH';
  url: string;
  /** A string goes out as it is. */
  body?: object | string | Buffer;
  headers?: Record<string, string>;
  status: number;
  code: string;
  detail?: RegExp;
}

const user = '/v1/users/alice';
const chat = '/v1/chats/c1';
const uuid = '0b0f8c52-6b0e-4c4b-9a1d-3f1f2c8b7a60';
const longId = 'a'.repeat(129);

/** Long because it is a table: one line of thought for each case. */
const CASES: Case[] = [
  // Paths and methods
  { what: 'an unknown path', url: '/v1/nothing', status: 404, code: 'not_found' },
  { what: 'a path outside', url: '/v1/../../etc/passwd', status: 404, code: 'not_found' },
  {
    what: 'a path that is not percent-encoded text',
    url: '/v1/users/%E0%A4%A',
    status: 400,
    code: 'bad_request',
  },
  {
    what: 'a method that a route does not offer',
    method: 'PATCH',
    url: user,
    status: 405,
    code: 'method_not_allowed',
  },
  {
    what: 'deleting a recording (F22)',
    method: 'DELETE',
    url: `/v1/recordings/${uuid}`,
    status: 405,
    code: 'method_not_allowed',
  },
  {
    what: 'writing to media',
    method: 'PUT',
    url: `/media/${uuid}`,
    body: '{',
    status: 405,
    code: 'method_not_allowed',
  },
  {
    what: 'an id of 129 characters',
    method: 'PUT',
    url: `/v1/users/${longId}`,
    body: { name: 'A' },
    status: 400,
    code: 'bad_request',
    detail: /^params\/id: /,
  },
  {
    what: 'an id of 10,000 characters',
    url: `/v1/users/${'a'.repeat(10_000)}`,
    status: 404,
    code: 'not_found',
  },
  { what: 'an id with a slash in it', url: '/v1/users/a%2Fb', status: 400, code: 'bad_request' },
  { what: 'an id with a NUL', url: '/v1/users/a%00b', status: 400, code: 'bad_request' },
  { what: 'an id with a line feed', url: '/v1/users/a%0Ab', status: 400, code: 'bad_request' },
  { what: 'an id that is SQL', url: "/v1/users/'%20or%201=1--", status: 400, code: 'bad_request' },
  {
    what: 'a recording id that is no UUID',
    url: '/v1/recordings/1',
    status: 400,
    code: 'bad_request',
    detail: /params\/id/,
  },
  // Bodies
  { what: 'no body', method: 'PUT', url: user, status: 400, code: 'bad_request', detail: /name/ },
  {
    what: 'a body that is not JSON',
    method: 'PUT',
    url: user,
    body: '{"name":',
    status: 400,
    code: 'parse_error',
  },
  {
    what: 'an empty JSON body',
    method: 'PUT',
    url: user,
    body: '',
    headers: { 'content-type': 'application/json', 'content-length': '0' },
    status: 400,
    code: 'parse_error',
  },
  {
    what: 'bytes that are not text',
    method: 'PUT',
    url: user,
    body: Buffer.from([0xff, 0xfe, 0x00, 0x22]),
    headers: { 'content-type': 'application/json' },
    status: 400,
    code: 'parse_error',
  },
  { what: 'a body that is a list', method: 'PUT', url: user, body: '[]', status: 400, code: 'bad_request' },
  { what: 'a body that is null', method: 'PUT', url: user, body: 'null', status: 400, code: 'bad_request' },
  {
    what: 'a prototype in the body',
    method: 'PUT',
    url: user,
    body: '{"name":"A","__proto__":{"admin":true}}',
    status: 400,
    code: 'parse_error',
  },
  {
    what: 'plain text',
    method: 'PUT',
    url: user,
    body: 'name=A',
    headers: { 'content-type': 'text/plain' },
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    what: 'a form',
    method: 'PUT',
    url: user,
    body: 'name=A',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    what: 'XML',
    method: 'PUT',
    url: user,
    body: '<a/>',
    headers: { 'content-type': 'application/xml' },
    status: 415,
    code: 'unsupported_media_type',
  },
  {
    what: 'a body of 65 KiB',
    method: 'PUT',
    url: user,
    body: { name: 'A'.repeat(65 * 1024) },
    status: 413,
    code: 'too_large',
  },
  {
    what: 'a chat body of 2 MiB',
    method: 'PUT',
    url: chat,
    body: { kind: 'group', members: ['A'.repeat(2 * 1024 * 1024)] },
    status: 413,
    code: 'too_large',
  },
  {
    what: 'a missing key',
    method: 'PUT',
    url: user,
    body: { role: 'staff' },
    status: 400,
    code: 'bad_request',
    detail: /^body: .*name/,
  },
  {
    what: 'an unknown key',
    method: 'PUT',
    url: user,
    body: { name: 'A', admin: true },
    status: 400,
    code: 'bad_request',
    detail: /^body: unknown key admin$/,
  },
  {
    what: 'a number for a text',
    method: 'PUT',
    url: user,
    body: { name: 5 },
    status: 400,
    code: 'bad_request',
    detail: /^body\/name: must be string/,
  },
  {
    what: 'an empty name',
    method: 'PUT',
    url: user,
    body: { name: '' },
    status: 400,
    code: 'bad_request',
    detail: /^body\/name/,
  },
  {
    what: 'a name of 201 characters',
    method: 'PUT',
    url: user,
    body: { name: 'a'.repeat(201) },
    status: 400,
    code: 'bad_request',
    detail: /^body\/name/,
  },
  {
    what: 'a name with a control character',
    method: 'PUT',
    url: user,
    body: { name: 'a\u001b[31m' },
    status: 400,
    code: 'bad_request',
    detail: /^body\/name/,
  },
  {
    what: 'a name with half a surrogate pair',
    method: 'PUT',
    url: user,
    body: '{"name":"a\\ud800"}',
    status: 400,
    code: 'bad_request',
    detail: /^body\/name/,
  },
  {
    what: 'an avatar that is a script',
    method: 'PUT',
    url: user,
    body: { name: 'A', avatarUrl: 'javascript:alert(1)' },
    status: 400,
    code: 'bad_request',
    detail: /^body\/avatarUrl/,
  },
  {
    what: 'a role in capitals',
    method: 'PUT',
    url: user,
    body: { name: 'A', role: 'Admin' },
    status: 400,
    code: 'bad_request',
    detail: /^body\/role/,
  },
  // Chats
  {
    what: 'an unknown kind of chat',
    method: 'PUT',
    url: chat,
    body: { kind: 'room', members: ['alice', 'bob'] },
    status: 400,
    code: 'bad_request',
    detail: /^body\/kind: must be "direct"; body\/kind: must be "group"/,
  },
  {
    what: 'a direct chat of one',
    method: 'PUT',
    url: chat,
    body: { kind: 'direct', members: ['alice'] },
    status: 400,
    code: 'bad_request',
    detail: /exactly two members, got 1/,
  },
  {
    what: 'a direct chat of three',
    method: 'PUT',
    url: chat,
    body: { kind: 'direct', members: ['alice', 'bob', 'carol'] },
    status: 400,
    code: 'bad_request',
    detail: /exactly two members, got 3/,
  },
  {
    what: 'a direct chat of one person twice',
    method: 'PUT',
    url: chat,
    body: { kind: 'direct', members: ['alice', 'alice'] },
    status: 400,
    code: 'bad_request',
    detail: /^body\/members/,
  },
  {
    what: 'a chat of 10,001',
    method: 'PUT',
    url: chat,
    body: { kind: 'group', members: Array.from({ length: 10_001 }, () => 1) },
    status: 400,
    code: 'bad_request',
    detail: /^body\/members: expected at most 10000 items, got 10001$/,
  },
  {
    what: 'a chat of nobody',
    method: 'PUT',
    url: chat,
    body: { kind: 'group', members: [] },
    status: 400,
    code: 'bad_request',
    detail: /^body\/members/,
  },
  {
    what: 'a chat with a stranger',
    method: 'PUT',
    url: chat,
    body: { kind: 'direct', members: ['alice', 'stranger'] },
    status: 400,
    code: 'bad_request',
    detail: /put these users first: stranger/,
  },
  {
    what: 'a member that is no id',
    method: 'PUT',
    url: chat,
    body: { kind: 'group', members: ['alice', '../x'] },
    status: 400,
    code: 'bad_request',
    detail: /^body\/members\/1/,
  },
  // Texts
  {
    what: 'a locale that is none',
    method: 'PUT',
    url: '/v1/disclosures/english!',
    body: { text: 'x' },
    status: 400,
    code: 'bad_request',
  },
  {
    what: 'an empty disclosure',
    method: 'PUT',
    url: '/v1/disclosures/en',
    body: { text: '' },
    status: 400,
    code: 'bad_request',
  },
  {
    what: 'a disclosure with a NUL',
    method: 'PUT',
    url: '/v1/disclosures/en',
    body: { text: 'a\u0000b' },
    status: 400,
    code: 'bad_request',
  },
  // Lists
  {
    what: 'a limit that is no number',
    url: `${chat}/recordings?limit=many`,
    status: 400,
    code: 'bad_request',
    detail: /^querystring\/limit/,
  },
  { what: 'a limit of none', url: `${chat}/recordings?limit=0`, status: 400, code: 'bad_request' },
  {
    what: 'a limit with a fraction',
    url: `${chat}/recordings?limit=1.5`,
    status: 400,
    code: 'bad_request',
    detail: /^querystring\/limit: must be integer/,
  },
  {
    what: 'a limit in hexadecimal',
    url: `${chat}/recordings?limit=0x10`,
    status: 400,
    code: 'bad_request',
    detail: /^querystring\/limit: must be integer/,
  },
  {
    what: 'a limit that is true',
    url: `${chat}/recordings?limit=true`,
    status: 400,
    code: 'bad_request',
    detail: /^querystring\/limit: must be integer/,
  },
  {
    what: 'a limit with a sign',
    url: `${chat}/recordings?limit=%2B5`,
    status: 400,
    code: 'bad_request',
    detail: /^querystring\/limit: must be integer/,
  },
  {
    what: 'a limit with a zero in front',
    url: `${chat}/recordings?limit=05`,
    status: 400,
    code: 'bad_request',
    detail: /^querystring\/limit: must be integer/,
  },
  {
    what: 'a limit with a space',
    url: `${chat}/recordings?limit=%205`,
    status: 400,
    code: 'bad_request',
    detail: /^querystring\/limit: must be integer/,
  },
  {
    what: 'an empty limit',
    url: `${chat}/recordings?limit=`,
    status: 400,
    code: 'bad_request',
    detail: /^querystring\/limit: must be integer/,
  },
  { what: 'a limit of 101', url: `${chat}/recordings?limit=101`, status: 400, code: 'bad_request' },
  { what: 'a limit of infinity', url: `${chat}/recordings?limit=Infinity`, status: 400, code: 'bad_request' },
  { what: 'two limits', url: `${chat}/recordings?limit=1&limit=2`, status: 400, code: 'bad_request' },
  {
    what: 'an unknown parameter',
    url: `${chat}/recordings?order=asc`,
    status: 400,
    code: 'bad_request',
    detail: /unknown key order/,
  },
  { what: 'a cursor that is none', url: `${chat}/recordings?cursor=abc`, status: 400, code: 'bad_request' },
  { what: 'a cursor of nowhere', url: `${chat}/recordings?cursor=${uuid}`, status: 400, code: 'bad_request' },
  {
    what: 'the recordings of an unknown chat',
    url: '/v1/chats/none/recordings',
    status: 404,
    code: 'not_found',
  },
  { what: 'an unknown recording', url: `/v1/recordings/${uuid}`, status: 404, code: 'not_found' },
  // Credentials
  { what: 'no credentials', url: user, headers: { authorization: '' }, status: 401, code: 'unauthorized' },
  {
    what: 'other credentials',
    url: user,
    headers: { authorization: 'Basic YTpi' },
    status: 401,
    code: 'unauthorized',
  },
  {
    what: 'a wrong secret',
    url: user,
    headers: { authorization: `Bearer vk_none.${'x'.repeat(43)}` },
    status: 401,
    code: 'unauthorized',
  },
  {
    what: 'a page of a foreign origin',
    url: user,
    headers: { origin: 'https://evil.example' },
    status: 403,
    code: 'origin_refused',
  },
  { what: 'the origin null', url: user, headers: { origin: 'null' }, status: 403, code: 'origin_refused' },
  // Playback addresses
  { what: 'an address without a signature', url: `/media/${uuid}`, status: 403, code: 'grant_invalid' },
  { what: 'an address of nothing', url: '/media/x?e=1&k=2&s=3', status: 403, code: 'grant_invalid' },
  {
    what: 'an address with a made-up signature',
    url: `/media/${uuid}?e=9999999999&k=00000000&s=${'A'.repeat(43)}`,
    status: 403,
    code: 'grant_invalid',
  },
  {
    what: 'an address with two signatures',
    url: `/media/${uuid}?e=1&k=2&s=3&s=4`,
    status: 403,
    code: 'grant_invalid',
  },
];

t.test(
  'each bad request gets its answer from the table of errors, and the next good one is served',
  async (t) => {
    const { http, addApp, logText } = await httpFixture(t, db);
    const { server } = await addApp('bad-input');
    const authorization = { authorization: server };
    const put = (url: string, payload: object) =>
      http.inject({ method: 'PUT', url, headers: authorization, payload });
    for (const id of ['alice', 'bob', 'carol']) await put(`/v1/users/${id}`, { name: id });
    await put(chat, { kind: 'direct', members: ['alice', 'bob'] });

    for (const one of CASES) {
      const json = typeof one.body === 'object' && !Buffer.isBuffer(one.body);
      const answer = await http.inject({
        method: one.method ?? 'GET',
        url: one.url,
        headers: {
          ...authorization,
          ...(one.body === undefined || json ? {} : { 'content-type': 'application/json' }),
          ...one.headers,
        },
        ...(one.body === undefined ? {} : { payload: one.body }),
      });
      t.equal(answer.statusCode, one.status, `${one.what}: ${answer.body.slice(0, 200)}`);
      t.match(answer.headers['content-type'], /^application\/problem\+json/, one.what);
      const problem = answer.json();
      t.strictSame(Object.keys(problem).sort(), ['code', 'detail', 'status', 'title', 'type'], one.what);
      t.match(
        problem,
        { code: one.code, status: one.status, type: `urn:verbatim:error:${one.code}` },
        one.what,
      );
      if (one.detail) t.match(problem.detail, one.detail, one.what);
      const good = await put(user, { name: 'Alice' });
      t.strictSame(good.json(), { id: 'alice', name: 'Alice' }, `after ${one.what}`);
    }
    t.ok(CASES.length >= 30, `${CASES.length} cases`);
    t.equal(
      (await http.inject({ url: chat, headers: authorization })).json().members.length,
      2,
      'nothing was let in',
    );
    t.notMatch(logText(), server.slice('Bearer '.length), 'the key is not in the log');
  },
);

t.test('a 405 names the methods that there are', async (t) => {
  const { http } = await httpFixture(t, db);
  const answer = await http.inject({ method: 'POST', url: user });
  t.equal(answer.headers.allow, 'GET, HEAD, PUT, OPTIONS');
  const options = await http.inject({ method: 'OPTIONS', url: user });
  t.equal(options.statusCode, 204);
  t.equal(options.headers.allow, 'GET, HEAD, PUT, OPTIONS');
});
