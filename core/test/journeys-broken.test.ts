import './own-network.ts';
import t from 'tap';
import {
  begin,
  bothClose,
  endsPastGrace,
  endsWithReload,
  goesOn,
  isOffTheLine,
  isOnline,
  outlivesCuts,
} from './journey-acts.ts';
import { whyNot } from './own-network.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(230_000);
const GRACE_MS = 8_000;

t.test('F16 F23 what breaks in mid-call', { skip: whyNot() ?? false }, async (t) => {
  const theatre = await openTheatre({ VERBATIM_CALL_GRACE_MS: String(GRACE_MS) });
  t.teardown(() => theatre.close());
  let alice = await theatre.party('alice', 'Chromium');
  let bob = await theatre.party('bob', 'Firefox');
  const start = (mode: 'voice' | 'secure') => begin(alice, bob, mode);

  await outlivesCuts(t, alice, bob);

  await t.test('F16 a network that swallows everything for a while and says nothing', async (t) => {
    await start('voice');
    await alice.forget();
    alice.front.freeze();
    // The page asks by itself whether the server is there.
    await isOffTheLine(alice);
    alice.front.mend();
    await isOnline(alice);
    t.ok(await goesOn(alice, bob), 'the call goes on');
    await alice.hangup();
    t.same(await bob.ends(), { reason: 'hangup', error: undefined });
  });

  await endsPastGrace(t, alice, bob, ['secure']);
  await endsWithReload(t, alice, bob, ['voice']);

  await t.test('F16 a tab that crashes ends its side after the grace period', async (t) => {
    await start('voice');
    await alice.tab.crash?.();
    t.match(await bob.ends(), { reason: 'connection_lost' });
    await alice.close();
    alice = await theatre.party('alice', 'Chromium');
  });

  await t.test('F16 a page that is left in mid-call and gone back to can call again', async (t) => {
    for (const [who, other] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      await start('voice');
      await who.tab.open(`${who.front.url}/journey/elsewhere`);
      t.ok((await other.ends()).reason, `F16 ${other.as} is told that ${who.as} went`);
      await who.tab.back();
      await who.online();
    }
    await start('voice');
    await alice.hangup();
    await bob.ends();
  });

  await t.test('F16 a tab of Firefox that is closed ends its side', async (t) => {
    await start('voice');
    await bob.tab.close();
    // By its goodbye, which Firefox does not always let through, or after the grace period.
    const { reason } = await alice.ends();
    t.ok(['hangup', 'connection_lost'].includes(reason ?? ''), `the other side is told: ${reason}`);
    await bob.close();
    bob = await theatre.party('bob', 'Firefox');
  });

  await bothClose(t, { theatre, alice, bob, seat: 'Chromium' });
});
