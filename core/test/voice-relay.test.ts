import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import type { Person } from '../../scripts/lib/people.ts';
import { launchBrowser, openPerson } from '../../scripts/lib/people.ts';
import { speak } from '../../scripts/lib/speech.ts';
import { startTemporaryServer } from '../../scripts/lib/temporary-server.ts';
import { ensureMediaWorker } from '../../scripts/media-worker/ensure.ts';
import { pathOf, watchPeers } from './peer-page.ts';
import { RELAY_SECRET, Relay } from './relay.ts';
import { SplitNetwork, whyNoSplitNetwork } from './split-network.ts';
import { talk, until } from './stage.ts';

/** Two people in networks that have no way to each other, and a real coturn that both reach. */

t.setTimeout(220_000);
const why = whyNoSplitNetwork();
if (why === undefined) await journeys();
else t.test('F14 voice calls through a relay', { skip: why }, async () => {});

async function journeys(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-relay-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const server = await startTemporaryServer({
    mediaWorker: await ensureMediaWorker({ log: () => {} }),
    env: {
      VERBATIM_ICE_TURN_URLS: Relay.allUrls.join(','),
      VERBATIM_ICE_SECRET: RELAY_SECRET,
      // A relay that is started again on a busy machine needs its time.
      VERBATIM_CALL_GRACE_MS: '60000',
    },
  });
  t.teardown(() => server.close());
  const network = await SplitNetwork.open(folder, server.url);
  t.teardown(() => network.close());
  const relay = new Relay(network, folder);
  const relayKey = await relay.makeCertificate();
  await relay.start();

  const open = async (as: 'alice' | 'bob'): Promise<Person> => {
    const wav = join(folder, `${as}.wav`);
    await speak(as, wav);
    const browser = await launchBrowser(
      wav,
      await network.browserOf(as, [`--ignore-certificate-errors-spki-list=${relayKey}`]),
    );
    t.teardown(() => browser.close());
    const person = await openPerson({ url: network.url, as, wav, browser });
    await watchPeers(person);
    return person;
  };
  const people = await Promise.all([open('alice'), open('bob')]);
  const [alice, bob] = people;

  const call = async (): Promise<void> => {
    for (const person of people) await person.open();
    await alice.call('voice');
    await bob.accept();
  };
  const active = (): Promise<unknown> =>
    Promise.all(people.map((person) => person.waitStatus('active', 40_000)));
  /** Both hear the other's speech from now on. */
  const hear = async (t: Test, what: string): Promise<void> => {
    for (const person of people) {
      const { inbound } = await person.stats();
      await talk(person, inbound.packets + 100);
      const now = (await person.stats()).inbound;
      t.ok(now.totalAudioEnergy > inbound.totalAudioEnergy + 0.0005, `${person.as} hears the other ${what}`);
    }
  };

  t.test(
    'F14 where no direct path exists the call goes through the relay, and outlives its restart',
    async (t) => {
      await call();
      await active();
      await hear(t, 'through the relay');
      for (const person of people) {
        const { local, remote } = await pathOf(person);
        t.ok([local, remote].includes('relay'), `${person.as}: from ${local} to ${remote}`);
      }

      await relay.kill();
      await until(
        () => pathOf(alice).catch(() => null),
        (path) => path === null,
        'the broken path being noticed',
        40_000,
      );
      await relay.start();
      await until(
        async () =>
          (await Promise.all(people.map((person) => pathOf(person).catch(() => null)))).every(Boolean),
        (stands) => stands,
        'a path through the new relay',
        50_000,
      );
      await hear(t, 'again');
      t.notOk(
        (await alice.seen()).some(({ type }) => type === 'ended'),
        'F16 it is the same call',
      );
      await alice.hangUp();
      await bob.waitStatus('ended');
    },
  );

  for (const way of ['tcp', 'tls'] as const) {
    t.test(
      `F14 where nothing but ${way.toUpperCase()} gets through, the call reaches the relay by it`,
      async (t) => {
        await relay.kill();
        await relay.start(way);
        await call();
        await active();
        await hear(t, `by ${way}`);
        for (const person of people) {
          const { local, remote, relayedBy } = await pathOf(person);
          t.ok([local, remote].includes('relay'), `${person.as}: from ${local} to ${remote}`);
          t.same(relayedBy, [way], `${person.as} has no other way to the relay`);
        }
        await bob.hangUp();
        await alice.waitStatus('ended');
      },
    );
  }

  t.test('F13 F14 without relay and direct path both are told that, in words', async (t) => {
    await relay.kill();
    await call();
    for (const person of people) {
      t.match(
        await person.waitStatus('ended', 60_000),
        { call: { endReason: 'peer_unreachable' } },
        person.as,
      );
      const message = person.part('ending');
      await message.waitFor();
      t.match(await message.innerText(), /networks could not reach each other/);
    }
  });

  t.test('F14 where a direct path exists no relay is needed', async (t) => {
    network.join();
    await call();
    await active();
    await hear(t, 'directly');
    for (const person of people) {
      const { local, remote } = await pathOf(person);
      t.notOk([local, remote].includes('relay'), `${person.as}: from ${local} to ${remote}`);
    }
    await bob.hangUp();
    await alice.waitStatus('ended');
  });
}
