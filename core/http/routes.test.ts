import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);

t.test('each route declares who may use it', async (t) => {
  const { http } = await httpFixture(t, db, {
    demo: { token: async () => Promise.reject(new Error('not in this test')) },
    clientDir: t.testdir({}),
  });
  const declared = http.routes
    .filter(({ method }) => method !== 'HEAD')
    .map((r) => `${r.method} ${r.url} ${r.auth}`);
  t.strictSame(declared.sort(), [
    'DELETE /admin/api/account/passkeys/:id admin',
    'DELETE /admin/api/account/sessions admin',
    'DELETE /admin/api/account/sessions/:id admin',
    'DELETE /admin/api/account/totp admin',
    'DELETE /admin/api/session admin-half',
    'DELETE /v1/app/keys/:kid app',
    'DELETE /v1/chats/:id app',
    'DELETE /v1/session user',
    'DELETE /v1/webhooks/:id app',
    'GET / none',
    'GET /admin none',
    'GET /admin/* none',
    'GET /admin/api/account admin',
    'GET /admin/api/admins admin',
    'GET /admin/api/session admin-half',
    'GET /demo none',
    'GET /demo/* none',
    'GET /demo/messages user',
    'GET /media/:grantId grant',
    'GET /metrics operator',
    'GET /sdk/* none',
    'GET /ui/* none',
    'GET /v1/app app',
    'GET /v1/app/keys app',
    'GET /v1/calls/:id/transcript either',
    'GET /v1/chats/:id app',
    'GET /v1/chats/:id/calls either',
    'GET /v1/chats/:id/recordings either',
    'GET /v1/disclosures/:locale either',
    'GET /v1/health none',
    'GET /v1/health/live none',
    'GET /v1/health/ready none',
    'GET /v1/ledger/checkpoint none',
    'GET /v1/ledger/consistency none',
    'GET /v1/ledger/tile/* none',
    'GET /v1/ledger/vkeys none',
    'GET /v1/openapi.json none',
    'GET /v1/policy app',
    'GET /v1/recordings/:id either',
    'GET /v1/recordings/:id/access either',
    'GET /v1/recordings/:id/chain/:epoch user',
    'GET /v1/recordings/:id/evidence user',
    'GET /v1/recordings/:id/peaks either',
    'GET /v1/recordings/:id/timeline either',
    'GET /v1/users/:id app',
    'GET /v1/webhooks app',
    'GET /v1/webhooks/:id/deliveries app',
    'PATCH /admin/api/admins/:id admin',
    'PATCH /v1/app app',
    'PATCH /v1/webhooks/:id app',
    'POST /admin/api/account/passkeys admin-half',
    'POST /admin/api/account/passkeys/options admin-half',
    'POST /admin/api/account/totp admin-half',
    'POST /admin/api/account/totp/confirm admin-half',
    'POST /admin/api/admins/:id/recovery admin',
    'POST /admin/api/admins/invites admin',
    'POST /admin/api/links/open none',
    'POST /admin/api/links/use none',
    'POST /admin/api/session none',
    'POST /admin/api/session/code admin-half',
    'POST /admin/api/session/passkey admin-half',
    'POST /admin/api/session/passkey/options admin-half',
    'POST /demo/messages user',
    'POST /demo/token none',
    'POST /v1/app/keys app',
    'POST /v1/recordings/:id/grants user',
    'POST /v1/recordings/:id/mismatch user',
    'POST /v1/webhooks app',
    'POST /v1/webhooks/:id/deliveries/:deliveryId/replay app',
    'POST /v1/webhooks/:id/secret app',
    'POST /v1/webhooks/:id/test app',
    'PUT /admin/api/account/password admin',
    'PUT /v1/calls/:id/messages app',
    'PUT /v1/calls/:id/transcript app',
    'PUT /v1/chats/:id app',
    'PUT /v1/disclosures/:locale app',
    'PUT /v1/policy app',
    'PUT /v1/users/:id app',
  ]);
  for (const { method, url, auth } of http.routes.filter((route) => route.method === 'HEAD')) {
    t.equal(
      auth,
      http.routes.find((one) => one.method === 'GET' && one.url === url)?.auth,
      `${method} ${url}`,
    );
  }
});

t.test('a route that does not declare who may use it cannot be registered', async (t) => {
  await t.rejects(
    httpFixture(t, db, { signaling: async (app) => void app.get('/v1/secret', async () => 'open to all') }),
    /GET \/v1\/secret: declare config.auth/,
  );
  await t.rejects(
    httpFixture(t, db, {
      signaling: async (app) => {
        const auth = 'everyone' as 'none';
        app.get('/v1/secret', { config: { auth } }, async () => 'open to all');
      },
    }),
    /declare config.auth/,
  );
});

t.test('every route that asks for a token refuses who has none', async (t) => {
  const { http } = await httpFixture(t, db);
  const guarded = http.routes.filter(({ auth }) => auth === 'app' || auth === 'user' || auth === 'either');
  t.ok(guarded.length > 10);
  for (const { method, url } of guarded) {
    const answer = await http.inject({ method: method as 'GET', url: url.replace(/:\w+/g, 'x') });
    t.equal(answer.statusCode, 401, `${method} ${url}`);
    t.match(answer.headers['www-authenticate'], /^Bearer/);
  }
});

t.test('F50 a messenger puts users and chats and reads them back', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const { server } = await addApp('put-and-get');
  const send = (method: 'PUT' | 'GET' | 'DELETE', url: string, payload?: object) =>
    http.inject({ method, url, headers: { authorization: server }, ...(payload && { payload }) });

  const alice = { name: 'Alice Ärger 🎈', avatarUrl: 'https://cdn.example/a.png', role: 'staff' };
  t.strictSame((await send('PUT', '/v1/users/alice', alice)).json(), { id: 'alice', ...alice });
  t.strictSame((await send('GET', '/v1/users/alice')).json(), { id: 'alice', ...alice });
  t.strictSame((await send('PUT', '/v1/users/alice', { name: 'A' })).json(), { id: 'alice', name: 'A' });
  t.strictSame(
    (await send('GET', '/v1/users/alice')).json(),
    { id: 'alice', name: 'A' },
    'put replaces the whole',
  );
  await send('PUT', '/v1/users/bob%40example.org', { name: 'Bob' });
  await send('PUT', '/v1/users/carol', { name: 'Carol' });

  const direct = { kind: 'direct', members: ['alice', 'bob@example.org'] };
  t.strictSame((await send('PUT', '/v1/chats/c1', direct)).json(), { id: 'c1', ...direct });
  t.strictSame((await send('GET', '/v1/chats/c1')).json(), { id: 'c1', ...direct });
  const group = { kind: 'group', name: 'All', members: ['alice', 'bob@example.org', 'carol'] };
  t.strictSame((await send('PUT', '/v1/chats/g1', group)).json(), { id: 'g1', ...group });
  t.strictSame((await send('PUT', '/v1/chats/g1', { ...group, members: ['carol'] })).json().members, [
    'carol',
  ]);
  t.strictSame((await send('GET', '/v1/chats/g1')).json().members, ['carol']);

  t.equal((await send('DELETE', '/v1/chats/c1')).statusCode, 204);
  t.equal((await send('GET', '/v1/chats/c1')).statusCode, 404);
  t.equal((await send('DELETE', '/v1/chats/c1')).statusCode, 404);
  t.equal((await send('PUT', '/v1/chats/c1', direct)).statusCode, 200, 'a deleted chat comes back');
  t.equal((await send('GET', '/v1/chats/c1')).statusCode, 200);
});

t.test(
  'a direct chat that has had calls keeps its two people, so that nobody inherits their recordings',
  async (t) => {
    const { http, addApp, addRecording } = await httpFixture(t, db);
    const { server } = await addApp('inherit');
    const put = (url: string, payload: object) =>
      http.inject({ method: 'PUT', url, headers: { authorization: server }, payload });
    for (const id of ['a', 'b', 'c']) await put(`/v1/users/${id}`, { name: id });
    await put('/v1/chats/d', { kind: 'direct', members: ['a', 'b'] });
    t.equal(
      (await put('/v1/chats/d', { kind: 'direct', members: ['a', 'c'] })).statusCode,
      200,
      'before any call',
    );
    await put('/v1/chats/d', { kind: 'direct', members: ['a', 'b'] });
    await addRecording({ appId: 'inherit', chatId: 'd', callerId: 'a', calleeId: 'b' });
    for (const other of [
      { kind: 'direct', members: ['a', 'c'] },
      { kind: 'group', members: ['a', 'b', 'c'] },
      { kind: 'group', members: ['a', 'b'] },
    ]) {
      const answer = await put('/v1/chats/d', other);
      t.equal(answer.statusCode, 409, JSON.stringify(other));
      t.equal(answer.json().code, 'conflict');
    }
    t.equal(
      (await put('/v1/chats/d', { kind: 'direct', name: 'new name', members: ['b', 'a'] })).statusCode,
      200,
    );
  },
);

t.test('F4 a disclosure text gets a new version only when it changes', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const { server, user } = await addApp('texts');
  const put = async (text: string) =>
    (
      await http.inject({
        method: 'PUT',
        url: '/v1/disclosures/en',
        headers: { authorization: server },
        payload: { text },
      })
    ).json();
  const first = await put('This call is recorded.');
  t.match(first, { version: 1, locale: 'en', text: 'This call is recorded.', sha256: /^[0-9a-f]{64}$/ });
  t.strictSame(await put('This call is recorded.'), first);
  t.match(await put('This call will be recorded.'), { version: 2 });
  const headers = { authorization: await user('alice') };
  t.match((await http.inject({ url: '/v1/disclosures/en', headers })).json(), { version: 2 });
  t.equal((await http.inject({ url: '/v1/disclosures/de', headers })).statusCode, 404);
});

t.test('F52 health is told in detail, alive and ready', async (t) => {
  const { http, health } = await httpFixture(t, db);
  const status = async (url: string) => (await http.inject(url)).statusCode;
  t.match((await http.inject('/v1/health')).json(), { status: 'ok', checks: { database: { ok: true } } });
  health.status = 'failing';
  health.checks.database = { ok: false, detail: 'no answer' };
  t.equal(await status('/v1/health'), 503);
  t.match((await http.inject('/v1/health')).json(), {
    checks: { database: { ok: false, detail: 'no answer' } },
  });
  t.equal(await status('/v1/health/ready'), 503);
  t.equal(await status('/v1/health/live'), 200);
});

t.test('F50 the API describes itself as OpenAPI, with every route of it and who may use it', async (t) => {
  const { http } = await httpFixture(t, db);
  const spec = (await http.inject('/v1/openapi.json')).json();
  t.equal(spec.openapi, '3.1.0');
  for (const { method, url } of http.routes) {
    // The console and the server are of one build; nobody else speaks to its interface.
    if (method === 'HEAD' || url === '/v1/openapi.json' || url.startsWith('/admin/')) continue;
    const path = url.replace(/:(\w+)/g, '{$1}').replace('*', '{*}');
    t.ok(spec.paths[path]?.[method.toLowerCase()], `${method} ${path}`);
  }
  t.ok(
    spec.paths['/v1/users/{id}'].put.responses['401'].content['application/problem+json'].examples
      .unauthorized,
  );
  t.strictSame(spec.paths['/v1/users/{id}'].put.security, [{ appKey: [] }]);
  t.strictSame(spec.paths['/v1/recordings/{id}'].get.security, [{ appKey: [] }, { userToken: [] }]);
  t.equal(
    spec.paths['/v1/users/{id}'].put.requestBody.content['application/json'].schema.additionalProperties,
    false,
  );
});

t.test('each answer carries the security headers', async (t) => {
  const { http } = await httpFixture(t, db);
  for (const url of ['/v1/health', '/nowhere', '/v1/users/x']) {
    const { headers } = await http.inject(url);
    const policy = String(headers['content-security-policy']);
    t.match(policy, /default-src 'none'/);
    t.notMatch(policy, /unsafe/);
    t.match(headers, {
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'x-request-id': /^[0-9a-f-]{36}$/,
    });
    t.notOk(headers['x-powered-by']);
  }
});
