import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { iceServersFor } from '../call/index.ts';
import { RELAY_SECRET, Relay } from './relay.ts';
import { SplitNetwork, whyNoSplitNetwork } from './split-network.ts';

const why = whyNoSplitNetwork();

t.test(
  'F14 a real coturn takes credentials that the server makes, until they run out, and no others',
  why === undefined ? {} : { skip: why },
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'verbatim-credentials-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    // Nobody asks for the server here.
    const network = await SplitNetwork.open(folder, 'http://localhost:1');
    t.teardown(() => network.close());
    const relay = new Relay(network, folder);
    await relay.start();
    const credentials = (ageSeconds: number, secret = RELAY_SECRET) => {
      const settings = {
        stunUrls: [],
        turnUrls: relay.urls,
        secret,
        credentialSeconds: 600,
        relayOnly: false,
      };
      const at = new Date(Date.now() - ageSeconds * 1_000);
      const [turn] = iceServersFor(settings, { appId: 'shop', userId: 'ann' }, at).iceServers;
      return [turn?.username ?? '', turn?.credential ?? ''] as const;
    };
    t.equal(await relay.admits(...credentials(0)), true, 'fresh');
    t.equal(await relay.admits(...credentials(660)), false, 'a minute after they ran out');
    t.equal(
      await relay.admits(...credentials(0, 'another-secret-than-the-relay')),
      false,
      'of another secret',
    );
    await relay.kill();
    await relay.start();
    t.equal(await relay.admits(...credentials(0)), true, 'and again after the relay was started anew');
  },
);
