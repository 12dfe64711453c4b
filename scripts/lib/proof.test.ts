import { mkdir, writeFile } from 'node:fs/promises';
import type { Test } from 'tap';
import t from 'tap';
import { dataPaths, openSealed } from '#store';
import { finaliseRecording } from '../../recorder-worker/finalise.ts';
import type { LegPlan } from '../../recorder-worker/test/calls.ts';
import { generateCall, PLAIN_LEG } from '../../recorder-worker/test/calls.ts';
import type { Keys } from '../../recorder-worker/test/journals.ts';
import { createKeys, writeJournal } from '../../recorder-worker/test/journals.ts';
import { compareFrames } from './proof.ts';

const RECORDING = '018f0000-0000-7000-8000-0000000000bb';

/** A data folder with one finished recording of a generated call on a bad network, and its file. */
async function finished(t: Test): Promise<{ dataDir: string; webm: Buffer; keys: Keys }> {
  const dataDir = t.testdir({});
  const paths = dataPaths(dataDir);
  for (const folder of [paths.secrets, paths.journals, paths.recordings]) await mkdir(folder);
  const keys = await createKeys();
  await writeFile(paths.identity, `${keys.identity}\n`, { mode: 0o600 });
  const shape = {
    ...PLAIN_LEG,
    loss: 0.02,
    duplicate: 0.02,
    reorder: 0.05,
    jitterMs: 6,
    firstSequence: 65_500,
  };
  const { records } = generateCall({
    seed: 7,
    durationMs: 20_000,
    legs: [shape, { ...shape, ssrc: 0x2000 }],
  });
  await writeJournal({ dir: paths.journals, keys, recording: RECORDING, records });
  const sealed = { pay: paths.pay(RECORDING), hdr: paths.hdr(RECORDING) };
  const result = await finaliseRecording({
    journals: [paths.journal(RECORDING, 1)],
    recordingId: RECORDING,
    ...keys,
    ...sealed,
  });
  if (!result.ok) throw new Error(result.detail);
  const file = await openSealed({ ...sealed, identity: keys.identity });
  const webm = await file.read(0, file.sizeBytes);
  await file.close();
  return { dataDir, webm, keys };
}

t.test(
  'F21 a finished file holds exactly the captured frames, and a changed one does not pass',
  async (t) => {
    const { dataDir, webm } = await finished(t);
    const proof = await compareFrames(webm, dataDir, RECORDING);
    t.strictSame(proof.faults, []);
    t.ok(proof.frames.caller > 900 && proof.frames.callee > 900, `${JSON.stringify(proof.frames)}`);

    const changed = Buffer.from(webm);
    // Well inside the audio: one bit of one frame.
    const at = Math.floor(changed.length * 0.6);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    const { faults } = await compareFrames(changed, dataDir, RECORDING);
    t.match(faults, [/is not the captured one/]);
  },
);

t.test('F21 audio that was captured and is not in the file is noticed', async (t) => {
  const { dataDir, webm, keys } = await finished(t);
  const legs: [LegPlan, LegPlan] = [
    { ...PLAIN_LEG, ssrc: 0x3000 },
    { ...PLAIN_LEG, ssrc: 0x4000 },
  ];
  const { records } = generateCall({ seed: 8, durationMs: 1_000, legs });
  await writeJournal({ dir: dataPaths(dataDir).journals, keys, recording: RECORDING, records, epoch: 2 });
  const { faults } = await compareFrames(webm, dataDir, RECORDING);
  t.match(faults, [/caller/, /callee/]);
});
