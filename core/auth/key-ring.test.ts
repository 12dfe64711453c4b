import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { JWK } from 'jose';
import t from 'tap';
import type { AppKeyRow } from '../db/index.ts';
import { createPublicKey, createSecretKey } from './app-keys.ts';
import { KEY_RING_LIMITS, KeyRing } from './key-ring.ts';

const sealKey = randomBytes(32);

function ringOf(rows: AppKeyRow[]) {
  const clock = { nowMs: 1_000_000 };
  const asked: string[] = [];
  const find = async (kid: string) => {
    asked.push(kid);
    return rows.find((row) => row.kid === kid);
  };
  return { ring: new KeyRing({ find, sealKey, nowMs: () => clock.nowMs }), clock, asked };
}

function rowOf(appId = 'one'): AppKeyRow {
  return {
    ...createSecretKey(appId, sealKey).row,
    createdAt: new Date(0),
    revokedAt: null,
    lastUsedAt: null,
  };
}

t.test('a revoked key is refused within two seconds', async (t) => {
  const row = rowOf();
  const { ring, clock, asked } = ringOf([row]);
  t.match(await ring.get(row.kid), { appId: 'one' });
  row.revokedAt = new Date();
  clock.nowMs += KEY_RING_LIMITS.freshMs - 1;
  t.match(await ring.get(row.kid), { appId: 'one' }, 'still from memory');
  t.equal(asked.length, 1);
  clock.nowMs += 1;
  t.equal(await ring.get(row.kid), undefined);
  t.ok(KEY_RING_LIMITS.freshMs <= 2_000);
});

t.test('a new key works two seconds after it was asked for in vain', async (t) => {
  const row = rowOf();
  const rows: AppKeyRow[] = [];
  const { ring, clock } = ringOf(rows);
  t.equal(await ring.get(row.kid), undefined);
  rows.push(row);
  clock.nowMs += KEY_RING_LIMITS.freshMs;
  t.match(await ring.get(row.kid), { kid: row.kid });
});

t.test('a clock that steps back does not keep a revoked key alive', async (t) => {
  const row = rowOf();
  const { ring, clock } = ringOf([row]);
  await ring.get(row.kid);
  row.revokedAt = new Date();
  clock.nowMs -= 3_600_000;
  t.equal(await ring.get(row.kid), undefined);
});

t.test('requests that come together ask the database once', async (t) => {
  const row = rowOf();
  const { ring, asked } = ringOf([row]);
  await Promise.all(Array.from({ length: 50 }, () => ring.get(row.kid)));
  t.equal(asked.length, 1);
});

t.test('invented kids are bounded in memory, and malformed ones are not even looked up', async (t) => {
  const { ring, asked } = ringOf([]);
  for (let i = 0; i < KEY_RING_LIMITS.maxEntries + 500; i += 1) await ring.get(`vk_${i}`);
  t.equal(ring.size, KEY_RING_LIMITS.maxEntries);
  const before = asked.length;
  for (const kid of ['', 'a'.repeat(65), 'a.b', "a'b", 'ä']) t.equal(await ring.get(kid), undefined);
  t.equal(asked.length, before);
});

t.test('a database that was away refuses nobody afterwards', async (t) => {
  const row = rowOf();
  let away = true;
  const ring = new KeyRing({
    find: async () => {
      if (away) throw new Error('connection lost');
      return row;
    },
    sealKey,
    nowMs: () => 0,
  });
  await t.rejects(ring.get(row.kid), /connection lost/);
  away = false;
  t.match(await ring.get(row.kid), { appId: 'one' });
});

t.test('a sealed secret opens for its own key id and seal key only', async (t) => {
  const one = rowOf('one');
  const two = rowOf('two');
  const swapped = ringOf([{ ...one, secretSealed: two.secretSealed }]).ring;
  await t.rejects(swapped.get(one.kid), { code: 'corrupt' });
  const changed = Buffer.from(one.secretSealed ?? []);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  await t.rejects(ringOf([{ ...one, secretSealed: changed }]).ring.get(one.kid), { code: 'corrupt' });
  const elsewhere = new KeyRing({ find: async () => one, sealKey: randomBytes(32), nowMs: () => 0 });
  await t.rejects(elsewhere.get(one.kid), { code: 'corrupt' });
});

t.test('a public key whose row names another algorithm is not used', async (t) => {
  const pair = generateKeyPairSync('ed25519');
  const { row } = createPublicKey('one', pair.publicKey.export({ format: 'jwk' }) as JWK);
  const wrong: AppKeyRow = {
    ...row,
    algorithm: 'ES256',
    createdAt: new Date(0),
    revokedAt: null,
    lastUsedAt: null,
  };
  await t.rejects(ringOf([wrong]).ring.get(row.kid), { code: 'corrupt' });
});

t.test('only public Ed25519 and P-256 keys can be registered', async (t) => {
  const ed = generateKeyPairSync('ed25519');
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const jwkOf = (key: typeof ed.publicKey) => key.export({ format: 'jwk' }) as JWK;
  t.throws(() => createPublicKey('one', jwkOf(ed.privateKey)), { code: 'bad_request' }, 'a private key');
  t.throws(() => createPublicKey('one', jwkOf(rsa.publicKey)), { code: 'bad_request' }, 'RSA');
  t.throws(() => createPublicKey('one', jwkOf(p384.publicKey)), { code: 'bad_request' }, 'P-384');
  t.throws(() => createPublicKey('one', { kty: 'oct', k: 'AAAA' }), { code: 'bad_request' }, 'a secret');
  const { row } = createPublicKey('one', { ...jwkOf(ed.publicKey), alg: 'none', use: 'enc', kid: 'evil' });
  t.strictSame(Object.keys(row.publicJwk ?? {}).sort(), ['crv', 'kty', 'x']);
  t.not(row.kid, 'evil');
});
