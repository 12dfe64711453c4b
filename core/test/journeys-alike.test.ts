import './own-network.ts';
import t from 'tap';
import { bothClose, endsPastGrace, endsWithReload, outlivesCuts } from './journey-acts.ts';
import { whyNot } from './own-network.ts';
import { openTheatre } from './theatre.ts';

/** What breaks in mid-call, with the same browser on both sides; journeys-broken has one of each. */

t.setTimeout(400_000);
const MODES = ['voice', 'secure'] as const;

t.test('F16 F23 what breaks between two browsers of a kind', { skip: whyNot() ?? false }, async (t) => {
  const theatre = await openTheatre({ VERBATIM_CALL_GRACE_MS: '8000' });
  t.teardown(() => theatre.close());
  for (const seat of ['Firefox', 'Chromium'] as const) {
    await t.test(`F17 ${seat} calls ${seat}`, async (t) => {
      const alice = await theatre.party('alice', seat);
      const bob = await theatre.party('bob', seat);
      await outlivesCuts(t, alice, bob);
      await endsPastGrace(t, alice, bob, MODES);
      await endsWithReload(t, alice, bob, MODES);
      await bothClose(t, { theatre, alice, bob, seat });
      await Promise.all([alice.close(), bob.close()]);
    });
  }
});
