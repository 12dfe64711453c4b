import './own-network.ts';
import t from 'tap';
import { whyNot } from './own-network.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(200_000);
const STRETCH = 100;

t.test('F13 F18 microphones, and what a page is told of a call', { skip: whyNot() ?? false }, async (t) => {
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

  await t.test('F13 a microphone that is taken away in mid-call, and given back', async (t) => {
    const alice = await theatre.party('alice', 'Chromium');
    await alice.call('secure');
    await bob.accept();
    await Promise.all([alice.sees('recording'), bob.sees('recording')]);
    const before = await bob.hears(STRETCH);
    await alice.tab.allowMicrophone?.(false);
    const trouble = await alice.waitFor('be told of the trouble', ({ type }) => type === 'trouble');
    t.match(trouble, { error: /microphone_(denied|missing)/ });
    t.ok((await alice.hears(STRETCH)) > 0, 'the call goes on, and the other is heard');
    await alice.tab.allowMicrophone?.(true);
    await alice.useMicrophone();
    const after = await bob.hears(STRETCH);
    t.ok(after > before / 100, `and so is this side again (energy ${after}, before ${before})`);
    await alice.hangup();
    t.match(await bob.ends(), { reason: 'hangup' });
    t.equal((await alice.finished((await alice.sees('recording')).recordingId)).state, 'available');
    await bob.forget();
    await alice.close();
  });

  await t.test('F7 F18 Firefox is told the time, the quality and the devices of a call', async (t) => {
    const alice = await theatre.party('alice', 'Chromium');
    await bob.call('voice');
    await alice.accept();
    await bob.sees('active');
    await bob.hears(STRETCH);
    const quality = await bob.waitFor(
      'be told the quality',
      (seen) => seen.type === 'quality' && seen.jitterMs !== undefined && seen.rttMs !== undefined,
    );
    t.match(quality, { level: /good|fair|poor/, lossPercent: Number, jitterMs: Number, rttMs: Number });
    for (const party of [alice, bob]) {
      await party.waitFor('see the third second', (seen) => seen.type === 'timer' && seen.seconds >= 3);
      const told = (await party.seen()).flatMap((seen) => (seen.type === 'timer' ? [seen.seconds] : []));
      t.equal(told[0], 0, `${party.tab.kind} counts from 0`);
      t.same(
        told,
        [...new Set(told)].sort((a, b) => a - b),
        'each second once',
      );
      const [microphone = ''] = await party.microphones();
      await party.useMicrophone(microphone);
      t.match(
        await party.waitFor('be told of the microphone', (seen) => seen.type === 'devices'),
        { microphoneId: microphone },
        'the chosen microphone is the one in use',
      );
    }
    const heard = await Promise.all([alice.hears(STRETCH), bob.hears(STRETCH)]);
    t.ok(Math.min(...heard) > 0, `and with it they hear each other (energy ${heard})`);
    await bob.hangup();
    await alice.ends();
  });
});
