import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { BufferSource, EncodedPacketSink, Input, MP4, OGG, WEBM } from 'mediabunny';
import type { Test } from 'tap';
import t from 'tap';
import { openSealed, sealFile } from '#store';
import { muxedCall, muxedSpeech } from '../../../recorder-worker/test/muxed.ts';
import { correlation, decodeFile, SPEECH_RATE, speak } from '../../../recorder-worker/test/speech.ts';
import type { SealedSource } from '../playback.ts';
import { opusSamples, readPackets } from './packets.ts';
import { Remuxes } from './remuxes.ts';

const SHA256 = 'ab'.repeat(32);
const CONTAINERS = ['mp4', 'ogg'] as const;

const identity = await generateX25519Identity();
const recipients = [await identityToRecipient(identity)];

/** Sealed as every recording is, and read through the seal. */
async function remuxesOf(t: Test, recordings: Record<string, Buffer>) {
  const dir = t.testdir();
  const paths = (id: string) => ({ pay: join(dir, `${id}.pay`), hdr: join(dir, `${id}.hdr`) });
  for (const [id, plaintext] of Object.entries(recordings))
    await sealFile({ ...paths(id), plaintext, recipients });
  const opened: string[] = [];
  const remuxes = new Remuxes(async (id) => {
    opened.push(id);
    return openSealed({ ...paths(id), identity });
  });
  return { remuxes, opened };
}

async function bytesOf(source: SealedSource, offset = 0, end = source.sizeBytes): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of source.stream(offset, end)) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

async function whole(remuxes: Remuxes, id: string, container: 'mp4' | 'ogg'): Promise<Buffer> {
  const file = await remuxes.open(id, SHA256, container);
  try {
    const bytes = await bytesOf(file);
    if (bytes.length !== file.sizeBytes) throw new Error(`${bytes.length} bytes, not ${file.sizeBytes}`);
    return bytes;
  } finally {
    await file.close();
  }
}

/** Every packet of every track, as mediabunny reads it. */
async function packetsOf(bytes: Buffer) {
  const input = new Input({ source: new BufferSource(bytes), formats: [WEBM, MP4, OGG] });
  const tracks: { channels: number; packets: { ms: number; data: Buffer }[] }[] = [];
  for (const track of await input.getAudioTracks()) {
    const packets: { ms: number; data: Buffer }[] = [];
    for await (const { timestamp, data } of new EncodedPacketSink(track).packets())
      packets.push({ ms: Math.round(timestamp * 1_000), data: Buffer.from(data) });
    tracks.push({ channels: track.numberOfChannels, packets });
  }
  return { tracks, seconds: await input.computeDuration() };
}

t.test('F21 MP4 and Ogg have the very packets of the recording, at the same times', async (t) => {
  const webm = muxedCall({ seconds: 61 });
  const { remuxes } = await remuxesOf(t, { call: webm });
  const ours = await packetsOf(webm);
  t.equal(ours.tracks.length, 1);
  for (const container of CONTAINERS) {
    const { tracks, seconds } = await packetsOf(await whole(remuxes, 'call', container));
    t.equal(tracks.length, 1, container);
    t.equal(tracks[0]?.channels, 2, container);
    const told = tracks[0]?.packets ?? [];
    const kept = ours.tracks[0]?.packets ?? [];
    t.equal(told.length, kept.length, `${container}: ${kept.length} packets`);
    t.ok(
      told.every(({ data }, i) => kept[i]?.data.equals(data)),
      `${container}: bit for bit`,
    );
    t.ok(
      told.every(({ ms }, i) => Math.abs(ms - (kept[i]?.ms ?? Number.NaN)) <= 1),
      `${container}: at the same times`,
    );
    t.ok(Math.abs(seconds - ours.seconds) < 0.002, `${container}: ${seconds} s of ${ours.seconds} s`);
  }
});

t.test('F21 legs that do not fit together keep a track each in MP4, and have no Ogg form', async (t) => {
  const webm = muxedCall({ seconds: 20, apart: true });
  const { remuxes } = await remuxesOf(t, { call: webm });
  const ours = await packetsOf(webm);
  t.equal(ours.tracks.length, 2);
  const { tracks } = await packetsOf(await whole(remuxes, 'call', 'mp4'));
  t.same(
    tracks.map(({ channels, packets }) => [channels, packets.length]),
    ours.tracks.map(({ channels, packets }) => [channels, packets.length]),
  );
  for (const [index, { packets }] of tracks.entries()) {
    const kept = ours.tracks[index]?.packets ?? [];
    t.ok(
      packets.every(
        ({ ms, data }, i) => kept[i]?.data.equals(data) && Math.abs(ms - (kept[i]?.ms ?? 0)) <= 1,
      ),
      `track ${index}: the same packets at the same times`,
    );
  }
  await t.rejects(remuxes.prepare('call', 'ogg'), { code: 'format_unavailable' });
});

t.test('F24 any range is the same bytes as that part of the whole', async (t) => {
  const { remuxes } = await remuxesOf(t, {
    call: muxedCall({ seconds: 90 }),
    apart: muxedCall({ seconds: 90, apart: true }),
  });
  for (const [id, container] of [
    ['call', 'mp4'],
    ['call', 'ogg'],
    ['apart', 'mp4'],
  ] as const) {
    const all = await whole(remuxes, id, container);
    const file = await remuxes.open(id, SHA256, container);
    const random = Array.from({ length: 60 }, () => {
      const offset = randomBytes(4).readUInt32BE() % all.length;
      return [offset, offset + 1 + (randomBytes(4).readUInt32BE() % (all.length - offset))] as const;
    });
    const borders = [0, 1, 31, 32, 4_095, all.length - 1].map((at) => [at, at + 1] as const);
    const wrong: unknown[] = [];
    for (const [offset, end] of [...random, ...borders, [0, all.length] as const]) {
      const bytes = await bytesOf(file, offset, end);
      if (!bytes.equals(all.subarray(offset, end))) wrong.push([offset, end]);
    }
    t.strictSame(wrong, [], `${id}.${container}`);
    await file.close();
  }
});

t.test('F25 ffmpeg decodes the same speech from each container, each side in its channel', async (t) => {
  const caller = speak('The quick brown fox jumps over the lazy dog and runs into the forest.', 'en-us');
  const callee = speak('Seven hundred and forty two apples were sold on Wednesday morning.', 'en-gb+f3');
  const { remuxes } = await remuxesOf(t, { call: muxedSpeech([caller, callee]) });
  const probe = ({ source }: { source: Float32Array }) => source.subarray(SPEECH_RATE, SPEECH_RATE * 2);
  const around = (channel: Float32Array | undefined) =>
    (channel ?? new Float32Array(0)).subarray(SPEECH_RATE - 800, SPEECH_RATE * 2 + 2_400);
  for (const container of CONTAINERS) {
    const path = join(t.testdirName, `speech.${container}`);
    writeFileSync(path, await whole(remuxes, 'call', container));
    const complaints = execFileSync('ffmpeg', ['-v', 'warning', '-i', path, '-f', 'null', '-'], {
      encoding: 'utf8',
    });
    t.equal(complaints, '', `${container}: nothing to complain about`);
    for (const decoder of ['opus', 'libopus'] as const) {
      const [left, right] = decodeFile(path, decoder);
      const heard = [correlation(around(left), probe(caller), 3_200)];
      heard.push(correlation(around(right), probe(callee), 3_200));
      t.ok(
        heard.every((value) => value > 0.85),
        `${container}, ${decoder}: ${heard}`,
      );
    }
  }
});

t.test('the same recording gives the same bytes, and another tag for another container', async (t) => {
  const { remuxes } = await remuxesOf(t, { call: muxedCall({ seconds: 20 }) });
  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  // Pinned: an entity tag must never name other bytes than before; a change is a new version of the layout.
  t.matchOnlyStrict(
    {
      mp4: digest(await whole(remuxes, 'call', 'mp4')),
      ogg: digest(await whole(remuxes, 'call', 'ogg')),
    },
    {
      mp4: '9203582beed18a5afa17733e1b75d8b7247e717a962f3dba4a081107cc97c17f',
      ogg: '092e053e27bf9575eb4190d6481d4f098f0f404a12dd546186641b6b4844de94',
    },
  );
  const tags = await Promise.all(
    CONTAINERS.map(async (container) => {
      const file = await remuxes.open('call', SHA256, container);
      await file.close();
      return file.fingerprint;
    }),
  );
  t.equal(new Set([...tags, SHA256]).size, 3);
});

t.test('the packets are found in pieces of any size', async (t) => {
  const webm = muxedCall({ seconds: 12 });
  const inPieces = (bytes: number): SealedSource => ({
    sizeBytes: webm.length,
    stream: () =>
      Readable.from(
        (function* () {
          for (let at = 0; at < webm.length; at += bytes) yield webm.subarray(at, at + bytes);
        })(),
        { objectMode: true },
      ),
    close: async () => {},
  });
  const once = await readPackets(inPieces(webm.length));
  t.ok((once[0]?.at.length ?? 0) > 500);
  for (const bytes of [1, 7, 33, 4_099]) t.strictSame(await readPackets(inPieces(bytes)), once, `${bytes}`);
});

t.test('a file that is cut off or none of ours is refused', async (t) => {
  const webm = muxedCall({ seconds: 3 });
  const read = (bytes: Buffer) =>
    readPackets({ sizeBytes: bytes.length, stream: () => Readable.from([bytes]), close: async () => {} });
  for (const length of [1, 40, 200, webm.length - 1])
    await t.rejects(read(webm.subarray(0, length)), { code: 'corrupt' }, `cut at ${length}`);
  await t.rejects(read(Buffer.from('RIFF....WAVE and so on, for longer than a look')), { code: 'corrupt' });
  await t.rejects(read(Buffer.alloc(100)), { code: 'corrupt' });
  const { remuxes } = await remuxesOf(t, { bad: Buffer.from('no recording at all') });
  await t.rejects(remuxes.prepare('bad', 'mp4'), { code: 'corrupt' });
});

t.test('a recording is read once for its index, and again when it was forgotten', async (t) => {
  const { remuxes, opened } = await remuxesOf(t, { call: muxedCall({ seconds: 3 }) });
  await Promise.all([remuxes.prepare('call', 'mp4'), remuxes.prepare('call', 'ogg')]);
  await remuxes.prepare('call', 'mp4');
  t.strictSame(opened, ['call'], 'once');
  remuxes.forget('call');
  await remuxes.prepare('call', 'mp4');
  t.strictSame(opened, ['call', 'call'], 'F41 nothing of it was kept');
});

t.test('the length of a packet by its first bytes (RFC 6716 section 3.1)', async (t) => {
  const rows: [string, number, number, number][] = [
    ['SILK 60 ms, one frame', 3 << 3, 0, 2_880],
    ['hybrid 20 ms, two frames', (13 << 3) | 1, 0, 1_920],
    ['CELT 2.5 ms, two frames of different length', (28 << 3) | 2, 0, 240],
    ['CELT 20 ms, six frames', (31 << 3) | 3, 0x86, 5_760],
    ['no frame at all', (31 << 3) | 3, 0, 0],
  ];
  for (const [title, toc, second, samples] of rows) t.equal(opusSamples(toc, second), samples, title);
});
