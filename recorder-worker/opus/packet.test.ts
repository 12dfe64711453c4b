import fc from 'fast-check';
import t from 'tap';
import { readSingle } from '../test/independent.ts';
import { createOpusPacket, frameSamplesOf, parseOpus, sameConfig, writeLength } from './packet.ts';

const packet = createOpusPacket();

function lengths(hex: string, selfDelimited = false): number[] | undefined {
  const bytes = Buffer.from(hex, 'hex');
  if (!parseOpus(bytes, packet, 0, bytes.length, selfDelimited)) return undefined;
  return Array.from(packet.frameLength.subarray(0, packet.frameCount));
}

t.test('the frame size of every config is the one of RFC 6716 table 2', async (t) => {
  const silk = [10, 20, 40, 60];
  const table = [
    ...silk, // 0-3 SILK narrowband
    ...silk, // 4-7 SILK medium band
    ...silk, // 8-11 SILK wideband
    ...[10, 20, 10, 20], // 12-15 hybrid
    ...[2.5, 5, 10, 20], // 16-19 CELT narrowband
    ...[2.5, 5, 10, 20], // 20-23 CELT wideband
    ...[2.5, 5, 10, 20], // 24-27 CELT super-wideband
    ...[2.5, 5, 10, 20], // 28-31 CELT fullband
  ];
  table.forEach((ms, config) => {
    for (const low of [0, 3, 4, 7]) t.equal(frameSamplesOf((config << 3) | low), ms * 48, `config ${config}`);
  });
});

t.test(
  'F21 all four frame count codes are taken apart, in the common and the self-delimited form',
  async (t) => {
    for (const [name, hex, frames, samples] of [
      ['code 0', '08aabbcc', [3], 960],
      ['code 0 without data', '08', [0], 960],
      ['code 1', '09aabbccdd', [2, 2], 1920],
      ['code 1 without data', '09', [0, 0], 1920],
      ['code 2', '0a01aabbcc', [1, 2], 1920],
      ['code 2, first frame empty', '0a00aabbcc', [0, 3], 1920],
      ['code 2, second frame empty', '0a02aabb', [2, 0], 1920],
      ['code 3, three equal frames', '0b03aabbcc', [1, 1, 1], 2880],
      ['code 3, variable', '0b830102aabbccddeeff', [1, 2, 3], 2880],
      ['code 3, padding', '0b4202aabb0000', [1, 1], 1920],
      ['code 3, variable with padding', '0bc20301aabbcc000000', [1, 2], 1920],
      ['code 3, one frame', '0b01aabb', [2], 960],
      ['code 3, 48 frames of 2.5 ms', `8330${'aa'.repeat(48)}`, new Array(48).fill(1), 5760],
    ] as const) {
      t.same(lengths(hex), frames, name);
      t.equal(packet.samples, samples, `${name}: samples`);
    }
    for (const [name, hex, frames] of [
      ['code 0', '0803aabbcc', [3]],
      ['code 0 without data', '0800', [0]],
      ['code 1', '0902aabbccdd', [2, 2]],
      ['code 2', '0a0102aabbcc', [1, 2]],
      ['code 3, equal', '0b0301aabbcc', [1, 1, 1]],
      ['code 3, variable', '0b83010203aabbccddeeff', [1, 2, 3]],
      ['code 3, padding', '0b420201aabb0000', [1, 1]],
    ] as const) {
      t.same(lengths(`${hex}9999`, true), frames, `${name}, self-delimited`);
      t.equal(packet.end, hex.length / 2, `${name}: what follows is not part of it`);
    }
  },
);

t.test('padding of more than 254 bytes is counted as section 3.2.5 says', async (t) => {
  t.same(lengths(`0b41ff00aabb${'00'.repeat(254)}`), [2]);
  t.same(lengths(`0b41ff01aabb${'00'.repeat(255)}`), [2]);
  t.same(lengths(`0b41ff01${'00'.repeat(254)}`), undefined, 'one byte less than it says');
});

t.test('what requirements R1 to R7 refuse is refused', async (t) => {
  for (const [name, hex] of [
    ['R1: no TOC byte', ''],
    ['R2: a frame of 1276 bytes', `08${'00'.repeat(1276)}`],
    ['R2: code 1 with two frames of 1276 bytes', `09${'00'.repeat(2552)}`],
    ['R3: code 1 with an odd number of bytes', '09aabbcc'],
    ['R4: code 2 without a length', '0a'],
    ['R4: code 2 with half a length', '0afc'],
    ['R4: code 2 with a length past the end', '0a05aabb'],
    ['R5: code 3 without a count', '0b'],
    ['R5: code 3 of no frames', '0b00'],
    ['R5: 140 ms', `0b07${'aa'.repeat(7)}`],
    ['R5: 49 frames of 2.5 ms', `8331${'aa'.repeat(49)}`],
    ['R6: equal frames that do not divide', '0b02aabbcc'],
    ['R6: padding past the end', '0b4205aabb'],
    ['R6: padding without its length', '0b42'],
    ['R7: variable without lengths', '0b83'],
    ['R7: variable with lengths past the end', '0b830909aabb'],
  ] as const) {
    t.equal(lengths(hex), undefined, name);
  }
  t.same(lengths(`08${'00'.repeat(1275)}`), [1275], 'a frame of 1275 bytes is allowed');
});

t.test('a self-delimited packet cut at any length is refused', async (t) => {
  for (const hex of [
    '0803aabbcc',
    '0902aabbccdd',
    '0a0102aabbcc',
    '0b83010203aabbccddeeff',
    '0bc2030102aabbcc000000',
  ]) {
    const bytes = Buffer.from(hex, 'hex');
    t.equal(parseOpus(bytes, packet, 0, bytes.length, true), true, hex);
    for (let length = 0; length < bytes.length; length += 1) {
      t.equal(parseOpus(bytes, packet, 0, length, true), false, `${hex} cut at ${length}`);
    }
  }
});

t.test('frame lengths are coded as in section 3.2.1', async (t) => {
  const bytes = new Uint8Array(2);
  for (let length = 0; length <= 1275; length += 1) {
    const end = writeLength(bytes, 0, length);
    const first = bytes[0] ?? 0;
    const read = first < 252 ? first : first + 4 * (bytes[1] ?? 0);
    if (read !== length || end !== (length < 252 ? 1 : 2)) t.fail(`length ${length}`);
  }
  t.same([...bytes], [255, 255], 'the longest is 1275');
});

t.test('two packets share a packet only with the same config and the same stereo bit', async (t) => {
  t.equal(sameConfig(0x08, 0x0b), true);
  t.equal(sameConfig(0x08, 0x0c), false);
  t.equal(sameConfig(0x08, 0x10), false);
});

t.test('what an independent parser says of random packets is what ours says', async (t) => {
  let accepted = 0;
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (bytes) => {
      if (!parseOpus(bytes, packet)) return;
      accepted += 1;
      const independent = readSingle(bytes);
      const ours = Array.from(packet.frameStart.subarray(0, packet.frameCount), (start, i) =>
        Buffer.from(bytes.subarray(start, start + (packet.frameLength[i] ?? 0))).toString('hex'),
      );
      const theirs = independent.frames.map((frame) => Buffer.from(frame).toString('hex'));
      if (ours.join() !== theirs.join()) throw new Error(`${ours.join()} is not ${theirs.join()}`);
    }),
    { numRuns: 3000 },
  );
  t.ok(accepted > 500, `enough of them were packets (${accepted})`);
});
