import './own-network.ts';
import t from 'tap';
import { whyNot } from './own-network.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(200_000);

// Between a caller in Firefox and a callee in Chromium; core/test/voice-call.test.ts has the same in two Chromiums.
t.test(
  'F10 F11 how a call fails to begin is told apart, in both browsers',
  { skip: whyNot() ?? false },
  async (t) => {
    const theatre = await openTheatre({ VERBATIM_CALL_RING_TIMEOUT_MS: '8000' });
    t.teardown(() => theatre.close());
    const alice = await theatre.party('alice', 'Firefox');

    await t.test('F10 offline: the caller is told at once, and nothing rings later', async (t) => {
      await t.rejects(alice.call('voice'), /user_offline/);
      await t.rejects(alice.call('secure'), /user_offline/);
    });

    const bob = await theatre.party('bob', 'Chromium');
    const forget = () => Promise.all([alice.forget(), bob.forget()]);
    const ended = (reason: string) => ({ reason, error: undefined });

    for (const mode of ['voice', 'secure'] as const) {
      await t.test(`F10 a ${mode} call that is declined`, async (t) => {
        await alice.call(mode);
        await bob.decline();
        t.same(await alice.ends(), ended('declined'));
        t.same(await bob.ends(), ended('declined'));
        await forget();
      });
    }

    await t.test('F10 a call that is taken back while it rings', async (t) => {
      await alice.call('secure');
      await bob.rings();
      await alice.hangup();
      t.same(await bob.ends(), ended('cancelled'));
      t.same(await alice.ends(), ended('cancelled'));
      await forget();
    });

    await t.test('F10 a call that nobody answers', async (t) => {
      await alice.call('voice');
      await bob.rings();
      t.same(await alice.ends(), ended('no_answer'));
      t.same(await bob.ends(), ended('no_answer'));
      await forget();
    });

    await t.test(
      'F11 F10 every device rings, the first accept wins, and who is in a call cannot begin another',
      async (t) => {
        const second = await theatre.party('bob', 'Firefox');
        await alice.call('voice');
        await Promise.all([bob.rings(), second.rings()]);
        await second.accept();
        t.same(await bob.ends(), ended('answered_elsewhere'), 'F11 the other device stops at once');
        await Promise.all([alice.sees('active'), second.sees('active')]);

        const other = await theatre.party('alice', 'Chromium');
        await t.rejects(
          other.call('voice'),
          /already_in_call/,
          'F10 who is in a call begins no other, on no device',
        );
        t.notOk(
          (await second.seen()).some((seen) => seen.type === 'ended'),
          'and the running call is not touched',
        );
        await second.hangup();
        t.same(await alice.ends(), ended('hangup'));
        await Promise.all([second.close(), other.close(), forget()]);
      },
    );

    t.same([...alice.tab.complaints, ...bob.tab.complaints], [], 'the pages complained of nothing');
  },
);
