import t from 'tap';
import type { AccessEvent } from '#protocol';
import { testDatabase } from '../db/fixture.ts';
import type { HttpFixture, TestApp } from './fixture.ts';
import { cookieOf, httpFixture } from './fixture.ts';

const db = await testDatabase(t);

/** Alice, Bob and their chat `c1`, as the app's server puts them. */
async function people({ http, addApp }: HttpFixture, id: string): Promise<TestApp> {
  const app = await addApp(id);
  const put = (url: string, payload: object) =>
    http.inject({ method: 'PUT', url, headers: { authorization: app.server }, payload });
  for (const user of ['alice', 'bob', 'eve']) await put(`/v1/users/${user}`, { name: `${user}'s name` });
  await put('/v1/chats/c1', { kind: 'direct', members: ['alice', 'bob'] });
  return app;
}

t.test(
  'F18 the history of a chat holds both modes, newest first, page by page, and says what was missed',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const { http, addRecording, clock } = fixture;
    const acme = await people(fixture, 'history');
    const at = (minutes: number) => new Date(clock.nowMs + minutes * 60_000);
    const voice = async (minutes: number, reason: string, accepted: boolean) => {
      const [row] = await db.sql<{ id: string }[]>`
      insert into calls (id, app_id, chat_id, mode, caller_id, callee_id, state, end_reason, started_at, accepted_at, active_at, ended_at)
      values (gen_random_uuid(), 'history', 'c1', 'voice', 'bob', 'alice', 'ended', ${reason}, ${at(minutes)},
              ${accepted ? at(minutes) : null}, ${accepted ? at(minutes) : null}, ${at(minutes + 2)})
      returning id`;
      return row?.id;
    };
    const talked = await voice(1, 'hangup', true);
    const unanswered = await voice(2, 'no_answer', false);
    const declined = await voice(3, 'declined', false);
    const secure = await addRecording({
      appId: 'history',
      chatId: 'c1',
      callerId: 'alice',
      calleeId: 'bob',
      startedAt: at(4),
    });
    const list = async (who: string, query = '') => {
      const answer = await http.inject({
        url: `/v1/chats/c1/calls${query}`,
        headers: { authorization: who },
      });
      return { ...answer.json(), status: answer.statusCode };
    };
    const alice = await acme.user('alice');
    const all = await list(alice);
    t.equal(all.status, 200);
    t.strictSame(
      all.calls.map((call: { callId: string }) => call.callId),
      [secure.callId, declined, unanswered, talked],
    );
    t.match(all.calls[0], { mode: 'secure', side: 'caller', recordingId: secure.id });
    t.match(all.calls[1], { mode: 'voice', side: 'callee', endReason: 'declined', missed: false });
    t.match(all.calls[2], { endReason: 'no_answer', missed: true });
    t.match(all.calls[3], {
      missed: false,
      durationMs: 120_000,
      caller: { userId: 'bob', name: "bob's name" },
      callee: { userId: 'alice' },
    });
    const first = await list(alice, '?limit=3');
    t.equal(first.calls.length, 3);
    t.equal(first.next, unanswered);
    const second = await list(alice, `?limit=3&cursor=${first.next}`);
    t.strictSame(second.calls, [all.calls[3]]);
    t.notOk('next' in second);
    t.equal((await list(alice, `?cursor=${secure.id}`)).status, 400, 'a recording is no call');
    t.notOk('side' in (await list(acme.server)).calls[0], 'the app’s server is on no side');
    t.equal((await list(await acme.user('eve'))).status, 404);
    await http.inject({ method: 'DELETE', url: '/v1/chats/c1', headers: { authorization: acme.server } });
    t.equal((await list(alice)).calls.length, 4, 'parties keep the history of a chat that is closed');
  },
);

t.test('F27 transcript and messages come back in the order of time, relative to the recording', async (t) => {
  const fixture = await httpFixture(t, db);
  const { http, addRecording, clock } = fixture;
  const acme = await people(fixture, 'timeline');
  const startedAt = new Date(clock.nowMs);
  const { id, callId } = await addRecording({
    appId: 'timeline',
    chatId: 'c1',
    callerId: 'alice',
    calleeId: 'bob',
    startedAt,
  });
  const put = (what: string, payload: object) =>
    http.inject({
      method: 'PUT',
      url: `/v1/calls/${callId}/${what}`,
      headers: { authorization: acme.server },
      payload,
    });
  const timeline = async () =>
    (
      await http.inject({
        url: `/v1/recordings/${id}/timeline`,
        headers: { authorization: await acme.user('bob') },
      })
    ).json();
  t.strictSame(await timeline(), { segments: [], messages: [] }, 'nothing was supplied');
  await put('transcript', { segments: [{ side: 'callee', text: 'old' }] });
  const later = { side: 'callee', startMs: 2_000, endMs: 2_500, text: 'Guten Tag 你好 <b>' };
  const sooner = { side: 'caller', startMs: 0, endMs: 900, text: 'Hello' };
  const timeless = { side: 'caller', text: 'without a time' };
  t.equal((await put('transcript', { segments: [timeless, later, sooner] })).json().version, 2);
  const sentAt = new Date(startedAt.getTime() + 1_234).toISOString();
  const before = new Date(startedAt.getTime() - 5_000).toISOString();
  const messages = [
    { userId: 'alice', name: 'Alice', sentAt, text: 'a link' },
    { userId: 'eve', text: 'whenever' },
    { userId: 'bob', sentAt: before, text: 'before the call' },
  ];
  t.equal((await put('messages', { messages })).statusCode, 204);
  t.strictSame(await timeline(), {
    segments: [sooner, later, timeless],
    messages: [
      { userId: 'bob', side: 'callee', atMs: -5_000, text: 'before the call' },
      { userId: 'alice', name: 'Alice', side: 'caller', atMs: 1_234, text: 'a link' },
      { userId: 'eve', text: 'whenever' },
    ],
  });
  for (const [what, body] of [
    ['transcript', { segments: [{ side: 'left', text: '' }] }],
    ['transcript', { segments: [{ side: 'caller', startMs: 5, endMs: 4, text: '' }] }],
    ['transcript', { segments: [{ side: 'caller', endMs: 4, text: '' }] }],
    ['transcript', { segments: [{ side: 'caller', startMs: -1, text: '' }] }],
    ['transcript', { segments: [{ side: 'caller', text: 'a\u0000b' }] }],
    ['transcript', { segments: [{ side: 'caller', text: 'x'.repeat(8_193) }] }],
    ['messages', { messages: [{ userId: 'bob', sentAt: 'yesterday', text: '' }] }],
    ['messages', { messages: [{ userId: 'b b', text: '' }] }],
    ['messages', { messages: [], more: 1 }],
  ] as const)
    t.equal((await put(what, body)).statusCode, 400, JSON.stringify(body).slice(0, 80));
  await db.sql`update recordings set state = 'removed', reason = 'order' where id = ${id}`;
  t.strictSame(await timeline(), { segments: [], messages: [] }, 'what was said goes with the recording');
});

t.test('F27 each transcript is a version, of both sides or of one, as JSON or WebVTT', async (t) => {
  const fixture = await httpFixture(t, db);
  const { http, addRecording } = fixture;
  const acme = await people(fixture, 'versions');
  const other = await fixture.addApp('versions-other');
  const { id, callId } = await addRecording({
    appId: 'versions',
    chatId: 'c1',
    callerId: 'alice',
    calleeId: 'bob',
  });
  const url = `/v1/calls/${callId}/transcript`;
  const put = (payload: string | object, { query = '', type = 'application/json', who = acme.server } = {}) =>
    http.inject({
      method: 'PUT',
      url: `${url}${query}`,
      headers: { authorization: who, 'content-type': type },
      payload,
    });
  const get = (who: string, query = '', accept = 'application/json') =>
    http.inject({ url: `${url}${query}`, headers: { authorization: who, accept } });
  const bob = await acme.user('bob');
  t.equal((await get(bob)).statusCode, 404, 'there is none');
  const vtt =
    'WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<v caller>Hello\n\n00:00:03.000 --> 00:00:04.000\n<v callee>Hi\n';
  const first = await put(vtt, { type: 'text/vtt; charset=utf-8' });
  t.match(first.json(), { version: 1, source: 'app', writtenAt: /^2.*Z$/ });
  const second = await put(
    { segments: [{ side: 'callee', startMs: 0, text: 'Hi, Alice' }] },
    { query: '?side=callee' },
  );
  t.equal(second.json().version, 2);
  const newest = (await get(bob)).json();
  t.match(
    newest.segments,
    [
      { side: 'callee', startMs: 0, text: 'Hi, Alice' },
      { side: 'caller', startMs: 1_000, endMs: 2_000, text: 'Hello' },
    ],
    'the other side is as it was',
  );
  t.strictSame(newest.versions, [second.json(), first.json()], 'with number and time');
  const text = await get(bob, '?version=1', 'text/vtt, */*;q=0.1');
  t.equal(text.headers['content-type'], 'text/vtt; charset=utf-8');
  t.equal(text.body, vtt, 'an older one as it was put');
  t.match((await get(acme.server, '?side=caller')).json().segments, [{ text: 'Hello' }]);
  t.equal((await get(bob, '?version=9')).statusCode, 404);
  for (const who of [await acme.user('eve'), other.server, await other.user('bob')])
    t.equal((await get(who)).statusCode, 404, 'nobody else learns that there is one');
  t.equal((await put(vtt, { type: 'text/vtt', who: other.server })).statusCode, 404);
  for (const [wrong, options] of [
    ['WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nwho?', { type: 'text/vtt' }],
    ['no file', { type: 'text/vtt' }],
    [`${vtt}\n00:00:05.000 --> 00:00:06.000\n<v caller>a\u0000b\n`, { type: 'text/vtt' }],
    [{ segments: [{ side: 'caller', text: 'x' }] }, { query: '?side=callee' }],
    [vtt, { query: '?side=left', type: 'text/vtt' }],
  ] as const)
    t.equal((await put(wrong, options)).statusCode, 400, JSON.stringify(wrong));
  t.equal((await put(vtt, { type: 'text/plain' })).statusCode, 415);
  const elsewhere = await http.inject({
    method: 'PUT',
    url: `/v1/calls/${callId}/messages`,
    headers: { authorization: acme.server, 'content-type': 'text/vtt' },
    payload: vtt,
  });
  t.equal(elsewhere.statusCode, 415, 'no other route takes such a file');
  for (let at = 3; at <= 12; at += 1) await put({ segments: [{ side: 'caller', text: String(at) }] });
  const kept = (await get(bob)).json().versions.map(({ version }: { version: number }) => version);
  t.strictSame(kept, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3], 'a bounded number of them');
  await db.sql`update recordings set state = 'removed', reason = 'order' where id = ${id}`;
  t.equal((await get(acme.server)).statusCode, 404, 'what was said goes with the recording');
});

t.test('F27 a voice call keeps a transcript only when the app puts one', async (t) => {
  const fixture = await httpFixture(t, db);
  const { http } = fixture;
  const acme = await people(fixture, 'voice-words');
  const [row] = await db.sql<{ id: string }[]>`
    insert into calls (id, app_id, chat_id, mode, caller_id, callee_id, state, end_reason, started_at, ended_at)
    values (gen_random_uuid(), 'voice-words', 'c1', 'voice', 'alice', 'bob', 'ended', 'hangup', now(), now())
    returning id`;
  const request = (method: 'GET' | 'PUT', authorization: string, payload?: object) =>
    http.inject({
      method,
      url: `/v1/calls/${row?.id}/transcript`,
      headers: { authorization },
      ...(payload === undefined ? {} : { payload }),
    });
  const alice = await acme.user('alice');
  t.equal((await request('GET', alice)).statusCode, 404);
  const segments = [{ side: 'callee', startMs: 5, endMs: 9, text: 'Hello' }];
  t.equal((await request('PUT', acme.server, { segments })).statusCode, 200);
  t.strictSame((await request('GET', alice)).json().segments, segments);
});

t.test(
  'F26 the waveform has the browsers’ own levels as amplitudes, and only an available recording has one',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const { http, addRecording } = fixture;
    const acme = await people(fixture, 'waveform');
    const parties = { appId: 'waveform', chatId: 'c1', callerId: 'alice', calleeId: 'bob' };
    const authorization = await acme.user('alice');
    const peaks = (id: string) =>
      http.inject({ url: `/v1/recordings/${id}/peaks`, headers: { authorization } });
    const answer = await peaks((await addRecording(parties)).id);
    t.strictSame(answer.json(), {
      version: 2,
      channels: 2,
      sample_rate: 48_000,
      samples_per_pixel: 4_800,
      bits: 16,
      length: 2,
      // 0 dBov is full scale, 20 dB less a tenth of it.
      data: [0, 0, -32_767, 32_767, -3_277, 3_277, 0, 0],
    });
    t.equal((await peaks((await addRecording({ ...parties, state: 'processing' })).id)).statusCode, 409);
    t.equal((await peaks((await addRecording({ ...parties, state: 'failed' })).id)).statusCode, 410);
  },
);

t.test('F12 F30 a role that may not read recordings sees none of them, by any route', async (t) => {
  const fixture = await httpFixture(t, db);
  const { http, addRecording } = fixture;
  const acme = await people(fixture, 'roles');
  const { id } = await addRecording({ appId: 'roles', chatId: 'c1', callerId: 'alice', calleeId: 'bob' });
  const all = { voice: true, secure: true, recordings: true };
  const send = (authorization: string, method: string, url: string, payload?: object) =>
    http.inject({ method: method as 'GET', url, headers: { authorization }, ...(payload && { payload }) });
  t.strictSame((await send(acme.server, 'GET', '/v1/policy')).json(), { default: all, roles: {} });
  await send(acme.server, 'PUT', '/v1/users/alice', { name: 'Alice', role: 'guest' });
  const policy = { default: all, roles: { guest: { ...all, recordings: false } } };
  const alice = await acme.user('alice');
  const urls = ['', '/peaks', '/timeline', '/evidence'].map((rest) => `/v1/recordings/${id}${rest}`);
  t.equal((await send(alice, 'GET', `/v1/recordings/${id}`)).statusCode, 200);
  t.strictSame((await send(acme.server, 'PUT', '/v1/policy', policy)).json(), policy);
  for (const url of [...urls, '/v1/chats/c1/recordings']) {
    const answer = await send(alice, 'GET', url);
    t.equal(answer.statusCode, 403, url);
    t.equal(answer.json().code, 'role_not_allowed');
  }
  t.equal((await send(alice, 'POST', `/v1/recordings/${id}/grants`, {})).statusCode, 403);
  t.equal((await send(await acme.user('bob'), 'GET', `/v1/recordings/${id}`)).statusCode, 200);
  t.equal((await send(acme.server, 'GET', `/v1/recordings/${id}`)).statusCode, 200);
  for (const wrong of [
    { default: all },
    { default: { voice: true }, roles: {} },
    { default: all, roles: { 'a b': all } },
    { default: all, roles: { guest: { ...all, delete: true } } },
  ])
    t.equal((await send(acme.server, 'PUT', '/v1/policy', wrong)).statusCode, 400, JSON.stringify(wrong));
});

t.test('F31 F39 both parties see who listed, played and downloaded, also the app’s server', async (t) => {
  const fixture = await httpFixture(t, db);
  const { http, addRecording, url } = fixture;
  const acme = await people(fixture, 'listened');
  const { id } = await addRecording({ appId: 'listened', chatId: 'c1', callerId: 'alice', calleeId: 'bob' });
  const get = async (who: string, path: string) =>
    (await http.inject({ url: path, headers: { authorization: who } })).json();
  const alice = await acme.user('alice');
  const bob = await acme.user('bob');
  await get(acme.server, '/v1/chats/c1/recordings');
  await get(bob, `/v1/recordings/${id}/peaks`);
  await get(bob, `/v1/recordings/${id}`);
  for (const disposition of ['inline', 'attachment']) {
    const granted = await http.inject({
      method: 'POST',
      url: `/v1/recordings/${id}/grants`,
      headers: { authorization: bob },
      payload: { disposition },
    });
    const headers = { cookie: cookieOf(granted.headers) };
    for (const range of ['bytes=0-9', 'bytes=10-19'])
      await (await fetch(`${url}${granted.json().url}`, { headers: { ...headers, range } })).arrayBuffer();
  }
  const seen = await get(alice, `/v1/recordings/${id}/access`);
  t.match(
    seen.events.map(
      (event: AccessEvent) => `${event.action} ${event.actor.kind} ${event.actor.userId ?? ''}`,
    ),
    [
      'download user bob',
      'grant user bob',
      'stream user bob',
      'grant user bob',
      'view user bob',
      'list app ',
    ],
    'ranges of one grant and looks within a minute are one access',
  );
  t.match(seen.events[0].actor, { name: "bob's name" });
  t.strictSame(await get(bob, `/v1/recordings/${id}/access`), seen, 'both parties see the same');
  const first = await get(alice, `/v1/recordings/${id}/access?limit=4`);
  const second = await get(alice, `/v1/recordings/${id}/access?limit=4&cursor=${first.next}`);
  t.strictSame([...first.events, ...second.events], seen.events);
  t.notOk('next' in second);
});

t.test('F31 F39 when a play is over, how much went out is entered beside its beginning', async (t) => {
  const fixture = await httpFixture(t, db, { playIdleMs: 60_000 });
  const { http, addRecording, url, library, clock } = fixture;
  const acme = await people(fixture, 'play-ends');
  const bytes = Buffer.alloc(1_000, 7);
  const { id } = await addRecording({
    appId: 'play-ends',
    chatId: 'c1',
    callerId: 'alice',
    calleeId: 'bob',
    bytes,
  });
  const bob = await acme.user('bob');
  const granted = await http.inject({
    method: 'POST',
    url: `/v1/recordings/${id}/grants`,
    headers: { authorization: bob },
    payload: { disposition: 'attachment' },
  });
  const address = `${url}${granted.json().url}`;
  const cookie = cookieOf(granted.headers);
  const play = async (range: string, method = 'GET') =>
    (await fetch(address, { method, headers: { cookie, range } })).arrayBuffer();
  const ends = async (): Promise<AccessEvent[]> => {
    const answer = await http.inject({
      url: `/v1/recordings/${id}/access`,
      headers: { authorization: await acme.user('alice') },
    });
    return answer.json().events.filter(({ action }: AccessEvent) => action === 'play_end');
  };
  await play('bytes=0-99');
  await play('bytes=50-149');
  await play('bytes=900-999');
  await play('bytes=0-99', 'HEAD');
  await play('bytes=5000-');
  clock.nowMs += 59_000;
  await library.enterEnded();
  t.strictSame(await ends(), [], 'a pause of less than a minute is no end');
  clock.nowMs += 1_000;
  await library.enterEnded();
  t.match(
    await ends(),
    [
      {
        actor: { kind: 'user', userId: 'bob', name: "bob's name" },
        played: { what: 'download', ranges: 3, bytes: 300, coveredBytes: 250, sizeBytes: 1_000 },
      },
    ],
    'what has no bytes is no range of it',
  );
  await library.enterEnded();
  t.equal((await ends()).length, 1, 'it ends once');
  await play('bytes=0-9');
  await library.close();
  const [newest, ...older] = await ends();
  t.match(
    newest?.played,
    { ranges: 1, bytes: 10, coveredBytes: 10 },
    'more of the same grant is another play',
  );
  t.equal(older.length, 1, 'and a server that stops enters what is under way');
});

t.test('F31 nothing is listed, granted or streamed that cannot be entered before', async (t) => {
  const fixture = await httpFixture(t, db);
  const { http, addRecording, evidence, url, store } = fixture;
  const acme = await people(fixture, 'closed');
  const { id } = await addRecording({ appId: 'closed', chatId: 'c1', callerId: 'alice', calleeId: 'bob' });
  const authorization = await acme.user('alice');
  const grant = () =>
    http.inject({
      method: 'POST',
      url: `/v1/recordings/${id}/grants`,
      headers: { authorization },
      payload: {},
    });
  const granted = await grant();
  let opened = 0;
  const open = store.open;
  store.open = (recordingId) => {
    opened += 1;
    return open(recordingId);
  };
  await evidence.accessLedger.close();
  for (const path of ['/v1/chats/c1/recordings', `/v1/recordings/${id}`, `/v1/recordings/${id}/timeline`]) {
    const answer = await http.inject({ url: path, headers: { authorization } });
    t.equal(answer.statusCode, 503, path);
    t.equal(answer.json().code, 'unavailable');
  }
  t.equal((await grant()).statusCode, 503);
  const stream = await fetch(`${url}${granted.json().url}`, {
    headers: { cookie: cookieOf(granted.headers) },
  });
  t.equal(stream.status, 503);
  t.match(await stream.json(), { code: 'unavailable' });
  t.equal(opened, 0, 'the file was not even opened');
  t.equal(fixture.library.streams, 0, 'and no place is kept for it');
});
