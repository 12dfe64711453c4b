import './own-network.ts';
import t from 'tap';
import { compareFrames } from '../../scripts/lib/proof.ts';
import { whyNot } from './own-network.ts';
import type { Party } from './party.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(230_000);
const GRACE_MS = 8_000;
/** Packets of 20 ms, five seconds of them: nothing here waits for time alone. */
const FIVE_SECONDS = 250;

t.test('F16 F23 what breaks in mid-call', { skip: whyNot() ?? false }, async (t) => {
  const theatre = await openTheatre({ VERBATIM_CALL_GRACE_MS: String(GRACE_MS) });
  t.teardown(() => theatre.close());
  let alice = await theatre.party('alice', 'Chromium');
  let bob = await theatre.party('bob', 'Firefox');
  const start = async (mode: 'voice' | 'secure'): Promise<string> => {
    await Promise.all([alice.forget(), bob.forget()]);
    await alice.call(mode);
    await bob.accept();
    const state = mode === 'secure' ? 'recording' : 'active';
    const [{ recordingId = '' }] = await Promise.all([alice.sees(state), bob.sees(state)]);
    await Promise.all([alice.hears(50), bob.hears(50)]);
    return recordingId;
  };
  const isOver = async (party: Party) => (await party.seen()).some(({ type }) => type === 'ended');
  const online = (party: Party) =>
    party.waitFor('come back', (seen) => seen.type === 'connection' && seen.state === 'online');
  const offline = (party: Party) =>
    party.waitFor('notice', (seen) => seen.type === 'connection' && seen.state === 'reconnecting');

  for (const mode of ['voice', 'secure'] as const) {
    await t.test(
      `F16 a ${mode} call outlives a signalling socket that is cut for 5 s, on each side`,
      async (t) => {
        await start(mode);
        for (const party of [alice, bob]) {
          await party.forget();
          party.front.cut();
          await offline(party);
          const heard = await Promise.all([alice.hears(FIVE_SECONDS), bob.hears(FIVE_SECONDS)]);
          t.ok(Math.min(...heard) > 0, `they hear each other meanwhile (energy ${heard})`);
          party.front.mend();
          await online(party);
          t.notOk((await isOver(alice)) || (await isOver(bob)), `the call goes on when ${party.as} is back`);
        }
        await alice.mute(true);
        await bob.waitFor('see that the other is muted', ({ type, ...seen }) => {
          return type === 'call' && 'call' in seen && seen.call?.peerMuted === true;
        });
        await bob.hangup();
        t.same(await alice.ends(), { reason: 'hangup', error: undefined }, 'and can be ended as ever');
      },
    );
  }

  await t.test('F16 a network that swallows everything for a while and says nothing', async (t) => {
    await start('voice');
    await alice.forget();
    alice.front.freeze();
    // The page asks by itself whether the server is there.
    await offline(alice);
    alice.front.mend();
    await online(alice);
    t.notOk((await isOver(alice)) || (await isOver(bob)), 'the call goes on');
    await alice.hangup();
    t.same(await bob.ends(), { reason: 'hangup', error: undefined });
  });

  await t.test(
    'F16 F13 a socket that is cut for longer than the grace period ends the call for both',
    async (t) => {
      const recordingId = await start('secure');
      alice.front.cut();
      t.match(await bob.ends(), { reason: 'connection_lost' }, 'the other side is told why');
      t.match(
        await alice.ends(),
        { reason: 'connection_lost' },
        'and so is the one who is away, without the server',
      );
      alice.front.mend();
      t.equal((await bob.finished(recordingId)).state, 'available', 'F23 the recording is there');
      await online(alice);
    },
  );

  await t.test('F16 a page that is loaded again ends its call, and calls go on', async (t) => {
    for (const [who, other] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      await start('voice');
      await who.reload();
      const { reason } = await other.ends();
      t.ok(['hangup', 'connection_lost'].includes(reason ?? ''), `${who.tab.kind} loads again: ${reason}`);
    }
  });

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

  await t.test(
    'F16 a tab of Firefox that is closed says goodbye: the other side is told at once',
    async (t) => {
      await start('voice');
      const since = performance.now();
      await bob.tab.close();
      t.match(await alice.ends(), { reason: 'hangup' }, 'as if it had hung up');
      const ms = performance.now() - since;
      t.ok(ms < GRACE_MS, `after ${Math.round(ms)} ms, and not after the grace period`);
      await bob.close();
      bob = await theatre.party('bob', 'Firefox');
    },
  );

  await t.test('F23 both tabs close in mid-call, and the recording of what was said appears', async (t) => {
    const recordingId = await start('secure');
    await Promise.all([alice.hears(100), bob.hears(100)]);
    await Promise.all([alice.tab.close(), bob.tab.close()]);
    const again = await theatre.party('alice', 'Chromium');
    const row = await again.settled(recordingId);
    t.equal(row.state, 'available', row.reason ?? '');
    t.ok((row.durationMs ?? 0) >= 2_000, `F23 ${row.durationMs} ms`);
    const { faults } = await compareFrames(
      await again.copy(recordingId),
      theatre.server.dataDir,
      recordingId,
    );
    t.same(faults, [], 'F21');
    bob = again;
  });
});
