import type { KeyObject } from 'node:crypto';
import { createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import t from 'tap';
import { createPublicKey, signUserToken } from '../auth/index.ts';
import { testDatabase } from '../db/fixture.ts';
import type { Database } from '../db/index.ts';
import { insertAppKey } from '../db/index.ts';
import { cookieOf, httpFixture } from './fixture.ts';

/*
 * Who may what: every route of the server, and everybody who may ask for it. A route that is added without a row
 * here fails the test; so does a row without its route.
 */

/** Whose credentials are good. To add a principal, add a word here, its credential below, and its column in the rows. */
const GOOD = [
  /** The parties of the recorded call, which took place in the chat `c`. */
  'caller',
  'callee',
  /** Another user of the app, and one who was taken out of the chat. */
  'stranger',
  'removed',
  /** A user of another app, under the caller's id. */
  'foreign',
  'server',
  'foreignServer',
  /** The operator's monitor, by the token of `/metrics`. */
  'monitor',
] as const;
type Good = (typeof GOOD)[number];
const SERVERS: readonly Good[] = ['server', 'foreignServer'];

/** Whose are not, whatever they are for: each is refused where anybody has to sign in. */
const BAD = [
  'nobody',
  'expired',
  'algNone',
  'unsigned',
  'edAsHmac',
  'ecAsHmac',
  'hmacAsEd',
  'foreignKid',
  'unknownKid',
  'keyInHeader',
  'revokedToken',
  'revokedServer',
  'wrongSecret',
  'publicKeyAsSecret',
  'serverTokenOfUser',
] as const;
type Bad = (typeof BAD)[number];

/** An HTTP status, or the code of a problem where the status alone does not tell it from a refusal. */
type Expected = number | string;
interface Row {
  /** The parameters of the path, as they are for this app. */
  at?: Record<string, string>;
  query?: string;
  body?: object;
  /** What those get who are named. */
  may: Partial<Record<Good, Expected>>;
  /** What all others with good credentials get, if the route is for their kind at all; 404 unless said. */
  rest?: Expected;
}

const parties = (expected: Expected) => ({ caller: expected, callee: expected });
const partiesAndServer = (expected: Expected) => ({ ...parties(expected), server: expected });
/** Each has their own: the same answer for everybody, about different things. */
const own = (expected: Expected): Row => ({ may: {}, rest: expected });

const own1 = await testDatabase(t);
const { db, statements } = counting(own1);
const MONITOR = 'token-of-the-monitor-0123456789';
const demoToken = {
  token: 'x.y.z',
  expiresAt: new Date().toISOString(),
  userId: 'alice',
  name: 'Alice',
  peer: { userId: 'bob', name: 'Bob' },
  chatId: 'c',
  room: { chatId: 'room', name: 'Room', members: [] },
};
const clientDir = t.testdir({
  admin: { 'a.js': '' },
  sdk: { 'a.js': '' },
  ui: { 'a.js': '' },
  demo: { 'index.html': 'demo', 'a.js': '' },
});
const fixture = await httpFixture(t, db, {
  clientDir,
  demo: { token: async () => demoToken },
  metricsToken: MONITOR,
});
const { http, clock } = fixture;
const one = await fixture.addApp('one');
const two = await fixture.addApp('two');
const revoked = await fixture.addKey('one');
const spare = await fixture.addKey('one');

const HERE = '127.0.0.1';
let requests = 0;
/** An address has only so many failed sign-ins in a minute, and the demo is for this machine. */
const anyAddress = () => `127.0.1.${1 + (requests++ % 250)}`;

async function ask(
  method: string,
  url: string,
  {
    authorization,
    cookie,
    body,
  }: { authorization?: string; cookie?: string; body?: object | undefined } = {},
  remoteAddress = HERE,
) {
  return http.inject({
    method: method as 'GET',
    url,
    remoteAddress,
    headers: {
      host: 'localhost',
      ...(authorization === undefined ? {} : { authorization }),
      ...(cookie === undefined ? {} : { cookie }),
    },
    ...(body && { payload: body }),
  });
}

async function made(method: string, url: string, body?: object, app = one) {
  const answer = await ask(method, url, { authorization: app.server, body });
  if (answer.statusCode >= 300) throw new Error(`${method} ${url}: ${answer.statusCode} ${answer.body}`);
  return answer.body === '' ? {} : answer.json();
}

for (const id of ['alice', 'bob', 'mallory', 'rita']) await made('PUT', `/v1/users/${id}`, { name: id });
for (const id of ['alice', 'bob']) await made('PUT', `/v1/users/${id}`, { name: `${id} of two` }, two);
await made('PUT', '/v1/chats/c', { kind: 'direct', members: ['alice', 'rita'] });
await made('PUT', '/v1/chats/c', { kind: 'direct', members: ['alice', 'bob'] });
await made('PUT', '/v1/chats/spare', { kind: 'group', members: ['alice'] });
await made('PUT', '/v1/disclosures/en', { text: 'This call is recorded.' });
const recording = await fixture.addRecording({
  appId: 'one',
  chatId: 'c',
  callerId: 'alice',
  calleeId: 'bob',
});
const webhook = await made('POST', '/v1/webhooks', { url: 'http://127.0.0.1:1/hook' });
const spareWebhook = await made('POST', '/v1/webhooks', { url: 'http://127.0.0.1:1/spare' });
// Sent long ago: what is still to be sent would change its row while the test compares rows.
const [delivery] = await own1.sql<{ id: string }[]>`
  with event as (insert into webhook_events (app_id, type, data) values ('one', 'webhook.test', '{}') returning id)
  insert into webhook_deliveries (endpoint_id, event_id, state)
  select ${webhook.webhook.id}, id, 'delivered' from event returning id`;
await made('PUT', `/v1/calls/${recording.callId}/transcript`, { segments: [] });
const granted = await ask('POST', `/v1/recordings/${recording.id}/grants`, {
  authorization: await one.user('alice'),
  body: {},
});

const rec = { id: recording.id };
const call = { id: recording.callId };
const hook = { id: webhook.webhook.id };
const TABLE: Record<string, Row> = {
  // For an app's server, of itself and of what it put here
  'GET /v1/app': own(200),
  'PATCH /v1/app': { ...own(200), body: { name: 'renamed' } },
  'GET /v1/app/keys': own(200),
  'POST /v1/app/keys': { ...own(201), body: {} },
  'DELETE /v1/app/keys/:kid': { at: { kid: spare.kid }, may: { server: 204 } },
  'PUT /v1/users/:id': { ...own(200), at: { id: 'bob' }, body: { name: 'Bob, renamed' } },
  'GET /v1/users/:id': { at: { id: 'rita' }, may: { server: 200 } },
  'PUT /v1/chats/:id': { ...own(200), at: { id: 'new' }, body: { kind: 'group', members: ['alice'] } },
  'GET /v1/chats/:id': { at: { id: 'c' }, may: { server: 200 } },
  'DELETE /v1/chats/:id': { at: { id: 'spare' }, may: { server: 204 } },
  'GET /v1/policy': own(200),
  'PUT /v1/policy': {
    ...own(200),
    body: { default: { voice: true, secure: true, recordings: true }, roles: {} },
  },
  'PUT /v1/disclosures/:locale': {
    ...own(200),
    at: { locale: 'fr' },
    body: { text: 'Cet appel est enregistré.' },
  },
  'GET /v1/webhooks': own(200),
  'POST /v1/webhooks': { ...own(201), body: { url: 'http://127.0.0.1:1/more' } },
  'PATCH /v1/webhooks/:id': { at: hook, body: { events: ['call.ended'] }, may: { server: 200 } },
  'POST /v1/webhooks/:id/secret': { at: hook, may: { server: 200 } },
  'POST /v1/webhooks/:id/test': { at: hook, may: { server: 202 } },
  'GET /v1/webhooks/:id/deliveries': { at: hook, may: { server: 200 } },
  'POST /v1/webhooks/:id/deliveries/:deliveryId/replay': {
    at: { ...hook, deliveryId: delivery?.id ?? '' },
    may: { server: 202 },
  },
  'DELETE /v1/webhooks/:id': { at: { id: spareWebhook.webhook.id }, may: { server: 204 } },
  'PUT /v1/calls/:id/transcript': { at: call, body: { segments: [] }, may: { server: 200 } },
  'PUT /v1/calls/:id/messages': { at: call, body: { messages: [] }, may: { server: 204 } },
  // For the parties, and the app's server
  'GET /v1/calls/:id/transcript': { at: call, may: partiesAndServer(200) },
  'GET /v1/chats/:id/calls': { at: { id: 'c' }, may: partiesAndServer(200) },
  'GET /v1/chats/:id/recordings': { at: { id: 'c' }, may: partiesAndServer(200) },
  'GET /v1/disclosures/:locale': {
    at: { locale: 'en' },
    may: { ...partiesAndServer(200), stranger: 200, removed: 200 },
  },
  'GET /v1/recordings/:id': { at: rec, may: partiesAndServer(200) },
  'GET /v1/recordings/:id/peaks': { at: rec, may: partiesAndServer(200) },
  'GET /v1/recordings/:id/timeline': { at: rec, may: partiesAndServer(200) },
  'GET /v1/recordings/:id/access': { at: rec, may: partiesAndServer(200) },
  // For the parties alone: no server plays a recording
  'POST /v1/recordings/:id/grants': { at: rec, body: {}, may: parties(201) },
  'GET /v1/recordings/:id/evidence': { at: rec, may: parties(200) },
  // This recording has no journal, so its parties find none either; those of one that has are in evidence.test.ts.
  'GET /v1/recordings/:id/chain/:epoch': {
    at: { ...rec, epoch: '1' },
    query: '?after=0',
    may: parties('not_found'),
  },
  'POST /v1/recordings/:id/mismatch': { at: rec, body: { note: 'x' }, may: parties('bad_request') },
  'DELETE /v1/session': own(204),
  // The demo is for users of the demo's own app
  'GET /demo/messages': { query: '?after=0', may: {} },
  'POST /demo/messages': { body: { chatId: 'c', text: 'x' }, may: {} },
  // By address and session: the caller's, who asked for it
  'GET /media/:grantId': {
    at: { grantId: granted.json().grantId },
    query: new URL(granted.json().url, 'http://x').search,
    may: { caller: 200 },
    rest: 403,
  },
  // For everybody
  'GET /': own(302),
  'GET /admin': own(302),
  'GET /admin/*': { ...own(200), at: { '*': 'a.js' } },
  'GET /demo': own(302),
  'GET /demo/*': { ...own(200), at: { '*': 'a.js' } },
  'GET /sdk/*': { ...own(200), at: { '*': 'a.js' } },
  'GET /ui/*': { ...own(200), at: { '*': 'a.js' } },
  'POST /demo/token': { ...own(200), body: { as: 'alice' } },
  'GET /v1/health': own(200),
  'GET /v1/health/live': own(200),
  'GET /v1/health/ready': own(200),
  'GET /v1/ledger/checkpoint': own(200),
  'GET /v1/ledger/consistency': { ...own(200), query: '?from=1&to=1' },
  'GET /v1/ledger/tile/*': { ...own(200), at: { '*': '0/000.p/1' } },
  'GET /v1/ledger/vkeys': own(200),
  'GET /v1/openapi.json': own(200),
  // For the operator's monitor
  'GET /metrics': { may: { monitor: 200 }, rest: 401 },
};

const users = { caller: 'alice', callee: 'bob', stranger: 'mallory', removed: 'rita' };
const good: Record<Good, string> = {
  caller: await one.user(users.caller),
  callee: await one.user(users.callee),
  stranger: await one.user(users.stranger),
  removed: await one.user(users.removed),
  foreign: await two.user('alice'),
  server: one.server,
  foreignServer: two.server,
  monitor: `Bearer ${MONITOR}`,
};
const bad = await badCredentials();
/** The browser of whoever has one: only the caller's session has the grant. */
const cookies: Partial<Record<Good | Bad, string>> = { caller: cookieOf(granted.headers) };
cookies.callee = cookieOf(
  (await ask('POST', `/v1/recordings/${recording.id}/grants`, { authorization: good.callee, body: {} }))
    .headers,
);

const all = http.routes.filter(({ method }) => method !== 'HEAD');
const isConsole = ({ url }: { url: string }) => url.startsWith('/admin/api/');
/** Admins of the console are another kind, with a table of their own (console.test.ts). */
const routes = all.filter((route) => !isConsole(route));

t.test('every route has its row, and every row its route', async (t) => {
  t.strictSame(Object.keys(TABLE).sort(), routes.map(({ method, url }) => `${method} ${url}`).sort());
});

t.test('F43 no credential of an app, its users or the monitor opens any route of the console', async (t) => {
  const before = await contents();
  for (const { method, url } of all.filter(isConsole)) {
    const path = url.replace(':id', randomUUID());
    for (const authorization of [undefined, ...Object.values(good)]) {
      const answer = await http.inject({
        method: method as 'GET',
        url: path,
        headers: {
          host: 'localhost',
          origin: 'http://localhost',
          ...(authorization === undefined ? {} : { authorization }),
        },
      });
      // Signing in and links are open to everybody; without a body they are not even that.
      t.ok([400, 401].includes(answer.statusCode), `${method} ${url}: ${answer.statusCode}`);
    }
  }
  t.strictSame(await contents(), before);
});

t.test('F50 no bad credential opens any route, and nothing is changed by one that is refused', async (t) => {
  const before = await contents();
  for (const route of routes) {
    const { row, auth, name } = rowOf(route);
    for (const who of BAD) {
      const answer = await asked(route, row, bad[who], cookies[who], auth === 'none' ? HERE : anyAddress());
      if (auth === 'none') t.equal(answer.statusCode, row.rest, `${who}: ${name}`);
      else if (auth === 'grant') t.equal(answer.statusCode, 403, `${who}: ${name}`);
      else {
        t.equal(answer.statusCode, 401, `${who}: ${name}`);
        const code =
          who === 'expired' && ['user', 'either'].includes(auth) ? 'token_expired' : 'unauthorized';
        t.equal(answer.json().code, code, `${who}: ${name}`);
      }
    }
    for (const who of GOOD) {
      const expected = expectedOf(row, auth, who);
      if (statusOf(expected) < 400) continue;
      const address = expected === 401 ? anyAddress() : HERE;
      const answer = await asked(route, row, good[who], cookies[who], address);
      check(t, answer, expected, `${who}: ${name}`);
      t.notMatch(answer.body, recording.sha256, `${who} learns nothing`);
    }
  }
  t.strictSame(await contents(), before);
});

t.test(
  'F30 a thing that is not there and one that is not theirs are the same, to the last query',
  async (t) => {
    let compared = 0;
    for (const route of routes) {
      const { row, auth, name } = rowOf(route);
      if (auth === 'none' || row.at === undefined) continue;
      for (const who of GOOD) {
        if (expectedOf(row, auth, who) !== (row.rest ?? 404)) continue;
        if (statusOf(row.rest ?? 404) < 400) continue;
        // So that neither of the two finds a key in memory that the other had to look up.
        await asked(route, row, good[who], cookies[who]);
        const there = await traced(() => asked(route, row, good[who], cookies[who]));
        for (const param of Object.keys(row.at)) {
          if (param === 'epoch' || param === 'locale') continue;
          const at = { ...row.at, [param]: unknown(param, row.at[param] ?? '') };
          const nowhere = await traced(() => asked(route, { ...row, at }, good[who], cookies[who]));
          t.strictSame(nowhere, there, `${who}: ${name}`);
          compared += 1;
        }
      }
    }
    t.ok(compared > 50, `${compared} pairs`);
  },
);

t.test('F20 F30 F50 each may what the table says, and two apps never meet', async (t) => {
  const names = async () => (await ask('GET', '/v1/users/bob', { authorization: two.server })).json().name;
  // What takes away comes last.
  const inOrder = [...routes].sort((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'));
  for (const route of inOrder) {
    const { row, auth, name } = rowOf(route);
    for (const who of GOOD) {
      const expected = expectedOf(row, auth, who);
      if (statusOf(expected) >= 400) continue;
      check(t, await asked(route, row, good[who], cookies[who]), expected, `${who}: ${name}`);
    }
    if (name === 'PUT /v1/users/:id') t.equal(await names(), 'Bob, renamed', 'by the other app’s own server');
  }
  const [{ count } = { count: 0 }] = await own1.sql<{ count: number }[]>`
    select count(*) from users where app_id = 'one' and name like '% of two'`;
  t.equal(count, 0);
});

function rowOf({ method, url, auth }: (typeof routes)[number]) {
  const name = `${method} ${url}`;
  const row = TABLE[name];
  if (row === undefined) throw new Error(`${name}: add its row to the table`);
  return { row, auth, name };
}

/** A route for servers is closed to users, and the other way round. */
function expectedOf(row: Row, auth: string, who: Good): Expected {
  const isServer = SERVERS.includes(who);
  if (who === 'monitor' && ['app', 'user', 'either'].includes(auth)) return 401;
  if ((auth === 'app' && !isServer) || (auth === 'user' && isServer)) return 401;
  return row.may[who] ?? row.rest ?? 404;
}

function statusOf(expected: Expected): number {
  return typeof expected === 'number' ? expected : 400;
}

function check(
  t: { equal: (a: unknown, b: unknown, what: string) => unknown },
  answer: Answer,
  expected: Expected,
  what: string,
) {
  t.equal(typeof expected === 'number' ? answer.statusCode : answer.json().code, expected, what);
}

type Answer = Awaited<ReturnType<typeof ask>>;

function asked(
  { method, url }: (typeof routes)[number],
  { at = {}, query = '', body }: Row,
  authorization: string,
  cookie: string | undefined,
  address?: string,
): Promise<Answer> {
  const path = url.replace(/:(\w+)|\*/g, (whole, name) => at[name ?? whole] ?? whole);
  return ask(
    method,
    path + query,
    {
      ...(authorization === '' ? {} : { authorization }),
      ...(cookie === undefined ? {} : { cookie }),
      ...(method === 'GET' || method === 'DELETE' ? {} : { body }),
    },
    address,
  );
}

function unknown(param: string, known: string): string {
  if (/^[0-9a-f-]{36}$/.test(known)) return randomUUID();
  return param === 'kid' ? 'vk_nowhere' : 'nowhere';
}

/** All that an answer tells, and which statements it took, in their order. */
async function traced(act: () => Promise<Answer>) {
  statements.length = 0;
  const { statusCode, headers, body } = await act();
  const varying = /^(date|x-request-id|x-ratelimit-.*|retry-after)$/;
  const told = Object.entries(headers).filter(([name]) => !varying.test(name));
  // Asked or not, the sender of webhooks may look at any time for what is due.
  const own = statements.filter((text) => !text.includes('with due as'));
  return { statusCode, headers: told, body, statements: own };
}

/** A database that notes the text of each statement, and of each part of one, without its values. */
function counting<D extends Database>(real: D): { db: D; statements: string[] } {
  const statements: string[] = [];
  const through = <T extends object>(sql: T): T =>
    new Proxy(sql, {
      apply(target, self, args) {
        const [first] = args;
        if (Array.isArray(first) && 'raw' in first) statements.push(first.join('?'));
        return Reflect.apply(target as never, self, args);
      },
      get(target, name, receiver) {
        const value = Reflect.get(target, name, receiver);
        if (name !== 'begin' || typeof value !== 'function') return value;
        return (act: (tx: object) => unknown) => value.call(target, (tx: object) => act(through(tx)));
      },
    });
  return { db: { ...real, sql: through(real.sql) }, statements };
}

/** Everything that a request could change, but the time of a key's last use. */
async function contents(): Promise<Record<string, unknown>> {
  const tables = [
    'apps',
    'disclosures',
    'users',
    'chats',
    'chat_members',
    'calls',
    'recordings',
    'timelines',
  ];
  const more = [
    'sessions',
    'grants',
    'webhook_endpoints',
    'webhook_events',
    'webhook_deliveries',
    'consents',
  ];
  const all: Record<string, unknown> = {};
  for (const table of [...tables, ...more])
    all[table] = await own1.sql`select to_jsonb(x) as row from ${own1.sql(table)} x order by 1`;
  all.app_keys = await own1.sql`select kid, app_id, revoked_at from app_keys order by kid`;
  return all;
}

async function badCredentials(): Promise<Record<Bad, string>> {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const nowS = Math.floor(clock.nowMs / 1000);
  const claims = { sub: 'alice', name: 'Alice', iat: nowS, exp: nowS + 600 };
  const hand = (header: object, secret: string | Buffer, payload: object = claims) => {
    const signed = `${part(header)}.${part(payload)}`;
    return `Bearer ${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  };
  const pem = (key: KeyObject) => key.export({ format: 'pem', type: 'spki' }).toString();
  // Public keys are public: their bytes must not do as a secret.
  const ed = generateKeyPairSync('ed25519');
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const edKey = createPublicKey('one', { kty: '', ...ed.publicKey.export({ format: 'jwk' }) });
  const ecKey = createPublicKey('one', { kty: '', ...ec.publicKey.export({ format: 'jwk' }) });
  await insertAppKey(own1, edKey.row);
  await insertAppKey(own1, ecKey.row);
  const token = async (app: typeof one, kid: string, userId = 'alice', lifetimeMs = 600_000) =>
    `Bearer ${await signUserToken({ kid, algorithm: 'HS256', material: app.secret }, { userId }, { nowMs: clock.nowMs, lifetimeMs })}`;
  await own1.sql`update app_keys set revoked_at = now() where kid = ${revoked.kid}`;
  return {
    nobody: '',
    expired: await token(one, one.kid, 'alice', -1_000),
    algNone: `Bearer ${part({ alg: 'none', kid: one.kid, typ: 'JWT' })}.${part(claims)}.`,
    unsigned: `Bearer ${part({ alg: 'none', kid: one.kid })}.${part(claims)}.AA`,
    edAsHmac: hand({ alg: 'HS256', kid: edKey.row.kid }, pem(ed.publicKey)),
    ecAsHmac: hand({ alg: 'HS256', kid: ecKey.row.kid }, pem(ec.publicKey)),
    hmacAsEd: hand({ alg: 'EdDSA', kid: one.kid }, one.secret),
    // The kid of another app's key, and the signature of a key that the attacker has.
    foreignKid: await token(two, one.kid),
    unknownKid: await token(one, 'vk_nowhere'),
    keyInHeader: hand(
      {
        alg: 'HS256',
        kid: 'vk_nowhere',
        jwk: { kty: 'oct', k: Buffer.from('s'.repeat(32)).toString('base64url') },
      },
      's'.repeat(32),
    ),
    revokedToken: await token(revoked, revoked.kid),
    revokedServer: revoked.server,
    wrongSecret: `Bearer ${one.kid}.${two.secret}`,
    publicKeyAsSecret: `Bearer ${edKey.row.kid}.${String(edKey.row.publicJwk?.x)}`,
    // An HS256 key authenticates the server by its secret and never by a token that it signed.
    serverTokenOfUser: hand({ alg: 'HS256', kid: one.kid }, one.secret, {
      aud: 'verbatim-server',
      exp: nowS + 60,
    }),
  };
}
