import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { APP_LIMITS } from '#protocol';
import { Apps } from '../auth/index.ts';
import { testDatabase } from '../db/fixture.ts';
import { setAppRetention } from '../db/index.ts';
import type { HttpFixture, TestApp } from './fixture.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT';

/** Asks as an app's server, by this key. */
function asker({ http }: HttpFixture, authorization: string) {
  return async (method: Method, url: string, payload?: object) => {
    const answer = await http.inject({
      method,
      url,
      headers: { authorization },
      ...(payload && { payload }),
    });
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() };
  };
}

/** A key that was told once, as its `Authorization` header. */
const headerOf = (body: { key: { kid: string }; secret: string }) => `Bearer ${body.key.kid}.${body.secret}`;

t.test(
  'F50 an app’s server reads and changes its own settings, one by one, and no other app’s',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const one = await fixture.addApp('settings-1');
    const two = await fixture.addApp('settings-2');
    const ask = asker(fixture, one.server);
    const before = (await ask('GET', '/v1/app')).body;
    t.match(before, {
      id: 'settings-1',
      recordingEnabled: true,
      ringTimeoutMs: 45_000,
      retentionDays: null,
      allowedOrigins: [],
      ice: null,
      createdAt: /Z$/,
    });
    const ice = {
      stunUrls: ['stun:stun.example:3478'],
      turnUrls: [],
      credentialSeconds: 3_600,
      relayOnly: false,
    };
    const changes: [given: object, told?: object][] = [
      [{ name: 'Ünïcode 🎈' }],
      [{ recordingEnabled: false }],
      [{ ringTimeoutMs: 5_000 }],
      [{ allowedOrigins: ['https://chat.example', 'http://localhost:8080'] }],
      [{ ice: { stunUrls: ['stun:stun.example:3478'] } }, { ice }],
      [{}],
    ];
    let expected = before;
    for (const [given, told = given] of changes) {
      expected = { ...expected, ...told };
      t.strictSame(
        await ask('PATCH', '/v1/app', given),
        { status: 200, body: expected },
        JSON.stringify(given),
      );
    }
    t.strictSame((await ask('PATCH', '/v1/app', { ice: null })).body.ice, null);
    t.match((await asker(fixture, two.server)('GET', '/v1/app')).body, {
      id: 'settings-2',
      name: 'settings-2',
      ringTimeoutMs: 45_000,
    });

    await setAppRetention(db, 'settings-1', 30);
    t.equal((await ask('GET', '/v1/app')).body.retentionDays, 30);
    const refused: [what: string, body: object, detail: RegExp][] = [
      ['F22 F32 how long recordings are kept, which would delete them', { retentionDays: 1 }, /unknown key/],
      ['another id', { id: 'settings-2' }, /unknown key/],
      ['an empty name', { name: '' }, /name/],
      ['a name of two lines', { name: 'a\nb' }, /name/],
      ['a ring of four seconds', { ringTimeoutMs: 4_999 }, /ringTimeoutMs/],
      ['a ring of four minutes', { ringTimeoutMs: 240_000 }, /ringTimeoutMs/],
      ['an origin with a path', { allowedOrigins: ['https://chat.example/x'] }, /allowedOrigins/],
      ['an origin in capitals', { allowedOrigins: ['https://CHAT.example'] }, /expected an origin/],
      [
        'an origin with its default port',
        { allowedOrigins: ['https://chat.example:443'] },
        /expected an origin/,
      ],
      ['every origin', { allowedOrigins: ['*'] }, /allowedOrigins/],
      ['no origin', { allowedOrigins: ['null'] }, /allowedOrigins/],
      ['a STUN address that is none', { ice: { stunUrls: ['http://stun.example'] } }, /ice/],
      ['a port beyond all ports', { ice: { stunUrls: ['stun:stun.example:65536'] } }, /up to 65535/],
      [
        'five STUN addresses',
        { ice: { stunUrls: Array.from({ length: 5 }, () => 'stun:a.example') } },
        /ice/,
      ],
      ['relays without their secret', { ice: { turnUrls: ['turn:turn.example'] } }, /need the secret/],
      ['a secret without relays', { ice: { secret: 'x'.repeat(16) } }, /for the relays/],
      ['relays only, without one', { ice: { relayOnly: true } }, /needs a relay/],
      ['a short secret', { ice: { turnUrls: ['turn:turn.example'], secret: 'x'.repeat(15) } }, /ice/],
    ];
    const kept = (await ask('GET', '/v1/app')).body;
    for (const [what, body, detail] of refused) {
      const answer = await ask('PATCH', '/v1/app', body);
      t.equal(answer.status, 400, what);
      t.match(answer.body, { code: 'bad_request', detail }, what);
    }
    t.strictSame((await ask('GET', '/v1/app')).body, kept, 'and nothing was changed');
  },
);

t.test('F14 the secret of an app’s relays is kept sealed, and told to calls alone', async (t) => {
  const fixture = await httpFixture(t, db);
  const app = await fixture.addApp('relays');
  const ask = asker(fixture, app.server);
  const apps = new Apps(db, fixture.sealKey);
  const secret = 'a secret of relays'.replaceAll(' ', '-');
  const servers = { turnUrls: ['turn:turn.example:3478?transport=udp'], relayOnly: true };
  const answer = await ask('PATCH', '/v1/app', { ice: { ...servers, secret } });
  t.match(answer, { status: 200, body: { ice: servers } });
  t.match(await apps.ice('relays'), { ...servers, secret });
  const [row] = await db.sql<{ row: string }[]>`
    select row_to_json(a)::text || coalesce(encode(ice_secret_sealed, 'escape'), '') as row
    from apps a where id = 'relays'`;
  t.match(row?.row, /turn\.example/);
  const told = [
    JSON.stringify(answer),
    JSON.stringify(await ask('GET', '/v1/app')),
    row?.row,
    fixture.logText(),
  ];
  for (const text of told) t.notMatch(text, new RegExp(secret));

  await ask('PATCH', '/v1/app', { ice: { turnUrls: ['turns:turn.example:5349'] } });
  t.match(
    await apps.ice('relays'),
    { turnUrls: ['turns:turn.example:5349'], relayOnly: false, secret },
    'it stays',
  );
  await ask('PATCH', '/v1/app', { ice: { stunUrls: ['stun:stun.example'] } });
  t.equal((await apps.ice('relays'))?.secret, undefined, 'it goes with the relays');
  t.equal(
    (await ask('PATCH', '/v1/app', { ice: servers })).status,
    400,
    'and is not there when they come back',
  );
  t.equal(await apps.ice('settings-2'), undefined);
  await t.rejects(
    async () => {
      await ask('PATCH', '/v1/app', { ice: { ...servers, secret } });
      await db.sql`
        update apps set ice = a.ice, ice_secret_sealed = a.ice_secret_sealed
        from apps a where a.id = 'relays' and apps.id = 'settings-2'`;
      await apps.ice('settings-2');
    },
    { code: 'corrupt' },
    'a secret that was copied to another app does not open',
  );
});

t.test(
  'F50 keys are replaced without a gap: the new one beside the old one, then the old one is revoked',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const app = await fixture.addApp('rotation');
    const other = await fixture.addApp('rotation-other');
    const old = asker(fixture, app.server);
    const alice = await app.user('alice');
    const asAlice = () =>
      fixture.http
        .inject({ url: '/v1/disclosures/en', headers: { authorization: alice } })
        .then((a) => a.statusCode);
    t.equal(await asAlice(), 404, 'a token of the old key is good');

    const made = await old('POST', '/v1/app/keys', {});
    t.match(made, {
      status: 201,
      body: { key: { algorithm: 'HS256', createdAt: /Z$/ }, secret: /^[\w-]{43}$/ },
    });
    const fresh = asker(fixture, headerOf(made.body));
    t.equal((await fresh('GET', '/v1/app')).status, 200, 'both count');
    t.equal((await old('GET', '/v1/app')).status, 200);

    const list = await fresh('GET', '/v1/app/keys');
    t.equal(list.body.keys.length, 3);
    const keyOf = (kid: string) => list.body.keys.find((key: { kid: string }) => key.kid === kid);
    t.equal(keyOf(app.kid).lastUsedAt, new Date(fixture.clock.nowMs).toISOString());
    t.notOk('lastUsedAt' in keyOf(app.signing.kid), 'nobody has signed with this one yet');
    t.notMatch(JSON.stringify(list), /secret|jwk|"x"/i);

    t.match(
      await old('DELETE', `/v1/app/keys/${app.kid}`),
      { status: 409, body: { code: 'conflict' } },
      'not itself',
    );
    t.equal((await old('GET', '/v1/app')).status, 200);
    for (const foreign of [other.kid, 'vk_none'])
      t.match(
        await fresh('DELETE', `/v1/app/keys/${foreign}`),
        { status: 404, body: { code: 'not_found' } },
        foreign,
      );
    t.equal(
      (await asker(fixture, other.server)('GET', '/v1/app')).status,
      200,
      'another app’s key is untouched',
    );

    t.equal((await fresh('DELETE', `/v1/app/keys/${app.kid}`)).status, 204);
    t.equal((await old('GET', '/v1/app')).status, 401, 'at once');
    t.equal(await asAlice(), 401, 'with what it signed');
    t.equal((await fresh('DELETE', `/v1/app/keys/${app.kid}`)).status, 204, 'twice is once');
    t.match(
      (await fresh('GET', '/v1/app/keys')).body.keys.map((key: { revokedAt?: string }) => 'revokedAt' in key),
      [true, false, false],
    );
  },
);

t.test('F50 a public key is added by its JWK, and what is no such key is refused', async (t) => {
  const fixture = await httpFixture(t, db);
  const app = await fixture.addApp('public-keys');
  const ask = asker(fixture, app.server);
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicJwk = ec.publicKey.export({ format: 'jwk' });
  const made = await ask('POST', '/v1/app/keys', { publicJwk });
  t.match(made, { status: 201, body: { key: { algorithm: 'ES256' } } });
  t.notOk('secret' in made.body);
  const refused: [string, object][] = [
    ['a private key', ec.privateKey.export({ format: 'jwk' })],
    ['an RSA key', generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })],
    ['a P-384 key', generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' })],
    ['a symmetric key', { kty: 'oct', k: 'AAAA' }],
    ['nothing', {}],
    ['numbers', { kty: 1 }],
  ];
  for (const [what, jwk] of refused)
    t.match(await ask('POST', '/v1/app/keys', { publicJwk: jwk }), { status: 400 }, what);
  t.equal((await ask('GET', '/v1/app/keys')).body.keys.length, 3, 'and nothing was added');
});

t.test('two keys that revoke each other at the same moment leave one, and keys have a bound', async (t) => {
  const fixture = await httpFixture(t, db);
  const app = await fixture.addApp('duel');
  const made = await asker(fixture, app.server)('POST', '/v1/app/keys', {});
  const sides: [ask: ReturnType<typeof asker>, victim: string][] = [
    [asker(fixture, app.server), made.body.key.kid],
    [asker(fixture, headerOf(made.body)), app.kid],
  ];
  // Both are signed in before either is revoked: their keys are in the ring.
  for (const [ask] of sides) t.equal((await ask('GET', '/v1/app')).status, 200);
  const answers = await Promise.all(sides.map(([ask, victim]) => ask('DELETE', `/v1/app/keys/${victim}`)));
  t.strictSame(answers.map(({ status }) => status).sort(), [204, 401]);
  const winner = answers[0]?.status === 204 ? sides[0]?.[0] : sides[1]?.[0];
  if (winner === undefined) return t.fail('nobody won');
  t.equal((await winner('GET', '/v1/app')).status, 200);

  const living = (await winner('GET', '/v1/app/keys')).body.keys.filter(
    (key: { revokedAt?: string }) => key.revokedAt === undefined,
  ).length;
  for (let more = living; more < APP_LIMITS.maxKeys; more += 1)
    t.equal((await winner('POST', '/v1/app/keys', {})).status, 201);
  t.match(await winner('POST', '/v1/app/keys', {}), { status: 409, body: { code: 'conflict' } });
});

t.test(
  'F50 a key that another process revoked is refused at once, and its last use is known to the minute',
  async (t) => {
    const fixture = await httpFixture(t, db);
    const app: TestApp = await fixture.addApp('elsewhere');
    const heard = Promise.withResolvers<string>();
    await fixture.auth.watchRevocations({ inUse: () => [], onRevoked: heard.resolve });
    const ask = asker(fixture, app.server);
    const lastUse = async () =>
      (await db.sql<{ at: Date | null }[]>`select last_used_at as at from app_keys where kid = ${app.kid}`)[0]
        ?.at;
    const first = fixture.clock.nowMs;
    t.equal((await ask('GET', '/v1/app')).status, 200);
    fixture.clock.nowMs += 59_000;
    await ask('GET', '/v1/app');
    t.equal((await lastUse())?.getTime(), first);
    fixture.clock.nowMs += 1_000;
    await ask('GET', '/v1/app');
    t.equal((await lastUse())?.getTime(), first + 60_000);
    // As the operator's command does it; the server's clock stands still, so its memory of the key is fresh.
    await db.sql`update app_keys set revoked_at = now() where kid = ${app.kid}`;
    t.equal(await heard.promise, app.kid);
    t.equal((await ask('GET', '/v1/app')).status, 401);
  },
);
