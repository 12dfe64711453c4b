import { randomBytes } from 'node:crypto';
import t from 'tap';
import { DEMO_LIMITS } from '#protocol';
import { openDemo } from '../auth/index.ts';
import { testDatabase } from '../db/fixture.ts';
import { DemoMessageLog } from './demo-messages.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);

t.test('messages of the demo come live to the members of their chat, and to nobody else', async (t) => {
  const sealKey = randomBytes(32);
  const demo = await openDemo({ db, sealKey });
  // The fixture has a seal key of its own, under which the demo's key has to be.
  const fixture = await httpFixture(t, db, { demo });
  const { url, http } = fixture;
  const own = await openDemo({ db, sealKey: fixture.sealKey });
  const alice = await own.token('alice');
  const bob = await own.token('bob');
  const host = new URL(url).host;
  const read = async (token: string, after: number) => {
    const answer = await fetch(`${url}/demo/messages?after=${after}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    return {
      status: answer.status,
      ...((await answer.json()) as { messages: { id: number; text: string }[] }),
    };
  };
  const write = (token: string, payload: object, headers = {}) =>
    http.inject({
      method: 'POST',
      url: '/demo/messages',
      headers: { authorization: `Bearer ${token}`, host, ...headers },
      payload,
    });
  // Waits at the server until there is one.
  const waiting = read(bob.token, 0);
  const sent = await write(alice.token, { chatId: alice.chatId, text: 'Hello' });
  t.equal(sent.statusCode, 201);
  t.match(sent.json(), { userId: 'alice', name: 'Alice', text: 'Hello' });
  const first = await waiting;
  t.match(first.messages, [{ text: 'Hello' }]);
  t.match((await read(alice.token, 0)).messages, [{ text: 'Hello' }], 'both see it');
  await write(bob.token, { chatId: alice.room.chatId, text: 'To the room' });
  t.match(
    (await read(alice.token, first.messages[0]?.id ?? 0)).messages,
    [{ text: 'To the room' }],
    'what came after it, and nothing twice',
  );
  t.equal((await write(alice.token, { chatId: 'elsewhere', text: 'x' })).statusCode, 404);
  t.equal((await write(alice.token, { chatId: alice.chatId, text: '' })).statusCode, 400);
  t.equal(
    (await write(alice.token, { chatId: alice.chatId, text: 'x'.repeat(DEMO_LIMITS.textLength + 1) }))
      .statusCode,
    400,
  );
  t.equal((await write('x.y.z', { chatId: alice.chatId, text: 'x' })).statusCode, 401);
  t.equal(
    (await write(alice.token, { chatId: alice.chatId, text: 'x' }, { 'x-forwarded-for': '192.0.2.7' }))
      .statusCode,
    403,
    'only on this machine',
  );
  const acme = await fixture.addApp('acme');
  const foreign = await http.inject({
    url: '/demo/messages?after=0',
    headers: { authorization: await acme.user('alice'), host },
  });
  t.equal(foreign.statusCode, 404, 'for users of other apps there is no demo');
});

t.test('the log keeps so many messages, wakes who waits, and answers everybody when it closes', async (t) => {
  const log = new DemoMessageLog();
  const message = { chatId: 'c', userId: 'u', name: 'U', text: 'x' };
  for (let i = 0; i <= DEMO_LIMITS.messages; i += 1) log.add(message);
  const never = new AbortController().signal;
  const all = await log.after(0, never);
  t.equal(all.length, DEMO_LIMITS.messages);
  const newest = all.at(-1)?.id ?? 0;
  t.strictSame(await log.after(newest, never, 1), [], 'nothing came in that time');
  const gone = new AbortController();
  const left = log.after(newest, gone.signal);
  gone.abort();
  t.strictSame(await left, [], 'the page has gone');
  const waiting = Array.from({ length: DEMO_LIMITS.waiting }, () => log.after(newest, never));
  await t.rejects(log.after(newest, never), { code: 'unavailable' }, 'so many may wait');
  log.close();
  t.strictSame((await Promise.all(waiting)).flat(), []);
  t.strictSame(await log.after(newest, never), [], 'and nobody waits at a closed log');
});
