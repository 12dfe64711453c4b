import { createHash, randomBytes } from 'node:crypto';
import t from 'tap';
import {
  addDisclosure,
  findApp,
  findAppKey,
  findDisclosure,
  insertApp,
  insertAppKey,
  listAppKeys,
  listApps,
  listDisclosures,
  revokeAppKey,
  setAppOrigins,
  setAppRecording,
} from './apps.ts';
import { testDatabase } from './fixture.ts';
import { openSealedSecret, sealSecret } from './sealed-secret.ts';

/** Made with another implementation, Python's `cryptography`; see the test that opens it. */
const VECTOR =
  '010707070707070707070707077b02cf2e1b76fa80b1f233e2f92591e88133eb53e9d7f57c8dcf7e8961bd407e532fd98aa0e285405f107e3dac4d7bee81';

const db = await testDatabase(t);

t.test(
  'F28 an app is created with recording off unless asked for, and the setting can be changed',
  async (t) => {
    const app = await insertApp(db, { id: 'one', name: 'One', recordingEnabled: false });
    t.match(app, {
      id: 'one',
      name: 'One',
      recordingEnabled: false,
      ringTimeoutMs: 45_000,
      allowedOrigins: [],
    });
    t.equal(
      await insertApp(db, { id: 'one', name: 'Again', recordingEnabled: true }),
      undefined,
      'the id is taken',
    );

    t.equal(await setAppRecording(db, 'one', true), true);
    t.equal((await findApp(db, 'one'))?.recordingEnabled, true);
    t.equal((await findApp(db, 'one'))?.name, 'One');
    t.equal(await setAppRecording(db, 'none', true), false);
    t.equal(await findApp(db, 'none'), undefined);

    await insertApp(db, { id: 'another', name: 'Another', recordingEnabled: true });
    t.strictSame(
      (await listApps(db)).map(({ id }) => id),
      ['another', 'one'],
    );
  },
);

t.test('the origins of an app are replaced as a whole', async (t) => {
  const origins = ['https://a.example', "https://b.example/'quoted'"];
  t.equal(await setAppOrigins(db, 'one', origins), true);
  t.strictSame((await findApp(db, 'one'))?.allowedOrigins, origins);
  await setAppOrigins(db, 'one', []);
  t.strictSame((await findApp(db, 'one'))?.allowedOrigins, []);
});

t.test('keys are stored as they are given, and a revoked one stays revoked at its first time', async (t) => {
  const secretSealed = randomBytes(60);
  const publicJwk = { kty: 'OKP', crv: 'Ed25519', x: 'abc' };
  await insertAppKey(db, { kid: 'k1', appId: 'one', algorithm: 'HS256', secretSealed, publicJwk: null });
  await insertAppKey(db, { kid: 'k2', appId: 'one', algorithm: 'EdDSA', secretSealed: null, publicJwk });
  t.match(await findAppKey(db, 'k1'), { appId: 'one', algorithm: 'HS256', secretSealed, revokedAt: null });
  t.strictSame((await findAppKey(db, 'k2'))?.publicJwk, publicJwk);
  t.equal(await findAppKey(db, 'k3'), undefined);

  t.equal(await revokeAppKey(db, 'another', 'k1'), false, 'not through another app');
  t.equal(await revokeAppKey(db, 'one', 'k1'), true);
  const first = (await findAppKey(db, 'k1'))?.revokedAt;
  t.type(first, Date);
  await revokeAppKey(db, 'one', 'k1');
  t.strictSame((await findAppKey(db, 'k1'))?.revokedAt, first);
  t.strictSame(
    (await listAppKeys(db, 'one')).map(({ kid }) => kid),
    ['k1', 'k2'],
  );
});

t.test(
  'the schema refuses a key whose material does not fit its algorithm, and a key of no app',
  async (t) => {
    const row = { kid: 'bad', appId: 'one', secretSealed: null, publicJwk: null };
    await t.rejects(insertAppKey(db, { ...row, algorithm: 'HS256' }), { code: '23514' });
    await t.rejects(insertAppKey(db, { ...row, algorithm: 'ES256' }), { code: '23514' });
    await t.rejects(
      insertAppKey(db, { ...row, appId: 'none', algorithm: 'HS256', secretSealed: randomBytes(60) }),
      { code: '23503' },
    );
  },
);

t.test('F35 a disclosure text gets a new version when it changes, and old versions stay', async (t) => {
  const first = await addDisclosure(db, { appId: 'one', locale: 'en', body: 'We record this call.' });
  t.match(first, { version: 1, sha256: createHash('sha256').update('We record this call.').digest('hex') });
  t.equal((await addDisclosure(db, { appId: 'one', locale: 'en', body: 'We record this call.' })).version, 1);
  await addDisclosure(db, { appId: 'one', locale: 'de', body: 'Wir zeichnen auf.' });
  t.match(await addDisclosure(db, { appId: 'one', locale: 'en', body: 'It is recorded.' }), { version: 2 });

  t.match(await findDisclosure(db, 'one', 'en'), { version: 2, body: 'It is recorded.' });
  t.equal(await findDisclosure(db, 'one', 'fr'), undefined);
  t.strictSame(
    (await listDisclosures(db, 'one')).map(({ locale, version }) => `${locale}${version}`),
    ['de1', 'en2'],
  );
  const [{ count } = { count: 0 }] = await db.sql<{ count: number }[]>`select count(*) from disclosures`;
  t.equal(count, 3);
});

t.test('disclosure texts that come at the same time get different versions', async (t) => {
  const bodies = Array.from({ length: 5 }, (_, index) => `text ${index}`);
  const rows = await Promise.all(
    bodies.map((body) => addDisclosure(db, { appId: 'another', locale: 'en', body })),
  );
  t.strictSame(rows.map(({ version }) => version).sort(), [1, 2, 3, 4, 5]);
});

t.test('a sealed secret opens with its key and its key id, and with nothing else', async (t) => {
  const sealKey = randomBytes(32);
  const secret = randomBytes(43);
  const sealed = sealSecret(sealKey, 'k1', secret);
  t.strictSame(openSealedSecret(sealKey, 'k1', sealed), secret);
  t.notOk(sealed.includes(secret));
  t.notOk(sealed.equals(sealSecret(sealKey, 'k1', secret)), 'a fresh nonce each time');

  const refused = { code: 'corrupt' };
  t.throws(() => openSealedSecret(sealKey, 'k2', sealed), refused, 'another key id');
  t.throws(() => openSealedSecret(randomBytes(32), 'k1', sealed), refused, 'another seal key');
  for (let index = 0; index < sealed.length; index++) {
    const damaged = Buffer.from(sealed);
    damaged[index] = (damaged[index] ?? 0) ^ 1;
    t.throws(() => openSealedSecret(sealKey, 'k1', damaged), refused, `bit changed in byte ${index}`);
  }
  for (const length of [0, 1, 13, 29, sealed.length - 1]) {
    t.throws(
      () => openSealedSecret(sealKey, 'k1', sealed.subarray(0, length)),
      refused,
      `cut to ${length} bytes`,
    );
  }
});

t.test('a sealed secret of a known layout opens (version, nonce, ciphertext, tag)', async (t) => {
  // Key 00 01 .. 1f, nonce 12 times 07, key id "vk_test".
  const key = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
  const sealed = Buffer.from(VECTOR, 'hex');
  t.equal(openSealedSecret(key, 'vk_test', sealed).toString(), 'thirty-two bytes of a test secret');
});
