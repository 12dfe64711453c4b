import { watch } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Person } from '../../scripts/lib/people.ts';
import { compareFrames } from '../../scripts/lib/proof.ts';
import { openStage, recordingIdOf, talk, until, workerPids } from './stage.ts';

/** Resolves at the moment when a file appears in this folder. */
function nextFile(folder: string): Promise<string> {
  return new Promise((resolve) => {
    const watcher = watch(folder, (_event, name) => {
      watcher.close();
      resolve(String(name));
    });
  });
}

async function availableRow(person: Person, recordingId: string) {
  const rows = await until(
    () => person.recordings(),
    (all) => all.some(({ id, state }) => id === recordingId && (state === 'available' || state === 'failed')),
    'the recording’s end',
  );
  return rows.find(({ id }) => id === recordingId);
}

t.test(
  'F34 a recorder that dies before it is armed: the call fails and nobody has heard anything',
  async (t) => {
    const stage = await openStage();
    t.teardown(() => stage.close());
    const { alice, bob, server } = stage;
    // The one that captures, and the one that waits to take its place.
    const recorders = await until(
      () => workerPids(server.process.pid ?? 0, 'capture'),
      (pids) => pids.length === 2,
      'both recorders',
    );
    await alice.call('secure');
    const journal = nextFile(join(server.dataDir, 'journals'));
    await bob.accept();
    // The journal exists before anything is armed; from here to the first audio on the disk it takes tens of milliseconds.
    await journal;
    for (const pid of recorders) process.kill(pid, 'SIGKILL');
    for (const person of [alice, bob]) {
      const ended = await person.waitStatus('ended');
      t.match(ended, { call: { endReason: 'recorder_unavailable', recording: false } });
      const events = await person.seen();
      t.notOk(
        events.some((seen) => seen.type === 'call' && seen.call?.recording),
        'Recording was never shown',
      );
      const { inbound } = await person.stats();
      t.equal(inbound.packets, 0, `${person.as} received no audio`);
      t.equal(inbound.totalAudioEnergy, 0);
    }
    const [row] = await until(
      () => alice.recordings(),
      (rows) => rows[0]?.state === 'failed',
      'Failed',
    );
    // Which of the two depends on whether the recorder still said that it listens.
    t.match(row?.reason, /^(not_armed|recorder_unavailable)$/);

    // The next recorder takes the next call.
    await until(
      () => fetch(`${server.url}/v1/health`).then((answer) => answer.json()),
      (health) => (health as { status: string }).status === 'ok',
      'a new recorder',
    );
    await Promise.all([alice.open(), bob.open()]);
    await alice.call('secure');
    await bob.accept();
    await alice.waitStatus('recording');
    await alice.hangUp();
  },
);

t.test('F23 both tabs close in mid-call: the recording of what was said appears', async (t) => {
  const stage = await openStage();
  t.teardown(() => stage.close());
  const { alice, bob, server } = stage;
  await alice.call('secure');
  await bob.accept();
  const recordingId = await recordingIdOf(alice);
  await talk(alice, 200);
  await Promise.all([alice.page.close(), bob.page.close()]);
  const again = await stage.another('alice');
  const row = await availableRow(again, recordingId);
  t.equal(row?.state, 'available');
  t.ok((row?.durationMs ?? 0) >= 4_000, `${row?.durationMs} ms`);
  const { faults } = await compareFrames(await again.download(recordingId), server.dataDir, recordingId);
  t.same(faults, []);
});

t.test(
  'F23 the daemon is killed in mid-call: after its restart the call has ended and the recording is there',
  async (t) => {
    const stage = await openStage();
    t.teardown(() => stage.close());
    const { alice, bob, server } = stage;
    await alice.call('secure');
    await bob.accept();
    const recordingId = await recordingIdOf(alice);
    const startedAt = Date.now();
    await talk(alice, 300);
    await server.kill();
    const heardMs = Date.now() - startedAt;
    await server.restart();
    const again = await stage.another('bob');
    const row = await availableRow(again, recordingId);
    t.equal(row?.state, 'available');
    const lostMs = heardMs - (row?.durationMs ?? 0);
    t.ok(
      lostMs < 1_000,
      `it reaches to the last second before the kill (${row?.durationMs} ms of ${heardMs})`,
    );
    const { faults } = await compareFrames(await again.download(recordingId), server.dataDir, recordingId);
    t.same(faults, []);
    await until(
      async () => [await alice.waitStatus('ended'), await bob.waitStatus('ended')],
      () => true,
      'the end of the call in both pages',
    );
    const { alice: third } = { alice: await stage.another('alice') };
    await third.call('voice');
    await again.accept();
    await third.waitStatus('active');
    t.pass('and calls go on');
  },
);
