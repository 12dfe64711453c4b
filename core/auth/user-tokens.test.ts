import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { CryptoKey, JWK } from 'jose';
import { exportSPKI, importJWK, importPKCS8, SignJWT } from 'jose';
import t from 'tap';
import { VerbatimError } from '#protocol';
import type { AppKeyRow } from '../db/index.ts';
import { createPublicKey, createSecretKey } from './app-keys.ts';
import { KeyRing } from './key-ring.ts';
import { authenticateApp, signServerToken } from './server-tokens.ts';
import { TOKEN_LIMITS } from './token-refusal.ts';
import { signUserToken, verifyUserToken } from './user-tokens.ts';

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const NOW_S = NOW_MS / 1000;
const HOUR_S = 3_600;
const sealKey = randomBytes(32);

/** Two apps: the first with an HS256, an EdDSA and an ES256 key, the second with an HS256 key. */
async function keysOfTwoApps() {
  const secret = createSecretKey('one', sealKey);
  const foreign = createSecretKey('two', sealKey);
  const ed = generateKeyPairSync('ed25519');
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const edKey = createPublicKey('one', ed.publicKey.export({ format: 'jwk' }) as JWK);
  const ecKey = createPublicKey('one', ec.publicKey.export({ format: 'jwk' }) as JWK);
  const rows = [secret.row, foreign.row, edKey.row, ecKey.row];
  const revoked = new Set<string>();
  const find = async (kid: string): Promise<AppKeyRow | undefined> => {
    const row = rows.find((one) => one.kid === kid);
    return (
      row && {
        ...row,
        createdAt: new Date(0),
        revokedAt: revoked.has(kid) ? new Date(0) : null,
        lastUsedAt: null,
      }
    );
  };
  const pem = (key: typeof ed.privateKey) => key.export({ format: 'pem', type: 'pkcs8' }).toString();
  return {
    ring: new KeyRing({ find, sealKey, nowMs: () => NOW_MS }),
    revoked,
    hs: { kid: secret.row.kid, algorithm: 'HS256' as const, material: secret.secret },
    foreign: { kid: foreign.row.kid, algorithm: 'HS256' as const, material: foreign.secret },
    ed: {
      kid: edKey.row.kid,
      algorithm: 'EdDSA' as const,
      material: await importPKCS8(pem(ed.privateKey), 'EdDSA'),
    },
    ec: {
      kid: ecKey.row.kid,
      algorithm: 'ES256' as const,
      material: await importPKCS8(pem(ec.privateKey), 'ES256'),
    },
    edPublicJwk: edKey.row.publicJwk as unknown as JWK,
  };
}

const bytesOf = (secret: string) => Buffer.from(secret, 'utf8');

/** A token by hand, so that what no library would make can be made. */
function handMade(header: object, payload: object, secret: string | Buffer): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part(header)}.${part(payload)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

t.test('F50 a user token of each kind of key says who the user is', async (t) => {
  const keys = await keysOfTwoApps();
  for (const key of [keys.hs, keys.ed, keys.ec]) {
    const user = { userId: 'alice', name: 'Alice', role: 'staff', picture: 'https://cdn.example/a.png' };
    const token = await signUserToken(key, user, { nowMs: NOW_MS, lifetimeMs: HOUR_S * 1000 });
    t.same(await verifyUserToken(keys.ring, token, NOW_MS), {
      appId: 'one',
      ...user,
      expiresAtMs: NOW_MS + HOUR_S * 1000,
      kid: key.kid,
    });
  }
});

t.test('a token without a name speaks for a user who is called by their id', async (t) => {
  const { ring, hs } = await keysOfTwoApps();
  const token = await signUserToken(hs, { userId: 'bob' }, { nowMs: NOW_MS, lifetimeMs: 60_000 });
  const identity = await verifyUserToken(ring, token, NOW_MS);
  t.equal(identity.name, 'bob');
  t.notOk('role' in identity);
});

t.test('a signature by another JWT implementation of the same algorithm is accepted', async (t) => {
  const { ring, hs } = await keysOfTwoApps();
  const token = handMade({ alg: 'HS256', kid: hs.kid }, { sub: 'carol', exp: NOW_S + 60 }, hs.material);
  t.match(await verifyUserToken(ring, token, NOW_MS), { userId: 'carol' });
});

t.test('every bad user token is refused, in the same words unless only its time is over', async (t) => {
  const keys = await keysOfTwoApps();
  const { ring, hs, foreign, ed } = keys;
  const good = { sub: 'alice', exp: NOW_S + HOUR_S };
  const header = { alg: 'HS256', typ: 'JWT', kid: hs.kid };
  const signed = (claims: object, head: object = header) => handMade(head, claims, hs.material);
  const goodToken = signed(good);
  const [h = '', p = '', s = ''] = goodToken.split('.');
  const edPem = await exportSPKI(
    (await importJWK(keys.edPublicJwk, 'EdDSA', { extractable: true })) as CryptoKey,
  );
  const expiredCode = 'token_expired';

  const cases: [string, string, string?][] = [
    ['nothing', ''],
    ['no JWT at all', 'abc'],
    ['two parts', `${h}.${p}`],
    ['four parts', `${goodToken}.x`],
    ['five parts (a JWE)', 'a.b.c.d.e'],
    ['characters outside base64url', goodToken.replace('.', '.*')],
    ['a header that is not JSON', `${Buffer.from('nope').toString('base64url')}.${p}.${s}`],
    ['a header that is an array', `${Buffer.from('[]').toString('base64url')}.${p}.${s}`],
    ['alg none with an empty signature', `${Buffer.from('{"alg":"none"}').toString('base64url')}.${p}.`],
    ['alg none with a signature', handMade({ ...header, alg: 'none' }, good, hs.material)],
    ['alg None in capitals', handMade({ ...header, alg: 'NONE' }, good, hs.material)],
    ['no alg', handMade({ kid: hs.kid }, good, hs.material)],
    ['HS512 on an HS256 key', handMade({ ...header, alg: 'HS512' }, good, hs.material)],
    [
      'HMAC with the public key as its secret (algorithm confusion), as PEM',
      handMade({ alg: 'HS256', kid: ed.kid }, good, edPem),
    ],
    [
      'HMAC with the public key as its secret, as JWK',
      handMade({ alg: 'HS256', kid: ed.kid }, good, JSON.stringify(keys.edPublicJwk)),
    ],
    [
      'HMAC that calls itself EdDSA',
      handMade({ alg: 'EdDSA', kid: ed.kid }, good, String(keys.edPublicJwk.x)),
    ],
    ['no kid', handMade({ alg: 'HS256' }, good, hs.material)],
    ['a kid that is a number', handMade({ alg: 'HS256', kid: 7 }, good, hs.material)],
    ['an unknown kid', handMade({ ...header, kid: 'vk_unknown' }, good, hs.material)],
    ['a kid that is a path', handMade({ ...header, kid: '../../dev/null' }, good, '')],
    ['a kid that is SQL', handMade({ ...header, kid: "' or 1=1 --" }, good, hs.material)],
    ['the kid of another app', handMade({ ...header, kid: foreign.kid }, good, hs.material)],
    ['another typ', signed(good, { ...header, typ: 'at+jwt' })],
    ['a typ that is not a word', signed(good, { ...header, typ: 1 })],
    ['an unknown critical header', signed(good, { ...header, crit: ['x'], x: 1 })],
    [
      'a key of its own in the header',
      await new SignJWT(good)
        .setProtectedHeader({ alg: 'EdDSA', kid: 'own', jwk: keys.edPublicJwk })
        .sign(ed.material),
    ],
    [
      'another payload under the same signature',
      `${h}.${Buffer.from(JSON.stringify({ ...good, sub: 'bob' })).toString('base64url')}.${s}`,
    ],
    ['one bit of the signature changed', `${h}.${p}.${flipBit(s)}`],
    ['no signature', `${h}.${p}.`],
    ['no sub', signed({ exp: good.exp })],
    ['an empty sub', signed({ ...good, sub: '' })],
    ['a sub with a line feed', signed({ ...good, sub: 'a\nb' })],
    ['a sub of 129 characters', signed({ ...good, sub: 'a'.repeat(129) })],
    ['a sub that is a number', signed({ ...good, sub: 5 })],
    ['a name with control characters', signed({ ...good, name: 'a\u0007' })],
    ['a picture that is a script', signed({ ...good, picture: 'javascript:alert(1)' })],
    ['a role that is no word', signed({ ...good, role: 'A B' })],
    ['no exp', signed({ sub: 'alice' })],
    ['exp as text', signed({ ...good, exp: String(good.exp) })],
    ['exp more than 24 hours ahead', signed({ ...good, exp: NOW_S + 24 * HOUR_S + 61 })],
    ['exp in the year 300000', signed({ ...good, exp: 1e13 })],
    ['iat in the future', signed({ ...good, iat: NOW_S + 61 })],
    ['nbf in the future', signed({ ...good, nbf: NOW_S + 61 })],
    ['an audience that is not us', signed({ ...good, aud: 'someone-else' })],
    ['the audience of a server token', signed({ ...good, aud: 'verbatim-server' })],
    ['both audiences', signed({ ...good, aud: ['verbatim', 'verbatim-server'] })],
    ['a payload that is not an object', handMade(header, [1], hs.material)],
    ['a token that is too long', signed({ ...good, padding: 'x'.repeat(TOKEN_LIMITS.maxLength) })],
    ['the key and secret of the server API', `${hs.kid}.${hs.material}`],
    ['expired now', signed({ ...good, exp: NOW_S }), expiredCode],
    ['expired a second ago', signed({ ...good, exp: NOW_S - 1 }), expiredCode],
    ['expired long ago', signed({ ...good, exp: NOW_S - HOUR_S }), expiredCode],
    ['expired, and by another key', handMade(header, { ...good, exp: NOW_S - HOUR_S }, foreign.material)],
  ];
  for (const [what, token, code = 'unauthorized'] of cases) {
    const error = await verifyUserToken(ring, token, NOW_MS).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    t.ok(error instanceof VerbatimError, what);
    if (!(error instanceof VerbatimError)) continue;
    t.equal(error.code, code, what);
    t.equal(error.message, new VerbatimError(error.code).message, `${what}: says nothing more`);
    // A refusal must not have changed what the ring knows.
    t.match(await verifyUserToken(ring, goodToken, NOW_MS), { userId: 'alice' }, `after ${what}`);
  }
});

t.test('clocks of app and server may differ by a minute', async (t) => {
  const { ring, hs } = await keysOfTwoApps();
  const token = handMade(
    { alg: 'HS256', kid: hs.kid },
    { sub: 'a', iat: NOW_S + 59, nbf: NOW_S + 59, exp: NOW_S + 59 + 24 * HOUR_S },
    bytesOf(hs.material),
  );
  t.match(await verifyUserToken(ring, token, NOW_MS), { userId: 'a' });
});

t.test('F50 the server API takes kid and secret, and a signed token of an asymmetric key', async (t) => {
  const { ring, hs, ed, ec } = await keysOfTwoApps();
  t.same(await authenticateApp(ring, `Bearer ${hs.kid}.${hs.material}`, NOW_MS), {
    appId: 'one',
    kid: hs.kid,
  });
  for (const key of [ed, ec]) {
    const token = await signServerToken(key, { nowMs: NOW_MS, lifetimeMs: 60_000 });
    t.same(await authenticateApp(ring, `Bearer ${token}`, NOW_MS), { appId: 'one', kid: key.kid });
  }
});

t.test('every bad credential of a server is refused', async (t) => {
  const { ring, hs, ed, foreign } = await keysOfTwoApps();
  const good = `Bearer ${hs.kid}.${hs.material}`;
  const server = (lifetimeMs: number, nowMs = NOW_MS) => signServerToken(ed, { nowMs, lifetimeMs });
  const cases: [string, string | undefined, string?][] = [
    ['no header', undefined],
    ['an empty header', ''],
    ['another scheme', `Basic ${hs.kid}.${hs.material}`],
    ['no token', 'Bearer '],
    ['a wrong secret', `Bearer ${hs.kid}.${'x'.repeat(43)}`],
    ['the secret of another app', `Bearer ${hs.kid}.${foreign.material}`],
    ['a secret that is too short', `Bearer ${hs.kid}.${hs.material.slice(0, -1)}`],
    ['a secret with more behind it', `Bearer ${hs.kid}.${hs.material}x`],
    ['an unknown kid', `Bearer vk_none.${hs.material}`],
    ['a kid and secret of a signing key', `Bearer ${ed.kid}.${hs.material}`],
    ['two credentials', `${good}, ${good}`],
    ['a huge header', `Bearer ${'a'.repeat(20_000)}`],
    [
      'a user token',
      `Bearer ${await signUserToken(hs, { userId: 'alice' }, { nowMs: NOW_MS, lifetimeMs: 60_000 })}`,
    ],
    [
      'a user token of a signing key',
      `Bearer ${await signUserToken(ed, { userId: 'alice' }, { nowMs: NOW_MS, lifetimeMs: 60_000 })}`,
    ],
    [
      'a server token by an HS256 key',
      `Bearer ${handMade({ alg: 'HS256', kid: hs.kid }, { aud: 'verbatim-server', exp: NOW_S + 60 }, hs.material)}`,
    ],
    ['a server token that lives too long', `Bearer ${await server(3_600_000)}`],
    ['a server token of the future', `Bearer ${await server(60_000, NOW_MS + 300_000)}`],
    ['an expired server token', `Bearer ${await server(60_000, NOW_MS - 120_000)}`, 'token_expired'],
  ];
  for (const [what, headerValue, code = 'unauthorized'] of cases) {
    await t.rejects(
      authenticateApp(ring, headerValue, NOW_MS),
      { code, message: new VerbatimError(code as 'unauthorized').message },
      what,
    );
    t.match(await authenticateApp(ring, good, NOW_MS), { appId: 'one' }, `after ${what}`);
  }
});

t.test('a server token never passes for a user', async (t) => {
  const { ring, ed } = await keysOfTwoApps();
  const token = await new SignJWT({ sub: 'alice' })
    .setProtectedHeader({ alg: 'EdDSA', kid: ed.kid })
    .setAudience('verbatim-server')
    .setExpirationTime(NOW_S + 60)
    .sign(ed.material);
  await t.rejects(verifyUserToken(ring, token, NOW_MS), { code: 'unauthorized' });
  t.match(await authenticateApp(ring, `Bearer ${token}`, NOW_MS), { appId: 'one' });
});

function flipBit(text: string): string {
  const bytes = Buffer.from(text, 'base64url');
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  return bytes.toString('base64url');
}
