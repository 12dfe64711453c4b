import { randomBytes } from 'node:crypto';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { findApp, findChat, findDisclosure, listAppKeys, setAppRecording } from '../db/index.ts';
import { createAuthenticator } from './authenticator.ts';
import { DEMO_APP_ID, DEMO_CHAT_ID, DEMO_ROOM_ID, openDemo } from './demo.ts';
import { KEY_RING_LIMITS } from './key-ring.ts';

const db = await testDatabase(t);
const sealKey = randomBytes(32);

t.test('the demo has two people in one direct chat, secure calls on and a disclosure text', async (t) => {
  const demo = await openDemo({ db, sealKey });
  const auth = createAuthenticator({ db, sealKey });
  for (const as of ['alice', 'bob'] as const) {
    const { token, expiresAt, ...rest } = await demo.token(as);
    const other = as === 'alice' ? { userId: 'bob', name: 'Bob' } : { userId: 'alice', name: 'Alice' };
    t.strictSame(rest.peer, other);
    t.equal(rest.chatId, DEMO_CHAT_ID);
    const identity = await auth.verifyUserToken(token);
    t.match(identity, { appId: DEMO_APP_ID, userId: as, name: rest.name });
    t.equal(new Date(identity.expiresAtMs).toISOString(), expiresAt);
  }
  t.match(await findChat(db, DEMO_APP_ID, DEMO_CHAT_ID), { kind: 'direct', members: ['alice', 'bob'] });
  t.match(await findChat(db, DEMO_APP_ID, DEMO_ROOM_ID), {
    kind: 'group',
    members: ['alice', 'bob', 'carol'],
  });
  t.match(await findApp(db, DEMO_APP_ID), { recordingEnabled: true });
  t.match(await findDisclosure(db, DEMO_APP_ID, 'en'), { version: 1, body: /recorded/ });
});

t.test('the tokens of an earlier start are refused after the next one', async (t) => {
  const clock = { nowMs: Date.now() };
  const auth = createAuthenticator({ db, sealKey, nowMs: () => clock.nowMs });
  const before = await (await openDemo({ db, sealKey })).token('alice');
  t.match(await auth.verifyUserToken(before.token), { userId: 'alice' });
  await setAppRecording(db, DEMO_APP_ID, false);
  const after = await openDemo({ db, sealKey });
  clock.nowMs += KEY_RING_LIMITS.freshMs;
  await t.rejects(auth.verifyUserToken(before.token), { code: 'unauthorized' });
  t.match(await auth.verifyUserToken((await after.token('alice')).token), { userId: 'alice' });
  t.equal((await listAppKeys(db, DEMO_APP_ID)).filter(({ revokedAt }) => revokedAt === null).length, 1);
  t.match(await findDisclosure(db, DEMO_APP_ID, 'en'), { version: 1 }, 'the text is not put again');
});

t.test('a server with another seal key opens none of the stored secrets', async (t) => {
  const { token } = await (await openDemo({ db, sealKey })).token('alice');
  const other = createAuthenticator({ db, sealKey: randomBytes(32) });
  await t.rejects(other.verifyUserToken(token), { code: 'corrupt' });
});
