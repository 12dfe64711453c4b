import './own-network.ts';
import t from 'tap';
import {
  begin,
  bothClose,
  ended,
  endsPastGrace,
  endsWithReload,
  goesOn,
  isOffTheLine,
  isOnline,
  outlivesCuts,
  outlivesCutsAtTheStart,
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
  await outlivesCutsAtTheStart(t, alice, bob);

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

  await t.test('F16 a tab that crashes ends its side', async (t) => {
    await start('voice');
    await alice.tab.crash?.();
    // At once, where the browser says that the page is gone, and after the grace period where nothing does.
    const { reason } = await bob.ends();
    t.ok(['hangup', 'connection_lost'].includes(reason ?? ''), `the other side is told: ${reason}`);
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
      t.same(await other.ends(), ended('hangup'), `F16 ${other.as} is told that ${who.as} went`);
      await who.tab.back();
      await who.online();
    }
    await start('voice');
    await alice.hangup();
    await bob.ends();
  });

  await t.test('F16 a tab that is closed ends its side, without a wait for the grace period', async (t) => {
    for (let times = 0; times < 3; times += 1) {
      await start('voice');
      await bob.tab.close();
      t.same(await alice.ends(), ended('hangup'), 'Firefox says goodbye');
      await bob.close();
      bob = await theatre.party('bob', 'Firefox');
    }
    await start('voice');
    await alice.tab.close();
    t.same(await bob.ends(), ended('hangup'), 'and so does Chromium');
    await alice.close();
    alice = await theatre.party('alice', 'Chromium');
  });

  await bothClose(t, { theatre, alice, bob, seat: 'Chromium' });
});
