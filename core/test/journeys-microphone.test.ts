import './own-network.ts';
import t from 'tap';
import { whyNot } from './own-network.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(200_000);

t.test('F13 who cannot speak rings nobody', { skip: whyNot() ?? false }, async (t) => {
  const theatre = await openTheatre();
  t.teardown(() => theatre.close());
  const bob = await theatre.party('bob', 'Firefox');

  await t.test('F13 who has refused the microphone calls nobody, and is told so', async (t) => {
    const alice = await theatre.party('alice', 'Chromium', { microphone: false });
    for (const mode of ['voice', 'secure'] as const) await t.rejects(alice.call(mode), /microphone_denied/);
    t.notOk(
      (await bob.seen()).some(({ type }) => type === 'incoming'),
      'nobody was rung',
    );
    await bob.call('voice');
    await t.rejects(alice.accept(), /microphone_denied/, 'nor does a call begin that cannot be heard');
    await bob.hangup();
    t.match(await alice.ends(), { reason: 'cancelled' }, 'which rings on until it is over');
    await Promise.all([alice.close(), bob.ends()]);
    await bob.forget();
  });

  await t.test('F13 a machine without any microphone', async (t) => {
    const alice = await theatre.party('alice', 'Chromium without a microphone');
    await t.rejects(alice.call('voice'), /microphone_missing/);
    await alice.close();
  });
});
