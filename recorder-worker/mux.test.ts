import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BufferSource,
  BufferTarget,
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedPacketSink,
  Input,
  Output,
  WEBM,
  WebMOutputFormat,
} from 'mediabunny';
import t from 'tap';
import { muxTimeline } from './mux.ts';
import { extractStreams } from './mux-read.ts';
import { opusHead } from './opus/multistream.ts';
import type { GeneratedCall } from './test/calls.ts';
import { generateCall, MONOTONIC_START_US, PLAIN_LEG, rtpPacket } from './test/calls.ts';
import { readWithMediabunny } from './test/independent.ts';
import { correlation, decodeFile, SPEECH_RATE, speak } from './test/speech.ts';
import { TimelineBuilder } from './timeline.ts';

function timelineOf(records: GeneratedCall['records']) {
  const builder = new TimelineBuilder(0);
  builder.epoch(1, 'r', MONOTONIC_START_US, 1_790_000_000_000);
  for (const { leg, packet, monotonicUs } of records) builder.add(leg, packet, monotonicUs);
  return builder.build();
}

/** SHA-256 of the file that the generated call below becomes. */
const PINNED = 'a69ea553d6d6bd1b95ccdce167ebaef8d0e7d5ebb6ecfdf8d61148b5e28f0bc3';

const lossy = generateCall({
  seed: 3,
  durationMs: 61_000,
  legs: [
    { ...PLAIN_LEG, loss: 0.05, jitterMs: 5, ppm: 100, configChanges: 1 },
    { ...PLAIN_LEG, ssrc: 7, startMs: 2_000, dtx: 0.2, ppm: -100 },
  ],
});

t.test('F21 the same packets give the same bytes, twice and in any order of arrival', async (t) => {
  const first = muxTimeline(timelineOf(lossy.records)).bytes;
  const second = muxTimeline(timelineOf(lossy.records)).bytes;
  t.ok(Buffer.from(first).equals(second), 'twice');
  const bytes = createHash('sha256').update(first).digest('hex');
  // The bytes themselves are pinned: whoever changes them has to give the muxer a new version.
  t.equal(bytes, PINNED, 'the bytes of muxer version 1');
});

t.test(
  'a file of ours is read by mediabunny as the file that mediabunny itself writes of the packets',
  async (t) => {
    const { bytes, durationSamples } = muxTimeline(timelineOf(lossy.records));
    const ours = await readWithMediabunny(bytes);
    const output = new Output({ format: new WebMOutputFormat(), target: new BufferTarget() });
    const source = new EncodedAudioPacketSource('opus');
    output.addAudioTrack(source);
    await output.start();
    const decoderConfig = {
      codec: 'opus',
      numberOfChannels: 2,
      sampleRate: 48_000,
      description: opusHead(2),
    };
    for (const { seconds, data } of ours.tracks[0]?.packets ?? []) {
      await source.add(new EncodedPacket(data, 'key', seconds, 0.02), { decoderConfig });
    }
    await output.finalize();
    const theirs = await readWithMediabunny(new Uint8Array(output.target.buffer ?? new ArrayBuffer(0)));
    t.equal(ours.tracks.length, 1);
    t.equal(ours.tracks[0]?.channels, 2);
    t.equal(ours.tracks[0]?.packets.length, durationSamples / 960);
    t.same(
      ours.tracks.map((track) =>
        track.packets.map(({ seconds, data }) => [seconds, Buffer.from(data).toString('hex')]),
      ),
      theirs.tracks.map((track) =>
        track.packets.map(({ seconds, data }) => [seconds, Buffer.from(data).toString('hex')]),
      ),
    );
    t.equal(ours.durationSeconds, theirs.durationSeconds);
  },
);

t.test('a reader seeks by the cues at the front of the file', async (t) => {
  const { bytes } = muxTimeline(timelineOf(lossy.records));
  const input = new Input({ source: new BufferSource(bytes), formats: [WEBM] });
  const track = await input.getPrimaryAudioTrack();
  if (track === null) throw new Error('no track');
  const sink = new EncodedPacketSink(track);
  for (const seconds of [0, 0.5, 4.99, 5, 5.01, 31.4, 60.9]) {
    const packet = await sink.getPacket(seconds);
    t.ok(
      packet !== null && packet.timestamp <= seconds && packet.timestamp > seconds - 0.0201,
      `${seconds} s`,
    );
  }
});

t.test('F21 ffprobe finds the packets, their times and the duration that our own reader finds', async (t) => {
  const path = join(t.testdir(), 'call.webm');
  const { bytes, durationSamples } = muxTimeline(timelineOf(lossy.records));
  writeFileSync(path, bytes);
  // A CRC of each packet's data as ffmpeg's demuxer sees it.
  const csv = execFileSync('ffmpeg', ['-loglevel', 'error', '-i', path, '-c', 'copy', '-f', 'framecrc', '-'])
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(',').map((cell) => cell.trim()));
  const ours = (await readWithMediabunny(bytes)).tracks[0]?.packets ?? [];
  t.equal(csv.length, ours.length);
  t.same(
    csv.map(([, , time, , size]) => [Number(time), Number(size)]),
    ours.map(({ seconds, data }) => [Math.round(seconds * 1000), data.length]),
  );
  const streams = extractStreams(bytes);
  t.same(
    streams.caller.map(({ timeMs }) => timeMs),
    ours.map(({ seconds }) => Math.round(seconds * 1000)),
  );
  t.equal(streams.durationMs, durationSamples / 48);
  const duration = execFileSync('ffprobe', [
    '-v',
    'error',
    '-show_entries',
    'format=duration',
    '-of',
    'csv=p=0',
    path,
  ]);
  t.equal(Number(duration.toString()), durationSamples / 48_000);
});

t.test(
  'F20 F21 ffmpeg decodes the caller on the left and the callee on the right, and neither on the other',
  async (t) => {
    const caller = speak('The quick brown fox jumps over the lazy dog and runs into the forest.', 'en-us');
    const callee = speak('Seven hundred and forty two apples were sold on Wednesday morning.', 'en-gb+f3');
    const records = [caller, callee].flatMap(({ packets }, leg) =>
      packets.map((payload, i) => ({
        leg: leg === 0 ? (0 as const) : (1 as const),
        packet: rtpPacket((65_500 + i) & 0xffff, (4_294_960_000 + i * 960) >>> 0, leg + 1, payload, 30),
        monotonicUs: MONOTONIC_START_US + (i + 1) * 20_000 + leg * 100_000,
      })),
    );
    records.sort((a, b) => a.monotonicUs - b.monotonicUs);
    const path = join(t.testdir(), 'speech.webm');
    writeFileSync(path, muxTimeline(timelineOf(records)).bytes);
    // A second from the middle of each speech, looked for in a range around where it must be.
    const probe = ({ source }: { source: Float32Array }) => source.subarray(SPEECH_RATE, SPEECH_RATE * 2);
    const around = (channel: Float32Array) => channel.subarray(SPEECH_RATE - 800, SPEECH_RATE * 2 + 2400);
    for (const decoder of ['opus', 'libopus'] as const) {
      const [left, right] = decodeFile(path, decoder);
      if (left === undefined || right === undefined) throw new Error('two channels are expected');
      for (const [name, channel, speech, own] of [
        ['caller on the left', left, caller, true],
        ['callee on the right', right, callee, true],
        ['caller on the right', right, caller, false],
        ['callee on the left', left, callee, false],
      ] as const) {
        const found = correlation(around(channel), probe(speech), 3200);
        t.ok(own ? found > 0.85 : found < 0.4, `${decoder}: ${name}: ${found.toFixed(3)}`);
      }
    }
  },
);

t.test('a leg that was never heard is a silent channel', async (t) => {
  const path = join(t.testdir(), 'one.webm');
  const { source, packets } = speak('Nobody answers, so only this side is heard.', 'en-us');
  const records = packets.map((payload, i) => ({
    leg: 1 as const,
    packet: rtpPacket(i, i * 960, 9, payload, 30),
    monotonicUs: MONOTONIC_START_US + i * 20_000,
  }));
  writeFileSync(path, muxTimeline(timelineOf(records)).bytes);
  const loudest = (channel: Float32Array | undefined) =>
    (channel ?? new Float32Array(0)).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  for (const decoder of ['opus', 'libopus'] as const) {
    const [left, right] = decodeFile(path, decoder);
    t.equal(loudest(left), 0, `${decoder}: left`);
    t.ok(loudest(right) > loudest(source) / 2, `${decoder}: right`);
  }
});

t.test('lost packets are no noise in either of the decoders in use', async (t) => {
  const path = join(t.testdir(), 'lossy.webm');
  const { packets, source } = speak('Every third of these packets does not arrive at all.', 'en-us');
  const records = packets.flatMap((payload, i) =>
    i % 3 === 0
      ? []
      : [
          {
            leg: 0 as const,
            packet: rtpPacket(i, i * 960, 9, payload, 30),
            monotonicUs: MONOTONIC_START_US + i * 20_000,
          },
        ],
  );
  writeFileSync(path, muxTimeline(timelineOf(records)).bytes);
  const power = (samples: Float32Array | undefined) =>
    (samples ?? new Float32Array(0)).reduce((sum, sample) => sum + sample * sample, 0) /
    (samples?.length ?? 1);
  for (const decoder of ['opus', 'libopus'] as const) {
    const share = power(decodeFile(path, decoder)[0]) / power(source);
    t.ok(share > 0.1 && share < 1.2, `${decoder}: ${share.toFixed(2)} of the power that was sent`);
  }
});

t.test('what is no finished file is refused by the reader', async (t) => {
  const { bytes } = muxTimeline(timelineOf(lossy.records.slice(0, 200)));
  for (let length = bytes.length - 1; length > 0; length -= 97) {
    t.throws(() => extractStreams(bytes.subarray(0, length)), RangeError, `cut at ${length}`);
  }
  t.throws(() => extractStreams(Buffer.from('RIFF....WAVE')), RangeError, 'another format');
});
