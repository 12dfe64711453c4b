import './own-network.ts';
import t from 'tap';
import { begin, ended, isOnline } from './journey-acts.ts';
import { whyNot } from './own-network.ts';
import { Party } from './party.ts';
import type { Tab } from './tabs.ts';
import { launchCachingChromium, launchFirefox } from './tabs.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(200_000);

/** The demo's own elements in Firefox, which other journeys drive through the SDK alone. */
const BUTTON = 'verbatim-call-button [part~="button"]';
const part = (name: string) => `verbatim-call-popup [part~="${name}"]`;
const item = (mode: string) => `verbatim-call-button [part~="menu-item"][data-mode="${mode}"]`;

t.test(
  'F1 F6 F13 F16 the elements in Firefox, and a page kept aside',
  { skip: whyNot() ?? false },
  async (t) => {
    const theatre = await openTheatre();
    t.teardown(() => theatre.close());
    const alice = await theatre.party('alice', 'Chromium');
    // A name for which browsers give pages the microphone without HTTPS.
    const { port } = new URL(theatre.server.url);
    const openDemo = async (tab: Tab): Promise<void> => {
      await tab.open(`http://localhost:${port}/demo/?as=bob`);
      await tab.run(async () => {
        const page = globalThis as { verbatim?: { state: string } };
        while (page.verbatim?.state !== 'online') await new Promise((resolve) => setTimeout(resolve, 50));
      }, undefined);
      await tab.text(BUTTON);
    };

    await t.test('F1 F4 F5 F6 F8 Firefox calls and is called by clicks on the real elements', async (t) => {
      const firefox = await launchFirefox();
      t.teardown(() => firefox.close());
      const bob = await firefox.tab();
      await openDemo(bob);
      await bob.click(BUTTON);
      await bob.click(item('secure'));
      t.ok((await bob.text('[part~="disclosure"]')).length > 20, 'F4 the disclosure is shown');
      await bob.click('[part~="consent-agree"]');
      await alice.accept();
      await alice.sees('recording');
      t.match(await bob.text(part('recording-badge')), /rec/i, 'F7 the badge');
      t.match(await bob.text(part('timer')), /^\s*\d\d:\d\d/);
      t.ok((await alice.hears(100)) > 0, 'Firefox is heard');
      await bob.click(part('mute'));
      await alice.waitFor('see that the other is muted', ({ type, ...seen }) => {
        return type === 'call' && 'call' in seen && seen.call?.peerMuted === true;
      });
      await bob.click(part('hangup'));
      const { call } = (await alice.waitFor('see the end', ({ type }) => type === 'ended')) as {
        call: { recordingId?: string; endReason?: string };
      };
      t.equal(call.endReason, 'hangup');
      t.equal((await alice.finished(call.recordingId)).state, 'available', 'F23');

      await alice.forget();
      await alice.call('secure');
      await bob.click(part('accept'));
      await alice.sees('recording');
      t.match(await bob.text(part('recording-badge')), /rec/i);
      await alice.hangup();
      t.ok(await bob.text(part('ending')), 'and is told of the end');
      await alice.forget();
      t.same(bob.complaints, [], 'the page complained of nothing');
    });

    await t.test('F13 Firefox that refuses the microphone says so in plain words', async (t) => {
      const firefox = await launchFirefox({ microphone: false });
      t.teardown(() => firefox.close());
      const bob = await firefox.tab();
      await openDemo(bob);
      await bob.click(BUTTON);
      await bob.click(item('voice'));
      t.match(await bob.text(part('ending')), /Microphone unavailable: this page may not use it/);
      t.notOk(
        (await alice.seen()).some(({ type }) => type === 'incoming'),
        'and nobody is rung',
      );
    });

    await t.test(
      'F16 a page that Chromium keeps aside signs off, and is back when it is shown again',
      async (t) => {
        const chromium = await launchCachingChromium();
        t.teardown(() => chromium.close());
        const bob = await Party.open('bob', chromium, theatre.server.url);
        t.teardown(() => bob.close());
        const isThere = () =>
          alice.tab.run(async () => {
            const { verbatim } = globalThis as unknown as {
              verbatim: { presence(ids: string[]): Promise<Set<string>> };
            };
            return (await verbatim.presence(['bob'])).size === 1;
          }, undefined);
        t.ok(await isThere());
        await bob.tab.run(() => {
          Object.assign(globalThis, { kept: 'the same page' });
        }, undefined);
        await bob.forget();
        await bob.tab.open(`${bob.front.url}/journey/elsewhere`);
        while (await isThere()) await new Promise((resolve) => setTimeout(resolve, 50));
        t.pass('nobody sees bob online meanwhile');
        await t.rejects(alice.call('voice'), /user_offline/);
        await bob.tab.back();
        t.equal(
          await bob.tab.run(() => (globalThis as { kept?: string }).kept, undefined),
          'the same page',
          'it was kept and not loaded again',
        );
        await isOnline(bob);
        t.ok(await isThere(), 'and bob is online');
        await begin(alice, bob, 'voice');
        await bob.hangup();
        t.same(await alice.ends(), ended('hangup'), 'who can be called as before');
      },
    );
  },
);
