import fc from 'fast-check';
import t from 'tap';
import { readBoth, readSingle } from '../test/independent.ts';
import { joinFrames, missingPacket } from './join.ts';
import { opusHead, splitMultistream, toCommonForm, writeSelfDelimited } from './multistream.ts';
import { createOpusPacket, frameSamplesOf, parseOpus } from './packet.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Any valid packet: all codes, equal and variable, with and without padding. */
const anyPacket = fc
  .record({
    config: fc.nat({ max: 31 }),
    stereo: fc.boolean(),
    code: fc.nat({ max: 3 }),
    variable: fc.boolean(),
    padding: fc.option(fc.nat({ max: 600 })),
    frames: fc.array(fc.uint8Array({ maxLength: 700 }), { minLength: 1, maxLength: 6 }),
  })
  .map(({ config, stereo, code, variable, padding, frames }) => {
    const toc = (config << 3) | (stereo ? 4 : 0) | code;
    const most = Math.max(1, Math.floor(5760 / frameSamplesOf(toc)));
    const first = frames[0] ?? new Uint8Array(0);
    const second = frames[1] ?? first;
    const length = (frame: Uint8Array) =>
      frame.length < 252
        ? [frame.length]
        : [252 + (frame.length & 3), (frame.length - (252 + (frame.length & 3))) / 4];
    if (code === 0) return Buffer.from([toc, ...first]);
    if (code === 1) return Buffer.from([toc, ...first, ...first.map((byte) => byte ^ 255)]);
    if (code === 2) return Buffer.from([toc, ...length(first), ...first, ...second]);
    const all = (variable ? frames : frames.map(() => first)).slice(0, most);
    const pad: number[] = [];
    let rest = padding ?? 0;
    for (; padding !== null && rest > 254; rest -= 254) pad.push(255);
    if (padding !== null) pad.push(rest);
    return Buffer.from([
      toc,
      (variable ? 128 : 0) | (padding === null ? 0 : 64) | all.length,
      ...pad,
      ...(variable ? all.slice(0, -1).flatMap(length) : []),
      ...all.flatMap((frame) => [...frame]),
      ...new Array<number>(padding ?? 0).fill(0),
    ]);
  });

t.test(
  'F21 any packet comes back from its self-delimited form byte for byte, whatever follows it',
  async () => {
    const parsed = createOpusPacket();
    fc.assert(
      fc.property(anyPacket, fc.uint8Array({ maxLength: 20 }), (packet, behind) => {
        const target = new Uint8Array(packet.length + 2 + behind.length);
        const end = writeSelfDelimited(packet, 0, packet.length, target, 0);
        target.set(behind, end);
        if (!parseOpus(target, parsed, 0, end + behind.length, true) || parsed.end !== end) return false;
        return hex(toCommonForm(target, 0, parsed)) === hex(packet);
      }),
      { numRuns: 1000 },
    );
  },
);

t.test('F21 two packets of equal length in one multistream packet come out as they went in', async () => {
  const parsed = createOpusPacket();
  fc.assert(
    fc.property(anyPacket, anyPacket, (left, right) => {
      const samples = [left, right].map((packet) => (parseOpus(packet, parsed) ? parsed.samples : -1));
      const target = new Uint8Array(left.length + 2 + right.length);
      const end = writeSelfDelimited(left, 0, left.length, target, 0);
      target.set(right, end);
      const both = target.subarray(0, end + right.length);
      const split = splitMultistream(both);
      if (samples[0] !== samples[1]) return split === undefined;
      const independent = readBoth(both).map((packet) => packet.frames.map(hex).join());
      const expected = [left, right].map((packet) => readSingle(packet).frames.map(hex).join());
      return (
        split !== undefined &&
        hex(split[0]) === hex(left) &&
        hex(split[1]) === hex(right) &&
        independent.join('|') === expected.join('|')
      );
    }),
    { numRuns: 1000 },
  );
});

t.test(
  'what is no packet is not made self-delimited, and what is no multistream packet is not split',
  async (t) => {
    const target = new Uint8Array(64);
    for (const bad of ['09aabbcc', '0b00', '0b', '0a05aa']) {
      const bytes = Buffer.from(bad, 'hex');
      t.equal(writeSelfDelimited(bytes, 0, bytes.length, target, 0), -1, bad);
    }
    t.equal(writeSelfDelimited(new Uint8Array(0), 0, 0, target, 0), -1, 'nothing');
    for (const [name, bytes] of [
      ['nothing', ''],
      ['one stream', '0802aabb'],
      ['a left packet past the end', '0809aabb08cc'],
      ['streams of different length', '0801aa10bb'],
      ['a right packet that is none', '0801aa0b00'],
    ] as const) {
      t.equal(splitMultistream(Buffer.from(bytes, 'hex')), undefined, name);
    }
  },
);

t.test(
  'a missing frame is a TOC byte alone, or a code 3 packet of empty frames where no frame is that long',
  async (t) => {
    for (const [samples, expected] of [
      [120, 'e0'],
      [240, 'e8'],
      [480, 'f0'],
      [960, 'f8'],
      [1440, 'f303'],
      [1920, 'fb02'],
      [2880, 'fb03'],
      [3840, 'fb04'],
      [4800, 'fb05'],
      [5760, 'fb06'],
    ] as const) {
      const packet = missingPacket(samples);
      t.equal(hex(packet), expected, `${samples / 48} ms`);
      const parsed = createOpusPacket();
      t.ok(parseOpus(packet, parsed) && parsed.samples === samples, `${samples / 48} ms: lasts as long`);
    }
    for (const samples of [0, 100, 5880, -960]) t.throws(() => missingPacket(samples), `${samples} samples`);
  },
);

t.test('F21 joined frames are the frames as they were, with empty ones where some were lost', async (t) => {
  const source = Buffer.from('00aabbccddee', 'hex');
  t.equal(hex(joinFrames(0x0b, source, [{ start: 1, length: 2 }])), '08aabb', 'one frame needs no code 3');
  t.equal(
    hex(
      joinFrames(0x08, source, [
        { start: 1, length: 2 },
        { start: 3, length: 2 },
      ]),
    ),
    '0b02aabbccdd',
    'equal frames',
  );
  t.equal(
    hex(
      joinFrames(0x08, source, [
        { start: 1, length: 2 },
        { start: 0, length: 0 },
        { start: 3, length: 3 },
      ]),
    ),
    '0b830200aabbccddee',
    'unequal frames, one lost',
  );
  t.throws(() => joinFrames(0x08, source, new Array(7).fill({ start: 0, length: 0 })), 'no more than 120 ms');
  t.throws(() => joinFrames(0x08, source, []));
});

t.test('OpusHead says two uncoupled streams, left first, or one mono stream', async (t) => {
  t.equal(
    hex(opusHead(2)),
    '4f70757348656164' + '0102' + '0000' + '80bb0000' + '0000' + '01' + '0200' + '0001',
  );
  t.equal(hex(opusHead(1)), '4f70757348656164' + '0101' + '0000' + '80bb0000' + '0000' + '00');
});
