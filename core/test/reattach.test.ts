import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { readJournalHeader } from '#store';
import type { Person } from '../../scripts/lib/people.ts';
import { compareFrames } from '../../scripts/lib/proof.ts';
import type { Stage } from './stage.ts';
import { openStage, recordingIdOf, talk, until, workerPids } from './stage.ts';

// The recorder dies in mid-call, between two real browsers.
t.setTimeout(180_000);

/** When the newest call of this page was recorded and when it was not: each change with its time. */
async function changesOf(person: Person): Promise<{ recording: boolean; atMs: number }[]> {
  const changes: { recording: boolean; atMs: number }[] = [];
  for (const seen of await person.seen())
    if (
      seen.type === 'call' &&
      seen.call?.state === 'active' &&
      seen.call.recording !== changes.at(-1)?.recording
    )
      changes.push({ recording: seen.call.recording, atMs: seen.atMs });
  return changes;
}

/** The recorder that writes the newest journal of this recording. */
async function killRecorder({ server }: Stage, recordingId: string): Promise<number> {
  const journals = join(server.dataDir, 'journals');
  const epochs = (await readdir(journals)).filter((name) => name.startsWith(recordingId)).length;
  const header = await readJournalHeader(join(journals, `${recordingId}-${epochs}.scj`));
  const owner = (await readdir(join(server.dataDir, 'wal', header?.recorder ?? ''))).find((name) =>
    name.startsWith('owner.'),
  );
  process.kill(Number(owner?.split('.')[1]), 'SIGKILL');
  return Date.now();
}

async function rowOf(person: Person, recordingId: string) {
  const rows = await until(
    () => person.recordings(),
    (all) => all.some(({ id, state }) => id === recordingId && (state === 'available' || state === 'failed')),
    'the recording’s end',
  );
  return rows.find(({ id }) => id === recordingId);
}

t.test(
  'F34 F35 a recorder that is killed in mid-call is replaced, also while a side is muted, and nothing acknowledged is lost',
  async (t) => {
    const stage = await openStage();
    t.teardown(() => stage.close());
    const { alice, bob, server } = stage;
    await alice.call('secure');
    await bob.accept();
    const recordingId = await recordingIdOf(alice);
    await talk(alice, 150);

    const tookMs: number[] = [];
    for (const muted of [false, true, true]) {
      // Twice, the second time with both muted: silence is sent in few packets (DTX), and they have to arm a recorder.
      if (muted) await (tookMs.length === 1 ? alice : bob).toggleMute();
      const before = (await alice.stats()).inbound.packets;
      await talk(alice, before + 100);
      await until(
        () => workerPids(server.process.pid ?? 0, 'capture'),
        (pids) => pids.length === 2,
        'a standby recorder',
      );
      const killedMs = await killRecorder(stage, recordingId);
      const turns = 2 * (tookMs.length + 1) + 1;
      for (const person of [alice, bob]) {
        const changes = await until(
          () => changesOf(person),
          (all) => all.length >= turns,
          `${person.as} being told that the recording broke off and goes on`,
        );
        const last = changes.slice(-2);
        t.same(
          last.map(({ recording }) => recording),
          [false, true],
        );
        const ms = (last[1]?.atMs ?? 0) - killedMs;
        t.ok(ms < 3_000, `${person.as} sees Recording again ${Math.round(ms)} ms after the kill`);
        if (person === alice) tookMs.push(ms);
        t.equal(await person.part('status', 'verbatim-call-popup').innerText(), 'Recording');
      }
    }
    t.comment(`Recording again: ${tookMs.map(Math.round).join(', ')} ms after kill -9`);
    const before = (await alice.stats()).inbound.packets;
    await bob.toggleMute();
    await talk(alice, before + 100);
    await bob.hangUp();
    await Promise.all([alice.waitStatus('ended'), bob.waitStatus('ended')]);

    const row = await rowOf(alice, recordingId);
    t.equal(row?.state, 'available', row?.reason ?? '');
    for (const [listener, speaker] of [
      [alice, 'bob'],
      [bob, 'alice'],
    ] as const) {
      const heard = (await listener.stats()).inbound.packets;
      const said = row?.legs?.find(({ userId }) => userId === speaker)?.packets ?? 0;
      t.comment(`${listener.as} heard ${heard} packets, ${said} are recorded`);
    }
    const { faults } = await compareFrames(await bob.download(recordingId), server.dataDir, recordingId);
    t.same(faults, [], 'what the journals hold is in the file, byte for byte');
    const epochs = (await readdir(join(server.dataDir, 'journals'))).filter((name) =>
      name.startsWith(recordingId),
    );
    t.equal(epochs.length, 4, 'one journal for each recorder');
  },
);

t.test(
  'F34 a recorder that is killed and never replaced: both are told that the recording is lost',
  async (t) => {
    const stage = await openStage({ VERBATIM_RECORDER_STANDBY: 'false' });
    t.teardown(() => stage.close());
    const { alice, bob, server } = stage;
    await alice.call('secure');
    await bob.accept();
    const recordingId = await recordingIdOf(alice);
    await talk(alice, 200);
    let isOver = false;
    const killAll = async (): Promise<void> => {
      for (const pid of await workerPids(server.process.pid ?? 0, 'capture')) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // Gone already.
        }
      }
    };
    const killing = (async () => {
      // Every one that is started in its place dies as well.
      while (!isOver) await killAll().then(() => delay(20));
    })();
    const killedMs = Date.now();
    try {
      for (const person of [alice, bob]) {
        const ended = await person.waitStatus('ended');
        t.match(ended, { call: { endReason: 'recording_lost', recording: false } });
        const ms = ended.atMs - killedMs;
        t.ok(ms > 2_500 && ms < 6_000, `${person.as} is told ${Math.round(ms)} ms after the kill`);
      }
    } finally {
      isOver = true;
      await killing;
    }
    const row = await rowOf(alice, recordingId);
    t.equal(row?.state, 'available', 'and what was said before is there');
    t.ok((row?.durationMs ?? 0) > 2_000, `${row?.durationMs} ms`);
    const { faults } = await compareFrames(await bob.download(recordingId), server.dataDir, recordingId);
    t.same(faults, []);
  },
);
