import './own-network.ts';
import t from 'tap';
import { compareFrames } from '../../scripts/lib/proof.ts';
import { LossyRelay } from './lossy-relay.ts';
import { MEDIA_PORT, MEDIA_SETTINGS, RELAY_ADDRESS, whyNot } from './own-network.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(200_000);

t.test(
  'F15 F37 one packet in ten is lost both ways: what Chromium said is recorded whole because it is sent again, and what Firefox said has its gaps counted',
  { skip: whyNot() ?? false },
  async (t) => {
    const relay = await LossyRelay.open({
      address: RELAY_ADDRESS,
      port: MEDIA_PORT,
      target: MEDIA_SETTINGS.VERBATIM_MEDIA_LISTEN_IP ?? '',
      loss: 0.1,
      seed: 4,
    });
    t.teardown(() => relay.close());
    const theatre = await openTheatre({
      VERBATIM_MEDIA_ANNOUNCED_ADDRESS: RELAY_ADDRESS,
      // A handshake that loses packets takes its time.
      VERBATIM_CALL_CONNECT_TIMEOUT_MS: '60000',
    });
    t.teardown(() => theatre.close());
    const alice = await theatre.party('alice', 'Chromium');
    const bob = await theatre.party('bob', 'Firefox');
    await alice.call('secure');
    await bob.accept();
    const { recordingId } = await alice.sees('recording');
    const before = relay.streams;
    await Promise.all([alice.hears(600), bob.hears(600)]);
    await alice.hangup();
    await bob.ends();
    const { state, legs = [] } = await alice.finished(recordingId);
    t.equal(state, 'available');
    const lostOf = (userId: string): number => legs.find((leg) => leg.userId === userId)?.lost ?? -1;

    const speech = relay.streams.find(({ again }) => again > 0);
    t.comment(`Chromium: ${JSON.stringify(speech)}, the recording lacks ${lostOf('alice')}`);
    const dropped = speech?.dropped ?? 0;
    t.ok(dropped > 30, `F15 ${dropped} of ${speech?.packets} packets that Chromium sent were dropped`);
    t.ok((speech?.again ?? 0) >= dropped - lostOf('alice'), `${speech?.again} times one was sent again`);
    // One that is dropped again and again until nobody asks for it any more may be missing.
    t.ok(lostOf('alice') >= 0 && lostOf('alice') <= dropped / 10, `the recording lacks ${lostOf('alice')}`);

    // Firefox is not asked to send again.
    const tone = relay.streams.find(({ again }) => again === 0);
    t.comment(`Firefox: ${JSON.stringify(tone)}, the recording lacks ${lostOf('bob')}`);
    t.ok(
      (tone?.dropped ?? 0) > 30,
      `F37 ${tone?.dropped} of ${tone?.packets} packets of Firefox were dropped`,
    );
    // Those that were sent before the recorder listened are not part of the recording.
    const during =
      (tone?.dropped ?? 0) - (before[relay.streams.findIndex(({ again }) => again === 0)]?.dropped ?? 0);
    t.ok(
      lostOf('bob') >= during - 10 && lostOf('bob') <= (tone?.dropped ?? 0),
      `the recording says that it lacks ${lostOf('bob')}; ${during} were dropped during it`,
    );
    const copy = await bob.copy(recordingId ?? '');
    const { faults } = await compareFrames(copy, theatre.server.dataDir, recordingId ?? '');
    t.same(faults, [], 'F21 what came is in the file, byte for byte');
  },
);
