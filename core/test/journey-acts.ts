import type { Test } from 'tap';
import type { CallMode } from '#protocol';
import { compareFrames } from '../../scripts/lib/proof.ts';
import type { Party } from './party.ts';
import type { Seat, Theatre } from './theatre.ts';

/** What two people do in a journey, whichever browsers they sit at. */

/** Packets of 20 ms, five seconds of them: nothing here waits for time alone. */
const FIVE_SECONDS = 250;
const MODES = ['voice', 'secure'] as const;

/** The end that a page is told of when its own side did not fail. */
export const ended = (reason: string) => ({ reason, error: undefined });

/** Nothing is remembered of the calls before, on either side. */
export async function forget(...parties: readonly Party[]): Promise<void> {
  await Promise.all(parties.map((party) => party.forget()));
}

/** A call in which both are heard. Answers the id of its recording, if it is a secure one. */
export async function begin(alice: Party, bob: Party, mode: CallMode): Promise<string> {
  await forget(alice, bob);
  await alice.call(mode);
  await bob.accept();
  const state = mode === 'secure' ? 'recording' : 'active';
  const [{ recordingId = '' }] = await Promise.all([alice.sees(state), bob.sees(state)]);
  await Promise.all([alice.hears(50), bob.hears(50)]);
  return recordingId;
}

/** F10: declined, taken back, not answered, by voice and securely; each side is told which. */
export async function failsToBegin(t: Test, alice: Party, bob: Party): Promise<void> {
  for (const mode of MODES) {
    await t.test(`F10 a ${mode} call that is declined`, async (t) => {
      await alice.call(mode);
      await bob.decline();
      t.same(await alice.ends(), ended('declined'));
      t.same(await bob.ends(), ended('declined'));
      await forget(alice, bob);
    });
    await t.test(`F10 a ${mode} call that is taken back while it rings`, async (t) => {
      await alice.call(mode);
      await bob.rings();
      await alice.hangup();
      t.same(await bob.ends(), ended('cancelled'));
      t.same(await alice.ends(), ended('cancelled'));
      await forget(alice, bob);
    });
    await t.test(`F10 a ${mode} call that nobody answers`, async (t) => {
      await alice.call(mode);
      await bob.rings();
      t.same(await alice.ends(), ended('no_answer'));
      t.same(await bob.ends(), ended('no_answer'));
      await forget(alice, bob);
    });
  }
}

/** F10: nobody is there to be rung. */
export async function isOffline(t: Test, alice: Party): Promise<void> {
  await t.test('F10 offline: the caller is told at once, and nothing rings later', async (t) => {
    for (const mode of MODES) await t.rejects(alice.call(mode), /user_offline/);
  });
}

/** F11 F10: bob at two devices; then alice at two, of which the second cannot call while the first does. */
export async function ringsEverywhere(
  t: Test,
  {
    theatre,
    alice,
    bob,
    seat,
    mode,
  }: { theatre: Theatre; alice: Party; bob: Party; seat: Seat; mode: CallMode },
): Promise<void> {
  await t.test(
    `F11 F10 every device rings by ${mode}, the first accept wins, and who is in a call begins no other`,
    async (t) => {
      const second = await theatre.party('bob', seat);
      await alice.call(mode);
      await Promise.all([bob.rings(), second.rings()]);
      await second.accept();
      t.same(await bob.ends(), ended('answered_elsewhere'), 'F11 the other device stops at once');
      await Promise.all([alice.sees('active'), second.sees('active')]);
      const other = await theatre.party('alice', seat);
      await t.rejects(other.call(mode), /already_in_call/, 'F10 on no device');
      t.notOk(
        (await second.seen()).some((seen) => seen.type === 'ended'),
        'and the running call is not touched',
      );
      await second.hangup();
      t.same(await alice.ends(), ended('hangup'));
      await Promise.all([second.close(), other.close(), forget(alice, bob)]);
    },
  );
}

const isOver = async (party: Party) => (await party.seen()).some(({ type }) => type === 'ended');

export const isOnline = (party: Party) =>
  party.waitFor('come back', (seen) => seen.type === 'connection' && seen.state === 'online');

export const isOffTheLine = (party: Party) =>
  party.waitFor('notice', (seen) => seen.type === 'connection' && seen.state === 'reconnecting');

/** Nobody was told that the call is over. */
export async function goesOn(alice: Party, bob: Party): Promise<boolean> {
  return !((await isOver(alice)) || (await isOver(bob)));
}

/** F16: the socket of one side after the other is away for five seconds, in which both are heard. */
export async function outlivesCuts(t: Test, alice: Party, bob: Party): Promise<void> {
  for (const mode of MODES) {
    await t.test(
      `F16 a ${mode} call outlives a signalling socket that is cut for 5 s, on each side`,
      async (t) => {
        await begin(alice, bob, mode);
        for (const party of [alice, bob]) {
          await party.forget();
          party.front.cut();
          await isOffTheLine(party);
          const heard = await Promise.all([alice.hears(FIVE_SECONDS), bob.hears(FIVE_SECONDS)]);
          t.ok(Math.min(...heard) > 0, `they hear each other meanwhile (energy ${heard})`);
          party.front.mend();
          await isOnline(party);
          t.ok(await goesOn(alice, bob), `the call goes on when ${party.as} is back`);
        }
        await alice.mute(true);
        await bob.waitFor('see that the other is muted', ({ type, ...seen }) => {
          return type === 'call' && 'call' in seen && seen.call?.peerMuted === true;
        });
        await bob.hangup();
        t.same(await alice.ends(), ended('hangup'), 'and can be ended as ever');
      },
    );
  }
}

/** From now on this page's socket breaks as soon as it has sent one of these requests, once for each. */
function breakAt(party: Party, methods: readonly string[]): Promise<void> {
  return party.tab.run((methods) => {
    const left = new Set(methods);
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (data: string): void {
      send.call(this, data);
      const { method } = JSON.parse(data) as { method: string };
      if (left.delete(method)) this.close();
    };
  }, methods);
}

/** F16: the socket of each side breaks between each request that builds a secure call's path and its answer. */
export async function outlivesCutsAtTheStart(t: Test, alice: Party, bob: Party): Promise<void> {
  const steps = ['media.open', 'media.connect', 'media.produce'];
  for (const [cut, other] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    await t.test(
      `F16 a secure call begins although ${cut.tab.kind} loses its socket at every step`,
      async (t) => {
        await breakAt(cut, steps);
        const recordingId = await begin(alice, bob, 'secure');
        const breaks = (await cut.seen()).filter(
          (seen) => seen.type === 'connection' && seen.state === 'reconnecting',
        );
        t.ok(breaks.length >= 2, `it was lost ${breaks.length} times`);
        t.ok(await goesOn(alice, bob));
        await other.hangup();
        t.same(await cut.ends(), ended('hangup'));
        t.equal((await other.finished(recordingId)).state, 'available', 'F23 and it is recorded');
      },
    );
  }
}

/** F16 F13: a socket that is away for longer than the grace period. */
export async function endsPastGrace(
  t: Test,
  alice: Party,
  bob: Party,
  modes: readonly CallMode[],
): Promise<void> {
  for (const mode of modes) {
    await t.test(
      `F16 F13 a socket that is cut for longer than the grace period ends a ${mode} call for both`,
      async (t) => {
        const recordingId = await begin(alice, bob, mode);
        await alice.forget();
        alice.front.cut();
        t.match(await bob.ends(), { reason: 'connection_lost' }, 'the other side is told why');
        t.match(
          await alice.ends(),
          { reason: 'connection_lost' },
          'and so is the one who is away, without the server',
        );
        alice.front.mend();
        if (mode === 'secure')
          t.equal((await bob.finished(recordingId)).state, 'available', 'F23 the recording is there');
        await isOnline(alice);
      },
    );
  }
}

/** F16: one side after the other loads its page again. */
export async function endsWithReload(
  t: Test,
  alice: Party,
  bob: Party,
  modes: readonly CallMode[],
): Promise<void> {
  for (const mode of modes) {
    await t.test(`F16 a page that is loaded again ends its ${mode} call, and calls go on`, async (t) => {
      for (const [who, other] of [
        [alice, bob],
        [bob, alice],
      ] as const) {
        await begin(alice, bob, mode);
        await who.reload();
        t.same(await other.ends(), ended('hangup'), `${who.tab.kind} loads again`);
      }
    });
  }
}

/** F23: nobody is left, and the recording of what was said appears. Both parties are closed afterwards. */
export async function bothClose(
  t: Test,
  { theatre, alice, bob, seat }: { theatre: Theatre; alice: Party; bob: Party; seat: Seat },
): Promise<void> {
  await t.test('F23 both tabs close in mid-call, and the recording of what was said appears', async (t) => {
    const recordingId = await begin(alice, bob, 'secure');
    await Promise.all([alice.hears(100), bob.hears(100)]);
    await Promise.all([alice.tab.close(), bob.tab.close()]);
    const again = await theatre.party('alice', seat);
    const row = await again.settled(recordingId);
    t.equal(row.state, 'available', row.reason ?? '');
    t.ok((row.durationMs ?? 0) >= 2_000, `F23 ${row.durationMs} ms`);
    const copy = await again.copy(recordingId);
    const { faults } = await compareFrames(copy, theatre.server.dataDir, recordingId);
    t.same(faults, [], 'F21 every frame is the captured one');
    await again.close();
  });
}
