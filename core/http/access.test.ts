import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);
/** Who asks, of the table below. */
type Who = 'server' | 'caller' | 'callee' | 'member' | 'outsider' | 'foreign' | 'foreignServer' | 'nobody';

t.test('F20 F30 who may do what: both parties alike, everybody else as if there were nothing', async (t) => {
  const { http, addApp, addRecording } = await httpFixture(t, db);
  const acme = await addApp('acme');
  const other = await addApp('other');
  let requests = 0;
  const send = (authorization: string, method: string, url: string, payload?: object) =>
    http.inject({
      method: method as 'GET',
      url,
      headers: { authorization },
      // An address has only so many failed sign-ins in a minute, and most of this table is refused.
      remoteAddress: `127.0.0.${1 + (requests++ % 200)}`,
      ...(payload && { payload }),
    });
  for (const app of [acme, other]) {
    for (const id of ['alice', 'bob', 'mallory'])
      await send(app.server, 'PUT', `/v1/users/${id}`, { name: id });
    await send(app.server, 'PUT', '/v1/chats/c1', { kind: 'direct', members: ['alice', 'bob'] });
  }
  // Someone who sits in the chat without having been in the call, which a direct chat cannot bring about.
  await db.sql`insert into chat_members (app_id, chat_id, user_id) values ('acme', 'c1', 'mallory')`;
  await send(acme.server, 'PUT', '/v1/users/outsider', { name: 'outsider' });
  const recording = await addRecording({ appId: 'acme', chatId: 'c1', callerId: 'alice', calleeId: 'bob' });
  const credentials: Record<Who, string> = {
    server: acme.server,
    caller: await acme.user('alice'),
    callee: await acme.user('bob'),
    member: await acme.user('mallory'),
    outsider: await acme.user('outsider'),
    // The same id in another app is another person.
    foreign: await other.user('alice'),
    foreignServer: other.server,
    nobody: '',
  };
  const everybody = Object.keys(credentials) as Who[];
  const one = `/v1/recordings/${recording.id}`;
  const table: {
    what: string;
    request: [string, string, object?];
    allowed: Partial<Record<Who, number>>;
    rest: number;
  }[] = [
    {
      what: 'see a recording',
      request: ['GET', one],
      allowed: { server: 200, caller: 200, callee: 200 },
      rest: 404,
    },
    {
      what: 'play it',
      request: ['POST', `${one}/grants`, {}],
      allowed: { caller: 201, callee: 201, server: 401, foreignServer: 401 },
      rest: 404,
    },
    {
      what: 'download it',
      request: ['POST', `${one}/grants`, { disposition: 'attachment' }],
      allowed: { caller: 201, callee: 201, server: 401, foreignServer: 401 },
      rest: 404,
    },
    { what: 'delete it (F22)', request: ['DELETE', one], allowed: {}, rest: 405 },
    { what: 'change it (F21)', request: ['PUT', one, {}], allowed: {}, rest: 405 },
    {
      what: 'list the chat’s recordings',
      request: ['GET', '/v1/chats/c1/recordings'],
      allowed: { server: 200, caller: 200, callee: 200, member: 200, foreign: 200, foreignServer: 200 },
      rest: 404,
    },
    {
      what: 'see the waveform',
      request: ['GET', `${one}/peaks`],
      allowed: { server: 200, caller: 200, callee: 200 },
      rest: 404,
    },
    {
      what: 'read transcript and messages',
      request: ['GET', `${one}/timeline`],
      allowed: { server: 200, caller: 200, callee: 200 },
      rest: 404,
    },
    {
      what: 'see who listened',
      request: ['GET', `${one}/access`],
      allowed: { server: 200, caller: 200, callee: 200 },
      rest: 404,
    },
    {
      what: 'write a transcript',
      request: ['PUT', `/v1/calls/${recording.callId}/transcript`, { segments: [] }],
      allowed: { server: 200, foreignServer: 404 },
      rest: 401,
    },
    {
      what: 'write messages',
      request: ['PUT', `/v1/calls/${recording.callId}/messages`, { messages: [] }],
      allowed: { server: 204, foreignServer: 404 },
      rest: 401,
    },
    {
      what: 'list the chat’s calls',
      request: ['GET', '/v1/chats/c1/calls'],
      allowed: { server: 200, caller: 200, callee: 200, member: 200, foreign: 200, foreignServer: 200 },
      rest: 404,
    },
    {
      what: 'read the role policy',
      request: ['GET', '/v1/policy'],
      allowed: { server: 200, foreignServer: 200 },
      rest: 401,
    },
    {
      what: 'read a user',
      request: ['GET', '/v1/users/alice'],
      allowed: { server: 200, foreignServer: 200 },
      rest: 401,
    },
    {
      what: 'write a user',
      request: ['PUT', '/v1/users/bob', { name: 'bob' }],
      allowed: { server: 200, foreignServer: 200 },
      rest: 401,
    },
    {
      what: 'read a chat',
      request: ['GET', '/v1/chats/c1'],
      allowed: { server: 200, foreignServer: 200 },
      rest: 401,
    },
    {
      what: 'write a chat',
      request: ['PUT', '/v1/chats/c2', { kind: 'direct', members: ['alice', 'bob'] }],
      allowed: { server: 200, foreignServer: 200 },
      rest: 401,
    },
    {
      what: 'delete a chat',
      request: ['DELETE', '/v1/chats/c2'],
      allowed: { server: 204, foreignServer: 204 },
      rest: 401,
    },
    {
      what: 'write a disclosure',
      request: ['PUT', '/v1/disclosures/en', { text: 'x' }],
      allowed: { server: 200, foreignServer: 200 },
      rest: 401,
    },
    {
      what: 'read a disclosure',
      request: ['GET', '/v1/disclosures/en'],
      allowed: Object.fromEntries(everybody.map((who) => [who, 200])),
      rest: 200,
    },
    {
      what: 'sign out',
      request: ['DELETE', '/v1/session'],
      allowed: { server: 401, foreignServer: 401 },
      rest: 204,
    },
  ];
  for (const { what, request, allowed, rest } of table) {
    for (const who of everybody) {
      const expected = who === 'nobody' && rest !== 405 ? 401 : (allowed[who] ?? rest);
      const answer = await send(credentials[who], ...request);
      t.equal(answer.statusCode, expected, `${who}: ${what}`);
      if (answer.statusCode >= 400) t.notMatch(answer.body, recording.sha256, `${who} learns nothing`);
    }
  }

  const ids = async (who: Who) =>
    (await send(credentials[who], 'GET', '/v1/chats/c1/recordings'))
      .json()
      .recordings.map((r: { id: string }) => r.id);
  for (const who of ['server', 'caller', 'callee'] as const)
    t.strictSame(await ids(who), [recording.id], who);
  for (const who of ['member', 'foreign', 'foreignServer'] as const) t.strictSame(await ids(who), [], who);
});

t.test('F20 both parties see the very same recording', async (t) => {
  const { http, addApp, addRecording } = await httpFixture(t, db);
  const app = await addApp('same');
  const { server } = app;
  const put = (url: string, payload: object) =>
    http.inject({ method: 'PUT', url, headers: { authorization: server }, payload });
  for (const id of ['a', 'b']) await put(`/v1/users/${id}`, { name: id });
  await put('/v1/chats/c', { kind: 'direct', members: ['a', 'b'] });
  const { id, sha256, callId } = await addRecording({
    appId: 'same',
    chatId: 'c',
    callerId: 'a',
    calleeId: 'b',
  });
  const seen = async (userId: string) =>
    (
      await http.inject({ url: `/v1/recordings/${id}`, headers: { authorization: await app.user(userId) } })
    ).json();
  const forA = await seen('a');
  t.match(forA, {
    id,
    callId,
    chatId: 'c',
    mode: 'secure',
    state: 'available',
    sha256,
    durationMs: 10_000,
    sizeBytes: 200_000,
    format: 'audio/webm; codecs=opus',
    legs: [{ userId: 'a', packets: 500, lost: 1, duplicates: 0 }],
  });
  t.strictSame(await seen('b'), forA);
});

t.test('F20 the parties keep their recordings when the chat is deleted', async (t) => {
  const { http, addApp, addRecording } = await httpFixture(t, db);
  const app = await addApp('gone');
  const send = (
    method: 'PUT' | 'DELETE' | 'GET',
    url: string,
    authorization = app.server,
    payload?: object,
  ) => http.inject({ method, url, headers: { authorization }, ...(payload && { payload }) });
  for (const id of ['a', 'b']) await send('PUT', `/v1/users/${id}`, app.server, { name: id });
  await send('PUT', '/v1/chats/c', app.server, { kind: 'direct', members: ['a', 'b'] });
  const { id } = await addRecording({ appId: 'gone', chatId: 'c', callerId: 'a', calleeId: 'b' });
  await send('DELETE', '/v1/chats/c');
  for (const who of [await app.user('a'), await app.user('b'), app.server]) {
    const list = await send('GET', '/v1/chats/c/recordings', who);
    t.strictSame(
      list.json().recordings.map((one: { id: string }) => one.id),
      [id],
    );
  }
});

t.test('F24 recordings come newest first, page by page, each exactly once', async (t) => {
  const { http, addApp, addRecording } = await httpFixture(t, db);
  const app = await addApp('pages');
  const put = (url: string, payload: object) =>
    http.inject({ method: 'PUT', url, headers: { authorization: app.server }, payload });
  for (const id of ['a', 'b', 'c']) await put(`/v1/users/${id}`, { name: id });
  await put('/v1/chats/c', { kind: 'direct', members: ['a', 'b'] });
  await put('/v1/chats/x', { kind: 'direct', members: ['a', 'c'] });
  const expected: string[] = [];
  for (let i = 0; i < 7; i += 1) {
    // Some at the very same time: the order must still be a total one.
    const startedAt = new Date(Date.UTC(2026, 0, 1) + Math.floor(i / 3) * 1000);
    const row = await addRecording({
      appId: 'pages',
      chatId: 'c',
      callerId: 'a',
      calleeId: 'b',
      startedAt,
      bytes: Buffer.alloc(8),
    });
    expected.push(row.id);
  }
  const foreign = await addRecording({
    appId: 'pages',
    chatId: 'x',
    callerId: 'a',
    calleeId: 'c',
    bytes: Buffer.alloc(8),
  });
  const authorization = await app.user('b');
  const seen: string[] = [];
  const times: string[] = [];
  let next: string | undefined;
  do {
    const url: string = `/v1/chats/c/recordings?limit=2${next === undefined ? '' : `&cursor=${next}`}`;
    const page = (await http.inject({ url, headers: { authorization } })).json();
    t.ok(page.recordings.length <= 2);
    for (const one of page.recordings) {
      seen.push(one.id);
      times.push(one.startedAt);
    }
    next = page.next;
  } while (next !== undefined);
  t.strictSame([...seen].sort(), [...expected].sort());
  t.strictSame(times, [...times].sort().reverse());
  const stolen = await http.inject({
    url: `/v1/chats/c/recordings?cursor=${foreign.id}`,
    headers: { authorization },
  });
  t.equal(stolen.statusCode, 400, 'a cursor of another chat');
});

t.test('F26 a recording that cannot be played says why', async (t) => {
  const { http, addApp, addRecording } = await httpFixture(t, db);
  const app = await addApp('states');
  const put = (url: string, payload: object) =>
    http.inject({ method: 'PUT', url, headers: { authorization: app.server }, payload });
  for (const id of ['a', 'b']) await put(`/v1/users/${id}`, { name: id });
  await put('/v1/chats/c', { kind: 'direct', members: ['a', 'b'] });
  const authorization = await app.user('a');
  const table = [
    ['armed', undefined, 409, 'recording_not_ready'],
    ['capturing', undefined, 409, 'recording_not_ready'],
    ['processing', undefined, 409, 'recording_not_ready'],
    ['failed', 'capture_error', 410, 'recording_failed'],
    ['removed', 'legal_order', 410, 'recording_failed'],
    ['expired', 'retention', 410, 'recording_failed'],
  ] as const;
  for (const [state, reason, status, code] of table) {
    const { id } = await addRecording({
      appId: 'states',
      chatId: 'c',
      callerId: 'a',
      calleeId: 'b',
      state,
      ...(reason && { reason }),
    });
    const headers = { authorization };
    const answer = await http.inject({ method: 'POST', url: `/v1/recordings/${id}/grants`, headers });
    t.equal(answer.statusCode, status, state);
    t.equal(answer.json().code, code, state);
    t.notOk(answer.headers['set-cookie'], `${state}: no session for nothing`);
    const row = (await http.inject({ url: `/v1/recordings/${id}`, headers })).json();
    t.equal(row.state, state);
    t.equal(row.reason, reason);
    t.equal('removedAt' in row, state === 'removed' || state === 'expired', `${state}: F41 with its date`);
  }
});
