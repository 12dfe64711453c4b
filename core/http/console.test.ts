import { createHash, createPublicKey, verify } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';
import t from 'tap';
import { parseEntry } from '#ledger';
import type { Account, Admin, AdminLink, AdminSession, PasskeyChallenge, TotpSetup } from '#protocol';
import { RIGHTS_OF } from '#protocol';
import { ADMIN_LIMITS } from '../admins/index.ts';
import { testDatabase } from '../db/fixture.ts';
import { CONSOLE_ORIGIN, ConsoleBrowser, GOOD_PASSWORD, ownerLink, signedInAs } from './console-fixture.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);
const fixture = await httpFixture(t, db, { trustProxy: ['127.0.0.1'] });
const { clock } = fixture;

t.test('F43 the first owner comes by a one-time link, with a strong password and a passkey', async (t) => {
  const browser = new ConsoleBrowser(fixture);
  const link = await ownerLink(fixture);
  t.match((await browser.ask('POST', 'links/open', { token: link.token })).body, {
    purpose: 'invite',
    role: 'owner',
  });
  for (const password of ['short', 'Password123!', 'qwertyuiop12345', 'first-owner-2026', 'a'.repeat(60)]) {
    const { status, code } = await browser.ask('POST', 'links/use', {
      token: link.token,
      login: 'first-owner',
      name: 'First Owner',
      password,
    });
    t.strictSame([status, code], [400, 'bad_request'], password);
  }
  const session = await browser.join(link, 'first');
  t.match(session, { stage: 'full', rights: RIGHTS_OF.owner, factors: { passkeys: 1, totp: false } });
  t.equal((await browser.ask('GET', 'admins')).status, 200);
  const again = new ConsoleBrowser(fixture);
  t.equal(
    (await again.ask('POST', 'links/open', { token: link.token })).code,
    'not_found',
    'a link is used once',
  );
});

t.test(
  'F43 without the second factor nothing opens, and what it is answered with is good once',
  async (t) => {
    const { authenticator } = await signedInAs(fixture, 'owner', 'second');
    const browser = Object.assign(new ConsoleBrowser(fixture), { authenticator });
    t.match(await browser.signIn('second'), { status: 200, body: { stage: 'half', rights: [] } });
    const half = browser.cookie;
    t.equal((await browser.ask('GET', 'admins')).code, 'unauthorized');
    t.equal(
      (await browser.ask('POST', 'account/passkeys/options')).code,
      'unauthorized',
      'no second passkey instead',
    );
    t.equal((await browser.ask('POST', 'account/totp')).code, 'unauthorized');

    const { body: challenge } = await browser.ask<PasskeyChallenge>('POST', 'session/passkey/options');
    const answer = authenticator.get(challenge, CONSOLE_ORIGIN);
    const { status } = await browser.ask('POST', 'session/passkey', {
      challengeId: challenge.challengeId,
      answer,
    });
    t.equal(status, 200);
    const full = browser.cookie;
    t.not(full, half, 'another token');
    t.equal((await browser.ask('GET', 'admins')).status, 200);
    browser.cookie = half;
    t.equal(
      (await browser.ask('GET', 'admins')).code,
      'unauthorized',
      'the token of before is worth nothing',
    );
    browser.cookie = full;
    const replayed = await browser.ask('POST', 'session/passkey', {
      challengeId: challenge.challengeId,
      answer,
    });
    t.equal(replayed.code, 'unauthorized', 'the same answer again');

    const attempt = async (change: (challenge: PasskeyChallenge) => object) => {
      const { body } = await browser.ask<PasskeyChallenge>('POST', 'session/passkey/options');
      return (
        await browser.ask('POST', 'session/passkey', { challengeId: body.challengeId, answer: change(body) })
      ).code;
    };
    t.equal(
      await attempt((one) => authenticator.get(one, 'http://evil.localhost:4443')),
      'unauthorized',
      'another origin',
    );
    authenticator.verifiesUser = false;
    t.equal(
      await attempt((one) => authenticator.get(one, CONSOLE_ORIGIN)),
      'unauthorized',
      'nobody was verified',
    );
    authenticator.verifiesUser = true;
    t.equal(await attempt(() => answer), 'unauthorized', 'the answer to another question');
    t.equal(
      await attempt((one) => new ConsoleBrowser(fixture).authenticator.get(one, CONSOLE_ORIGIN)),
      'unauthorized',
      'somebody else’s passkey',
    );
    authenticator.counter = 0;
    t.equal(
      await attempt((one) => authenticator.get(one, CONSOLE_ORIGIN)),
      'unauthorized',
      'a counter that went back',
    );
  },
);

t.test('F43 a code of an authenticator app counts once, and wrong ones run out', async (t) => {
  const browser = await signedInAs(fixture, 'viewer', 'coder');
  const { body: setup } = await browser.ask<TotpSetup>('POST', 'account/totp');
  const totp = new TOTP({ secret: Secret.fromBase32(setup.secret) });
  const code = (): string => totp.generate({ timestamp: clock.nowMs });
  t.equal((await browser.ask('POST', 'account/totp/confirm', { code: code() })).status, 200);
  t.equal((await browser.ask('POST', 'account/totp')).code, 'conflict', 'the secret is not told again');

  const elsewhere = new ConsoleBrowser(fixture, '203.0.113.5');
  await elsewhere.signIn('coder');
  t.equal(
    (await elsewhere.ask('POST', 'session/code', { code: code() })).code,
    'unauthorized',
    'a used code',
  );
  clock.nowMs += 30_000;
  t.match(await elsewhere.ask('POST', 'session/code', { code: code() }), {
    status: 200,
    body: { stage: 'full' },
  });

  const guesser = new ConsoleBrowser(fixture, '203.0.113.66');
  await guesser.signIn('coder');
  const codes: (string | undefined)[] = [];
  const wrong = code() === '000000' ? '000001' : '000000';
  for (let n = 0; n <= ADMIN_LIMITS.codesPerSession; n += 1)
    codes.push((await guesser.ask('POST', 'session/code', { code: wrong })).code);
  t.equal(codes.at(0), 'unauthorized');
  t.equal(codes.at(-1), 'rate_limited');
  // Another session from there begins anew, until the admin's own limit: then only known networks may.
  for (let sessions = 0; sessions < 4; sessions += 1) {
    await guesser.signIn('coder');
    for (let n = 0; n < ADMIN_LIMITS.codesPerSession; n += 1)
      await guesser.ask('POST', 'session/code', { code: wrong });
  }
  clock.nowMs += 30_000;
  await guesser.signIn('coder');
  t.equal((await guesser.ask('POST', 'session/code', { code: code() })).code, 'rate_limited');
  await elsewhere.signIn('coder');
  t.equal(
    (await elsewhere.ask('POST', 'session/code', { code: code() })).status,
    200,
    'the admin is not kept out',
  );
});

t.test('F43 an unknown login, a wrong password and a disabled account answer alike', async (t) => {
  const owner = await signedInAs(fixture, 'owner', 'boss');
  const gone = await signedInAs(fixture, 'viewer', 'gone');
  const { body } = await owner.ask<{ admins: Admin[] }>('GET', 'admins');
  const goneId = body.admins.find(({ login }) => login === 'gone')?.id;
  t.equal((await owner.ask('PATCH', `admins/${goneId}`, { disabled: true })).status, 204);
  t.equal((await gone.ask('GET', 'account')).code, 'unauthorized', 'signed out at once');
  const visitor = new ConsoleBrowser(fixture, '203.0.113.77');
  const answers = [
    await visitor.signIn('nobody-at-all'),
    await visitor.signIn('boss', 'seven quiet herons over Oslo'),
    await visitor.signIn('gone'),
    await visitor.signIn('BOSS'),
    await visitor.signIn("' or 1=1 --"),
  ];
  for (const { status, body: told } of answers) {
    t.equal(status, 401);
    t.strictSame(told, answers[0]?.body);
  }
});

t.test('F43 who fails too often waits there, and nobody else does', async (t) => {
  await signedInAs(fixture, 'viewer', 'victim');
  const attacker = new ConsoleBrowser(fixture, '198.51.100.1');
  let last: string | undefined;
  for (let n = 0; n <= ADMIN_LIMITS.failuresPerLogin; n += 1)
    last = (await attacker.signIn('victim', `wrong ${n}`)).code;
  t.equal(last, 'rate_limited');
  t.equal((await attacker.signIn('victim')).code, 'rate_limited', 'even with the right one');
  t.equal((await attacker.signIn('boss')).status, 200, 'another login from there');
  t.equal(
    (await new ConsoleBrowser(fixture, '198.51.100.2').signIn('victim')).status,
    200,
    'the admin from elsewhere',
  );
  clock.nowMs += ADMIN_LIMITS.windowMs;
  t.equal((await attacker.signIn('victim')).status, 200, 'later again');
});

t.test('F43 only the console’s own pages may speak for an admin', async (t) => {
  const owner = await signedInAs(fixture, 'owner', 'csrf');
  await fixture.addApp('csrf-app', ['https://chat.example.org', 'http://evil.localhost:4443']);
  const invite = (headers: Record<string, string>, body: object = { role: 'viewer' }) =>
    owner.ask('POST', 'admins/invites', body, headers);
  t.equal((await invite({})).status, 200);
  for (const [title, headers] of Object.entries({
    'another site': { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
    'an app’s page, which may ask elsewhere': {
      origin: 'https://chat.example.org',
      'sec-fetch-site': 'cross-site',
    },
    'a neighbouring subdomain': { origin: 'http://evil.localhost:4443', 'sec-fetch-site': 'same-site' },
    'a page without an origin': { origin: 'null', 'sec-fetch-site': 'cross-site' },
    'our origin by a browser that says otherwise': { 'sec-fetch-site': 'cross-site' },
  })) {
    const { code, headers: told } = await invite(headers);
    t.equal(code, 'origin_refused', title);
    t.notOk(told['access-control-allow-origin'], title);
    const read = await owner.ask('GET', 'admins', undefined, headers);
    t.equal(read.code, 'origin_refused', `${title}: reading`);
  }
  const form = await fixture.http.inject({
    method: 'POST',
    url: '/admin/api/admins/invites',
    headers: {
      host: 'localhost:4443',
      origin: CONSOLE_ORIGIN,
      cookie: owner.cookie ?? '',
      'content-type': 'application/x-www-form-urlencoded',
    },
    payload: 'role=owner',
  });
  t.equal(form.statusCode, 415, 'a form');
  const cookie = owner.cookie ?? '';
  owner.cookie = `${cookie}; __Host-verbatim-admin=${'A'.repeat(43)}`;
  t.equal((await owner.ask('GET', 'admins')).code, 'unauthorized', 'two cookies of this name');
  owner.cookie = cookie;
  const { headers } = await owner.signIn('csrf');
  t.match(
    String(headers['set-cookie']),
    /^__Host-verbatim-admin=.{43}; Path=\/; Secure; HttpOnly; SameSite=Strict$/,
  );
  t.equal(headers['x-frame-options'], 'DENY');
  t.match(headers['content-security-policy'], /frame-ancestors 'none'/);
  t.equal(headers['cache-control'], 'no-store');
});

t.test('F43 each role may what its rights say, and changes of accounts need a fresh proof', async (t) => {
  const browsers = {
    viewer: await signedInAs(fixture, 'viewer', 'r-viewer'),
    operator: await signedInAs(fixture, 'operator', 'r-operator'),
    legal_officer: await signedInAs(fixture, 'legal_officer', 'r-officer'),
    owner: await signedInAs(fixture, 'owner', 'r-owner'),
  };
  const { body } = await browsers.owner.ask<{ admins: Admin[] }>('GET', 'admins');
  const viewerId = body.admins.find(({ login }) => login === 'r-viewer')?.id ?? '';
  const acts: [method: 'POST' | 'PATCH', path: string, payload?: object][] = [
    ['POST', 'admins/invites', { role: 'viewer' }],
    ['PATCH', `admins/${viewerId}`, { role: 'operator' }],
    ['POST', `admins/${viewerId}/recovery`],
  ];
  for (const [role, browser] of Object.entries(browsers)) {
    t.equal((await browser.ask('GET', 'admins')).status, 200, `${role} sees who there is`);
    for (const [method, path, payload] of acts) {
      const { status, code } = await browser.ask(method, path, payload);
      if (role === 'owner') t.ok(status === 200 || status === 204, `${role} ${method} ${path}`);
      else t.equal(code, 'forbidden', `${role} ${method} ${path}`);
    }
  }
  clock.nowMs += ADMIN_LIMITS.provenMs;
  for (const [method, path, payload] of acts) {
    t.equal((await browsers.owner.ask(method, path, payload)).code, 'proof_required', `stale ${path}`);
  }
  t.equal((await browsers.viewer.ask('POST', 'account/totp')).code, 'proof_required');
  t.equal((await browsers.owner.prove()).status, 200);
  t.equal((await browsers.owner.ask('POST', 'admins/invites', { role: 'viewer' })).status, 200);
  const ownId = body.admins.find(({ login }) => login === 'r-owner')?.id;
  t.equal(
    (await browsers.owner.ask('PATCH', `admins/${ownId}`, { role: 'viewer' })).code,
    'forbidden',
    'oneself',
  );
});

t.test('F43 two owners who remove each other at the same time leave one', async (t) => {
  await db.sql`update admins set disabled_at = now() where role = 'owner'`;
  const [one, two] = [
    await signedInAs(fixture, 'owner', 'last-1'),
    await signedInAs(fixture, 'owner', 'last-2'),
  ];
  const { body } = await one.ask<{ admins: Admin[] }>('GET', 'admins');
  const idOf = (wanted: string) => body.admins.find(({ login }) => login === wanted)?.id;
  const answers = await Promise.all([
    one.ask('PATCH', `admins/${idOf('last-2')}`, { role: 'viewer' }),
    two.ask('PATCH', `admins/${idOf('last-1')}`, { role: 'viewer' }),
  ]);
  const left = await db.sql`select login from admins where role = 'owner' and disabled_at is null`;
  t.equal(left.length, 1);
  t.equal(answers.filter(({ status }) => status === 204).length, 1);
});

t.test('F43 a session ends when it is quiet, when it is old, and everywhere when asked to', async (t) => {
  const quiet = await signedInAs(fixture, 'viewer', 'quiet');
  clock.nowMs += ADMIN_LIMITS.idleMs - 1_000;
  t.equal((await quiet.ask('GET', 'account')).status, 200, 'being seen keeps it');
  clock.nowMs += ADMIN_LIMITS.idleMs;
  t.equal((await quiet.ask('GET', 'account')).code, 'unauthorized');

  const busy = await signedInAs(fixture, 'viewer', 'busy');
  const endMs = clock.nowMs + ADMIN_LIMITS.lifetimeMs;
  while (clock.nowMs < endMs - 60_000) {
    clock.nowMs = Math.min(clock.nowMs + ADMIN_LIMITS.idleMs - 1, endMs - 1);
    t.equal((await busy.ask('GET', 'account')).status, 200);
    await busy.prove();
  }
  clock.nowMs = endMs;
  t.equal((await busy.ask('GET', 'account')).code, 'unauthorized', 'proofs do not make it longer');

  const here = await signedInAs(fixture, 'viewer', 'places');
  const there = Object.assign(new ConsoleBrowser(fixture), { authenticator: here.authenticator });
  await there.signIn('places');
  await there.prove();
  const { body } = await here.ask<Account>('GET', 'account');
  t.strictSame(body.sessions.map(({ own }) => own).sort(), [false, true]);
  t.equal((await here.ask('DELETE', 'account/sessions')).status, 204);
  t.equal((await there.ask('GET', 'account')).code, 'unauthorized');
  t.equal((await here.ask('GET', 'account')).status, 200);
  t.equal(
    (await here.ask('PUT', 'account/password', { password: 'nine loud puffins on Lofoten' })).status,
    204,
  );
  t.equal((await there.signIn('places')).code, 'unauthorized', 'the old password');
  t.equal((await there.signIn('places', 'nine loud puffins on Lofoten')).status, 200);
  const { body: mine } = await here.ask<Account>('GET', 'account');
  t.equal(
    (await here.ask('DELETE', `account/passkeys/${mine.passkeys[0]?.id}`)).code,
    'conflict',
    'the last factor',
  );
  t.equal((await here.ask('DELETE', 'session')).status, 204);
  t.equal((await here.ask('GET', 'account')).code, 'unauthorized');
});

t.test(
  'F43 who lost everything comes back by a link of another owner, and what they had is worth nothing',
  async (t) => {
    const owner = await signedInAs(fixture, 'owner', 'helper');
    const lost = await signedInAs(fixture, 'operator', 'lost');
    const { body } = await owner.ask<{ admins: Admin[] }>('GET', 'admins');
    const id = body.admins.find(({ login }) => login === 'lost')?.id;
    const { body: link } = await owner.ask<AdminLink>('POST', `admins/${id}/recovery`);
    const anew = new ConsoleBrowser(fixture);
    const password = 'eleven slow barges near Ghent';
    const { body: session } = await anew.ask<AdminSession>('POST', 'links/use', {
      token: link.token,
      password,
    });
    t.match(session, {
      stage: 'enrol',
      admin: { login: 'lost', role: 'operator' },
      factors: { passkeys: 0 },
    });
    t.equal((await lost.ask('GET', 'account')).code, 'unauthorized', 'the old session');
    t.match(await anew.enrol(), { stage: 'full' });
    t.equal((await lost.signIn('lost')).code, 'unauthorized', 'the old password');
    await lost.signIn('lost', password);
    t.equal((await lost.prove()).code, 'unauthorized', 'the old passkey');
  },
);

t.test('F41 a signature stands for one order and can be checked by anybody', async (t) => {
  const officer = await signedInAs(fixture, 'legal_officer', 'officer');
  const seat = await fixture.admins.seat(officer.cookie?.split('=')[1]);
  if (seat === undefined) return t.fail('signed in');
  const visitor = { address: '127.0.0.1', agent: '', rp: { origin: CONSOLE_ORIGIN, id: 'localhost' } };
  const order = createHash('sha256').update('an order').digest('hex');
  const challenge = await fixture.admins.approvalOptions(seat, order, visitor);
  const answer = officer.authenticator.get(challenge, CONSOLE_ORIGIN);
  const body = { challengeId: challenge.challengeId, answer };
  const proof = await fixture.admins.approve(seat, order, body, visitor);
  const { challenge: signed } = JSON.parse(Buffer.from(proof.clientDataJSON, 'base64url').toString());
  const expected = createHash('sha256')
    .update(`verbatim/approve/v1\n${order}\n`)
    .update(Buffer.from(proof.nonce, 'base64url'))
    .digest('base64url');
  t.equal(signed, expected, 'the challenge is made of the order');
  const cose = Buffer.from(proof.publicKey, 'base64url');
  const key = createPublicKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      x: cose.subarray(10, 42).toString('base64url'),
      y: cose.subarray(45, 77).toString('base64url'),
    },
  });
  const data = Buffer.concat([
    Buffer.from(proof.authenticatorData, 'base64url'),
    createHash('sha256').update(Buffer.from(proof.clientDataJSON, 'base64url')).digest(),
  ]);
  t.ok(
    verify('sha256', data, key, Buffer.from(proof.signature, 'base64url')),
    'the signature is the passkey’s',
  );
  await t.rejects(fixture.admins.approve(seat, order, body, visitor), { code: 'unauthorized' }, 'replayed');
  const other = await fixture.admins.approvalOptions(seat, order, visitor);
  const otherBody = {
    challengeId: other.challengeId,
    answer: officer.authenticator.get(other, CONSOLE_ORIGIN),
  };
  await t.rejects(fixture.admins.approve(seat, 'another order', otherBody, visitor), {
    code: 'unauthorized',
  });
  const stepUp = await officer.ask('POST', 'session/passkey', otherBody);
  t.equal(stepUp.code, 'unauthorized', 'and it is not a sign-in');
});

t.test(
  'F43 what admins do is in the log before it is done, and nothing is done without the log',
  async (t) => {
    const owner = await signedInAs(fixture, 'owner', 'audited');
    const ledger = fixture.evidence.accessLedger;
    const acts = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const index of ledger.placesOf('console'))
        found.push(String(parseEntry(await ledger.entry(index)).d.act));
      return found;
    };
    await owner.ask('POST', 'admins/invites', { role: 'viewer' });
    t.strictSame((await acts()).slice(0, 4), [
      'admin.invite',
      'admin.sign-in',
      'admin.passkey.add',
      'admin.join',
    ]);
    const text = JSON.stringify(
      await Promise.all(
        [...ledger.placesOf('console')].map(async (index) => String(await ledger.entry(index))),
      ),
    );
    for (const word of ['audited', GOOD_PASSWORD, 'helper'])
      t.notMatch(text, word, 'no names and no secrets in it');

    await ledger.close();
    const before = await db.sql`select count(*) from admin_links`;
    t.equal((await owner.ask('POST', 'admins/invites', { role: 'viewer' })).code, 'unavailable');
    t.strictSame(await db.sql`select count(*) from admin_links`, before);
    t.equal((await owner.prove()).code, 'unavailable', 'no proof either');
  },
);
