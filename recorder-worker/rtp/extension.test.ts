import fc from 'fast-check';
import t from 'tap';
import { audioLevel, extensionElement } from './extension.ts';
import { createRtpHeader, parseRtp } from './packet.ts';

/** An RTP packet with this extension: profile and data as hex, the data padded to whole words. */
function packetWith(profile: string, data: string) {
  const bytes = Buffer.from(data, 'hex');
  const words = Math.ceil(bytes.length / 4);
  const packet = Buffer.concat([
    Buffer.from('906f00010000000200000003', 'hex'),
    Buffer.from(profile, 'hex'),
    Buffer.from([words >> 8, words & 0xff]),
    bytes,
    Buffer.alloc(words * 4 - bytes.length),
    Buffer.from('78ff', 'hex'),
  ]);
  const header = createRtpHeader();
  if (!parseRtp(packet, header)) throw new Error('the test packet does not parse');
  return { packet, header };
}

function element(profile: string, data: string, id: number): string | undefined {
  const { packet, header } = packetWith(profile, data);
  const found = extensionElement(packet, header, id);
  return found === undefined ? undefined : Buffer.from(found).toString('hex');
}

t.test('one-byte elements as in the example of RFC 8285 section 4.2', async (t) => {
  // ID 1 of 1 byte, ID 2 of 2 bytes, two bytes of padding, ID 3 of 4 bytes.
  const data = '10aa' + '21bbcc' + '0000' + '33ddeeff11';
  t.equal(element('bede', data, 1), 'aa');
  t.equal(element('bede', data, 2), 'bbcc');
  t.equal(element('bede', data, 3), 'ddeeff11');
  t.equal(element('bede', data, 4), undefined);
  t.equal(element('bede', data, 0), undefined, 'ID 0 is padding, not an element');
});

t.test('two-byte elements as in the example of RFC 8285 section 4.3', async (t) => {
  // ID 1 of 0 bytes, ID 2 of 1 byte, padding, ID 3 of 4 bytes.
  const data = '0100' + '0201aa' + '00' + '0304bbccddee';
  for (const profile of ['1000', '1001', '100f']) {
    t.equal(element(profile, data, 1), '', 'an element may be empty');
    t.equal(element(profile, data, 2), 'aa');
    t.equal(element(profile, data, 3), 'bbccddee');
  }
  t.equal(element('1010', data, 2), undefined, 'another profile holds no elements');
  t.equal(element('0bad', data, 2), undefined, 'another profile holds no elements');
});

t.test('ID 15 of the one-byte form ends the list', async (t) => {
  t.equal(element('bede', '10aa' + 'f0' + '20bb', 1), 'aa');
  t.equal(element('bede', '10aa' + 'f0' + '20bb', 2), undefined);
});

t.test('an element that reaches past the extension is not read, those in front of it are', async (t) => {
  t.equal(element('bede', '10aa' + '2fbb', 1), 'aa');
  t.equal(element('bede', '10aa' + '2fbb', 2), undefined);
  t.equal(element('1000', '0101aa' + '02', 2), undefined);
});

t.test('the audio level of RFC 6464 is read in both forms, voice activity or not', async (t) => {
  for (const [profile, data, level] of [
    ['bede', '60ff', 127],
    ['bede', '6000', 0],
    ['bede', '60a3', 0x23],
    ['bede', '6023', 0x23],
    ['1000', '06019e', 0x1e],
    ['1000', '0600', -1],
    ['bede', '50a3', -1],
  ] as const) {
    const { packet, header } = packetWith(profile, data);
    t.equal(audioLevel(packet, header, 6), level, `${profile} ${data}`);
  }
  const bare = Buffer.from('806f00010000000200000003', 'hex');
  const header = createRtpHeader();
  parseRtp(bare, header);
  t.equal(audioLevel(bare, header, 6), -1, 'no extension at all');
});

t.test('random extension bytes never throw and stay inside the extension', async () => {
  fc.assert(
    fc.property(
      fc.constantFrom('bede', '1000', '100a'),
      fc.uint8Array({ maxLength: 40 }),
      fc.nat({ max: 255 }),
      (profile, data, id) => {
        const { packet, header } = packetWith(profile, Buffer.from(data).toString('hex'));
        const found = extensionElement(packet, header, id);
        const level = audioLevel(packet, header, id);
        const inside = (bytes: Uint8Array) =>
          bytes.byteOffset - packet.byteOffset + bytes.length <=
          header.extensionStart + header.extensionLength;
        return level >= -1 && level <= 127 && (found === undefined || inside(found));
      },
    ),
    { numRuns: 1000 },
  );
});
