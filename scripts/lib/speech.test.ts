import { join } from 'node:path';
import t from 'tap';
import { runCommand } from '../media-worker/command.ts';
import { likeness, loudness, speak } from './speech.ts';

t.test(
  'speech is recognised after Opus, from any moment on, in its own channel and not in the other',
  async (t) => {
    const folder = t.testdir({});
    const [alice, bob, call] = ['alice.wav', 'bob.wav', 'call.webm'].map((name) => join(folder, name));
    if (!alice || !bob || !call) throw new Error('unreachable');
    await Promise.all([speak('alice', alice), speak('bob', bob)]);
    const mix =
      '[0:a]atrim=3:11,asetpts=PTS-STARTPTS[l];[1:a]atrim=5:13,asetpts=PTS-STARTPTS[r];[l][r]join=inputs=2:channel_layout=stereo';
    const args = [
      '-v',
      'error',
      '-i',
      alice,
      '-i',
      bob,
      '-filter_complex',
      mix,
      '-c:a',
      'libopus',
      '-b:a',
      '48k',
      call,
    ];
    const { code, output } = await runCommand('ffmpeg', args);
    t.equal(code, 0, output);

    const [left, right, a, b] = await Promise.all([
      loudness(call, 0),
      loudness(call, 1),
      loudness(alice),
      loudness(bob),
    ]);
    t.ok(likeness(left, a) > 0.9);
    t.ok(likeness(right, b) > 0.9);
    t.ok(likeness(left, b) < 0.5);
    t.ok(likeness(right, a) < 0.5);
  },
);

t.test('a file that does not decode is an error and not silence', async (t) => {
  const folder = t.testdir({ 'broken.webm': 'this is no audio' });
  await t.rejects(loudness(join(folder, 'broken.webm')), /does not decode/);
});
