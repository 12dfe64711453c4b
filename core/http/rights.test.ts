import { Readable } from 'node:stream';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';
import { grantOf, idle, playbackScene } from './playback-fixture.ts';

const db = await testDatabase(t);
const fixture = await httpFixture(t, db);

type Scene = Awaited<ReturnType<typeof playbackScene>>;

/** What the app's server does. */
async function asServer(
  { app }: Scene,
  method: 'PUT' | 'DELETE',
  url: string,
  payload?: object,
): Promise<void> {
  const answer = await fixture.http.inject({
    method,
    url,
    headers: { authorization: app.server },
    ...(payload && { payload }),
  });
  t.equal(Math.floor(answer.statusCode / 100), 2, `${method} ${url}: ${answer.body}`);
}

const direct = { kind: 'direct', members: ['alice', 'bob'] };
const may = { voice: true, secure: true, recordings: true };
const mayNot = { ...may, recordings: false };

/** What happens to the grant that Alice has, and whether it takes her right away. */
const CHANGES: [what: string, ends: boolean, act: (scene: Scene) => Promise<unknown>][] = [
  [
    'F30 the chat is marked private to the other party',
    true,
    (scene) => asServer(scene, 'PUT', '/v1/chats/c', { ...direct, owner: 'bob', private: true }),
  ],
  [
    'F30 the chat is marked private to her',
    false,
    (scene) => asServer(scene, 'PUT', '/v1/chats/c', { ...direct, owner: 'alice', private: true }),
  ],
  [
    'the other party owns a chat that is not private',
    false,
    (scene) => asServer(scene, 'PUT', '/v1/chats/c', { ...direct, owner: 'bob' }),
  ],
  [
    'F20 the chat is renamed',
    false,
    (scene) => asServer(scene, 'PUT', '/v1/chats/c', { ...direct, name: 'Renamed' }),
  ],
  ['F20 the chat is deleted', false, (scene) => asServer(scene, 'DELETE', '/v1/chats/c')],
  [
    'F20 she is taken out of the chat',
    false,
    ({ app }) => db.sql`delete from chat_members where app_id = ${app.id} and user_id = 'alice'`,
  ],
  [
    'F30 her role loses the right to read recordings',
    true,
    (scene) => asServer(scene, 'PUT', '/v1/policy', { default: may, roles: { guest: mayNot } }),
  ],
  [
    'F30 she is given a role without that right',
    true,
    async (scene) => {
      await asServer(scene, 'PUT', '/v1/policy', { default: may, roles: { banned: mayNot } });
      await asServer(scene, 'PUT', '/v1/users/alice', { name: 'Alice', role: 'banned' });
    },
  ],
  [
    'F30 everybody without a role of their own loses that right, and her role keeps it',
    false,
    (scene) => asServer(scene, 'PUT', '/v1/policy', { default: mayNot, roles: { guest: may } }),
  ],
  [
    'F50 the key that signed her token is revoked',
    true,
    ({ app }) => db.sql`update app_keys set revoked_at = now() where kid = ${app.kid}`,
  ],
  [
    'F50 another key of the app is revoked',
    false,
    ({ app }) => db.sql`update app_keys set revoked_at = now() where kid = ${app.signing.kid}`,
  ],
];

t.test(
  'F25 F30 what takes a right away ends the grants and the streams of it, and nothing else does',
  async (t) => {
    // A file that never comes to its end: what ends the stream is the grant and nothing else.
    fixture.store.open = async () => {
      const stream = new Readable({ read() {} });
      stream.push(Buffer.alloc(1_000));
      return { sizeBytes: 200_000, stream: () => stream, close: async () => undefined };
    };
    const under = await Promise.all(
      CHANGES.map(async ([what, ends, act]) => {
        const scene = await playbackScene(fixture);
        await asServer(scene, 'PUT', '/v1/users/alice', { name: 'Alice', role: 'guest' });
        const given = await scene.grant('alice');
        const answer = await fetch(fixture.url + given.url, { headers: { cookie: given.cookie } });
        const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
        await reader.read();
        await act(scene);
        const again = await fetch(fixture.url + given.url, {
          method: 'HEAD',
          headers: { cookie: given.cookie },
        });
        const cut = reader.read().then(
          () => false,
          () => true,
        );
        return { what, ends, reader, cut, status: again.status };
      }),
    );
    for (const { what, ends, status } of under)
      t.equal(status, ends ? 403 : 200, `${what}: the next request`);
    for (const { what, cut } of under.filter((one) => one.ends))
      t.ok(await cut, `${what}: the stream was cut`);
    // Each of them was asked about in the same two seconds as those that were cut.
    t.equal(fixture.library.streams, under.filter((one) => !one.ends).length, 'the others go on');
    await Promise.all(under.filter((one) => !one.ends).map(({ reader }) => reader.cancel()));
    await idle(fixture);
    t.equal(fixture.library.streams, 0);
  },
);

t.test(
  'F30 in a chat marked private only its owner lists and plays, and each is told of their calls',
  async (t) => {
    const scene = await playbackScene(fixture);
    const { app, recording } = scene;
    await asServer(scene, 'PUT', '/v1/chats/c', { ...direct, owner: 'alice', private: true });
    const asked = async (who: string, url: string, body?: object) => {
      const authorization = who === 'server' ? app.server : await app.user(who);
      return fixture.http.inject({
        method: body === undefined ? 'GET' : 'POST',
        url,
        headers: { authorization },
        ...(body && { payload: body }),
      });
    };
    const one = `/v1/recordings/${recording.id}`;
    const unknown = '/v1/recordings/0b0f8c52-6b0e-4c4b-9a1d-3f1f2c8b7a60';
    for (const who of ['alice', 'server']) {
      t.equal((await asked(who, '/v1/chats/c/recordings')).json().recordings.length, 1, who);
      t.equal((await asked(who, one)).statusCode, 200, who);
      t.equal((await asked(who, '/v1/chats/c/calls')).json().calls[0].recordingId, recording.id, who);
    }
    t.equal((await asked('alice', `${one}/grants`, {})).statusCode, 201);
    for (const what of ['', '/peaks', '/access', '/timeline', '/evidence', '/chain/1?after=0']) {
      const answer = await asked('bob', one + what);
      t.equal(answer.statusCode, 404, what);
      t.equal(answer.body, (await asked('bob', unknown + what)).body, `${what}: as if there were none`);
    }
    t.equal((await asked('bob', `${one}/grants`, {})).statusCode, 404);
    t.equal(
      (await asked('bob', '/v1/chats/c/recordings')).body,
      (await asked('bob', '/v1/chats/none/recordings')).body,
    );
    const { calls } = (await asked('bob', '/v1/chats/c/calls')).json();
    t.equal(calls.length, 1, 'F18 he took part in it');
    t.notOk('recordingId' in calls[0]);

    await asServer(scene, 'PUT', '/v1/chats/c', direct);
    t.equal((await asked('bob', one)).statusCode, 200, 'F20 both alike again when the mark is gone');
    await grantOf(fixture, app, recording.id, 'bob');
  },
);

t.test('F30 the owner of a chat is one of its members, whoever writes it', async (t) => {
  const scene = await playbackScene(fixture);
  const put = async (payload: object) => {
    const headers = { authorization: scene.app.server };
    return fixture.http.inject({ method: 'PUT', url: '/v1/chats/g', headers, payload });
  };
  const group = { kind: 'group', members: ['alice', 'bob'] };
  t.match((await put({ ...group, owner: 'mallory' })).json(), { code: 'bad_request', detail: /body\/owner/ });
  t.match((await put({ ...group, private: true })).json(), { code: 'bad_request', detail: /body\/private/ });
  t.equal((await put({ ...group, owner: 'alice', private: true })).statusCode, 200);
  const get = async () =>
    (await fixture.http.inject({ url: '/v1/chats/g', headers: { authorization: scene.app.server } })).json();
  t.strictSame(await get(), { id: 'g', ...group, owner: 'alice', private: true });
  t.equal((await put({ kind: 'group', members: ['bob'], owner: 'alice' })).statusCode, 400);
  await t.rejects(
    db.sql`delete from chat_members where app_id = ${scene.app.id} and chat_id = 'g' and user_id = 'alice'`,
    { code: '23503' },
  );
  t.equal(
    (await put({ kind: 'group', members: ['bob'] })).statusCode,
    200,
    'an owner who leaves owns no more',
  );
  t.strictSame(await get(), { id: 'g', kind: 'group', members: ['bob'] });
});

t.test('F20 who comes to a chat later gets none of its recordings', async (t) => {
  const scene = await playbackScene(fixture);
  const { app, recording } = scene;
  // No route lets a third person into a direct chat that has had calls; the rule holds without that, too.
  await db.sql`insert into chat_members (app_id, chat_id, user_id) values (${app.id}, 'c', 'mallory')`;
  const headers = { authorization: await app.user('mallory') };
  const list = await fixture.http.inject({ url: '/v1/chats/c/recordings', headers });
  t.strictSame(list.json(), { recordings: [] });
  t.equal((await fixture.http.inject({ url: `/v1/recordings/${recording.id}`, headers })).statusCode, 404);
});
