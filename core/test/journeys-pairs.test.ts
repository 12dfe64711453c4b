import './own-network.ts';
import type { Test } from 'tap';
import t from 'tap';
import { compareFrames, sha256 } from '../../scripts/lib/proof.ts';
import { whyNot } from './own-network.ts';
import type { Party } from './party.ts';
import type { Theatre } from './theatre.ts';
import { openTheatre } from './theatre.ts';

t.setTimeout(230_000);
const skip = whyNot() ?? false;
/** Packets of 20 ms: so long a stretch of speech is listened to. */
const STRETCH = 100;

/** F8: hears both, then one side muted and the other not. Alice's microphone never falls silent by itself for so long. */
async function talk(t: Test, alice: Party, bob: Party): Promise<void> {
  const [heard, answered] = await Promise.all([bob.hears(STRETCH), alice.hears(STRETCH)]);
  t.ok(heard > 0 && answered > 0, `they hear each other (energy ${heard} and ${answered})`);
  await alice.mute(true);
  // Silence takes few packets, so the other direction is the clock. What was on its way is played first.
  await alice.hears(STRETCH / 2);
  const before = (await bob.figures()).inbound.totalAudioEnergy;
  const on = await alice.hears(STRETCH);
  const muted = (await bob.figures()).inbound.totalAudioEnergy - before;
  t.ok(muted < heard / 100, `F8 the muted side is not heard (energy ${muted}, before ${heard})`);
  t.ok(on > 0, 'F8 and still hears the other');
  await alice.mute(false);
}

async function voiceCall(t: Test, alice: Party, bob: Party): Promise<void> {
  await alice.call('voice');
  await bob.accept();
  await Promise.all([alice.sees('active'), bob.sees('active')]);
  await talk(t, alice, bob);
  await alice.hangup();
  t.same(await bob.ends(), { reason: 'hangup', error: undefined }, 'F8 hanging up ends it for both');
  await Promise.all([alice.ends(), alice.forget(), bob.forget()]);
}

/** Answers the id of the recording. */
async function secureCall(t: Test, theatre: Theatre, alice: Party, bob: Party): Promise<string> {
  await alice.call('secure');
  t.equal((await bob.rings()).mode, 'secure', 'F5');
  await bob.accept();
  const [{ recordingId = '' }] = await Promise.all([alice.sees('recording'), bob.sees('recording')]);
  await talk(t, alice, bob);
  await bob.hangup();
  t.same(await alice.ends(), { reason: 'hangup', error: undefined }, 'F8 hanging up ends it for both');
  const [row, other] = await Promise.all([alice.finished(recordingId), bob.finished(recordingId)]);
  t.equal(row.state, 'available', `F23 ${row.reason ?? ''}`);
  t.same(row, other, 'F20 both see the same row');
  const [copy, theirs] = await Promise.all([alice.copy(recordingId), bob.copy(recordingId)]);
  t.ok(copy.equals(theirs), 'F20 both copies are the same bytes');
  t.equal(sha256(copy), row.sha256, 'F21 with the digest that the server names');
  const { frames, faults } = await compareFrames(copy, theatre.server.dataDir, recordingId);
  t.same(faults, [], `F21 every frame is the captured one (${frames.caller} and ${frames.callee})`);
  await Promise.all([alice.forget(), bob.forget()]);
  return recordingId;
}

t.test('F1 F8 F17 F20 F23 voice and secure calls between real browsers', { skip }, async (t) => {
  const theatre = await openTheatre();
  t.teardown(() => theatre.close());
  const open = (who: 'alice' | 'bob', kind: 'Chromium' | 'Firefox') => theatre.party(who, kind);
  let alice = await open('alice', 'Chromium');
  let bob = await open('bob', 'Chromium');
  const parties = [alice, bob];
  const both = async (t: Test): Promise<string> => {
    await voiceCall(t, alice, bob);
    return secureCall(t, theatre, alice, bob);
  };

  await t.test('F17 Chromium calls Chromium, by voice and securely', async (t) => void (await both(t)));

  await bob.close();
  bob = await open('bob', 'Firefox');
  parties.push(bob);
  await t.test('F17 Chromium calls Firefox, by voice and securely', async (t) => void (await both(t)));

  await alice.close();
  alice = await open('alice', 'Firefox');
  parties.push(alice);
  await t.test('F17 F25 Firefox calls Firefox, by voice and securely, and plays the recording', async (t) => {
    const recordingId = await both(t);
    const played = await alice.play(recordingId, 3);
    t.ok(played.seconds > 4, `it plays ${played.seconds} s, the first sound after ${played.firstSoundMs} ms`);
    t.ok(played.at > 3 && played.at < 5, `F26 and goes on from where it is sent (${played.at} s)`);
    const other = await alice.play(recordingId, 3, 'mp4');
    t.ok(Math.abs(other.seconds - played.seconds) < 0.1, `as MP4, too: ${other.seconds} s`);
    t.ok(other.at > 3 && other.at < 5, `from where it is sent (${other.at} s)`);
    const loudness = await alice.loudness(recordingId);
    t.ok(loudness.length === 2 && Math.min(...loudness) > 0.001, `both voices are in it (${loudness})`);
  });
  for (const { as, tab } of parties)
    t.same(tab.complaints, [], `${as} in ${tab.kind}: the page complained of nothing`);
});
