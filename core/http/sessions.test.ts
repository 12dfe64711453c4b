import t from 'tap';
import { SESSION_LIMITS, Sessions } from '../auth/index.ts';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';
import { playbackScene } from './playback-fixture.ts';

const db = await testDatabase(t);

t.test('F25 signing out ends the session, its addresses, and no others', async (t) => {
  const fixture = await httpFixture(t, db);
  const { app, grant } = await playbackScene(fixture);
  const first = await grant('alice');
  const second = await grant('alice', first.cookie);
  const phone = await grant('alice');
  const signOut = await fetch(`${fixture.url}/v1/session`, {
    method: 'DELETE',
    headers: { authorization: await app.user('alice'), cookie: first.cookie },
  });
  t.equal(signOut.status, 204);
  const status = async ({ url, cookie }: { url: string; cookie: string }) =>
    (await fetch(fixture.url + url, { method: 'HEAD', headers: { cookie } })).status;
  t.equal(await status(first), 403);
  t.equal(await status(second), 403);
  t.equal(await status(phone), 200, 'another browser is not signed out');
});

t.test('F25 nobody signs out another user with their cookie', async (t) => {
  const fixture = await httpFixture(t, db);
  const { app, grant } = await playbackScene(fixture);
  const alice = await grant('alice');
  await fetch(`${fixture.url}/v1/session`, {
    method: 'DELETE',
    headers: { authorization: await app.user('mallory'), cookie: alice.cookie },
  });
  t.equal(
    (await fetch(fixture.url + alice.url, { method: 'HEAD', headers: { cookie: alice.cookie } })).status,
    200,
  );
});

t.test('sessions and grants that have been over for a day are deleted, living ones stay', async (t) => {
  const fixture = await httpFixture(t, db);
  const { grant } = await playbackScene(fixture);
  const sessions = new Sessions(db, () => fixture.clock.nowMs);
  const old = await grant('alice');
  const rows = async (grantId: string) => (await db.sql`select 1 from grants where id = ${grantId}`).length;
  fixture.clock.nowMs += SESSION_LIMITS.lifetimeMs + SESSION_LIMITS.keepMs;
  const living = await grant('bob');
  await sessions.sweep();
  t.equal(await rows(old.grantId), 1, 'not before the day is over');
  fixture.clock.nowMs += 1_000;
  t.ok((await sessions.sweep()) >= 1);
  t.equal(await rows(old.grantId), 0);
  t.equal(await rows(living.grantId), 1);
  t.equal(
    (await fetch(fixture.url + living.url, { method: 'HEAD', headers: { cookie: living.cookie } })).status,
    200,
  );
  t.equal(await sessions.sweep(), 0);
});

t.test('two people who use one browser keep their own sessions', async (t) => {
  const fixture = await httpFixture(t, db);
  const { grant } = await playbackScene(fixture);
  const alice = await grant('alice');
  const bob = await grant('bob', alice.cookie);
  const aliceAgain = await grant('alice', bob.cookie);
  t.equal(bob.cookie.split('.').length, 2);
  t.equal(aliceAgain.cookie, bob.cookie, 'known sessions are used again');
  for (const { url } of [alice, bob, aliceAgain]) {
    t.equal(
      (await fetch(fixture.url + url, { method: 'HEAD', headers: { cookie: bob.cookie } })).status,
      200,
    );
  }
  t.equal(
    (await fetch(fixture.url + bob.url, { method: 'HEAD', headers: { cookie: alice.cookie } })).status,
    403,
  );
});
