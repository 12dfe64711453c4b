import './own-network.ts';
import t from 'tap';
import { failsToBegin, isOffline, ringsEverywhere } from './journey-acts.ts';
import { whyNot } from './own-network.ts';
import type { Seat } from './theatre.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(300_000);

const PAIRS: readonly [caller: Seat, callee: Seat][] = [
  ['Firefox', 'Chromium'],
  ['Firefox', 'Firefox'],
  ['Chromium', 'Chromium'],
];

t.test('F10 F11 how a call fails to begin is told apart', { skip: whyNot() ?? false }, async (t) => {
  const theatre = await openTheatre({ VERBATIM_CALL_RING_TIMEOUT_MS: '5000' });
  t.teardown(() => theatre.close());
  for (const [caller, callee] of PAIRS) {
    await t.test(`F17 ${caller} calls ${callee}`, async (t) => {
      const alice = await theatre.party('alice', caller);
      await isOffline(t, alice);
      const bob = await theatre.party('bob', callee);
      await failsToBegin(t, alice, bob);
      for (const mode of ['voice', 'secure'] as const)
        await ringsEverywhere(t, { theatre, alice, bob, seat: callee, mode });
      t.same([...alice.tab.complaints, ...bob.tab.complaints], [], 'the pages complained of nothing');
      await Promise.all([alice.close(), bob.close()]);
    });
  }
});
