import fc from 'fast-check';
import t from 'tap';
import { createRtpHeader, isRtcp, parseRtp } from './packet.ts';

/** A packet with everything in it: two CSRCs, a header extension, three bytes of payload, four of padding. */
const FULL = Buffer.from(
  'b2ef' + // V=2 P=1 X=1 CC=2, M=1 PT=111
    'fffe' + // sequence 65534
    'fffffc40' + // timestamp 4294966336
    '89abcdef' + // SSRC
    '0000000100000002' + // CSRCs
    'bede0001' + // extension, one word
    '10aabb00' +
    '010203' + // payload
    '00000004', // padding
  'hex',
);

t.test('F21 a whole RTP packet gives every field of its header', async (t) => {
  const header = createRtpHeader();
  t.equal(parseRtp(FULL, header), true);
  t.same(header, {
    payloadType: 111,
    marker: true,
    sequence: 65_534,
    timestamp: 4_294_966_336,
    ssrc: 0x89abcdef,
    extensionProfile: 0xbede,
    extensionStart: 24,
    extensionLength: 4,
    payloadStart: 28,
    payloadLength: 3,
  });
});

t.test('a packet inside a larger buffer is parsed by its range', async (t) => {
  const header = createRtpHeader();
  const bytes = Buffer.concat([Buffer.alloc(7, 0xff), FULL, Buffer.alloc(9, 0xff)]);
  t.equal(parseRtp(bytes, header, 7, 7 + FULL.length), true);
  t.equal(header.payloadStart, 35);
  t.equal(header.payloadLength, 3);
  t.equal(parseRtp(bytes, header, -1, FULL.length), false, 'a range in front of the buffer');
  t.equal(parseRtp(bytes, header, 7, bytes.length + 1), false, 'a range behind the buffer');
});

t.test(
  'a packet cut at any length is refused or parsed within what is there, and never throws',
  async (t) => {
    const header = createRtpHeader();
    for (let length = 0; length < FULL.length; length += 1) {
      const cut = FULL.subarray(0, length);
      if (!parseRtp(cut, header)) continue;
      t.ok(header.payloadStart + header.payloadLength <= length, `cut at ${length}`);
      t.ok(length > 28, `the header is whole at ${length}`);
    }
  },
);

t.test('what is no RTP packet is refused', async (t) => {
  const header = createRtpHeader();
  const base = Buffer.from('806f00010000000200000003', 'hex');
  t.equal(parseRtp(base, header), true, 'the packet that the rows change');
  t.equal(header.payloadLength, 0, 'an empty payload is a packet');
  for (const [name, hex] of [
    ['nothing', ''],
    ['version 0', '006f00010000000200000003'],
    ['version 1', '406f00010000000200000003'],
    ['version 3', 'c06f00010000000200000003'],
    ['a CSRC list past the end', '816f00010000000200000003'],
    ['an extension without a header', '906f00010000000200000003'],
    ['an extension header cut off', '906f00010000000200000003bede'],
    ['an extension past the end', '906f00010000000200000003bede000110aabb'],
    ['padding of nothing', 'a06f00010000000200000003'],
    ['padding of 0', 'a06f0001000000020000000300'],
    ['padding past the payload', 'a06f0001000000020000000302'],
    ['an RTCP sender report', '80c80006000000020000000300000000000000000000000000000000'],
    ['an RTCP receiver report', '81c900070000000200000003'],
    ['a STUN binding request', '000100002112a442000000000000000000000000'],
    ['a DTLS record', '16fefd0000000000000000000000'],
  ] as const) {
    t.equal(parseRtp(Buffer.from(hex, 'hex'), header), false, name);
  }
});

t.test('RTP and RTCP on one port are told apart by the second byte (RFC 5761)', async (t) => {
  for (let type = 0; type < 256; type += 1) {
    t.equal(isRtcp(Buffer.from([0x80, type])), type >= 192 && type <= 223, `second byte ${type}`);
  }
  t.equal(isRtcp(Buffer.from([0x80])), false, 'one byte is neither');
});

t.test('random bytes never throw and never point outside of themselves', async () => {
  const header = createRtpHeader();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, plausible) => {
      // Half of the cases begin like RTP, or nearly all would end at the version.
      if (plausible && bytes.length > 1) {
        bytes[0] = 0x80 | ((bytes[0] ?? 0) & 0x3f);
        bytes[1] = 111;
      }
      if (!parseRtp(bytes, header)) return true;
      return (
        header.payloadLength >= 0 &&
        header.payloadStart + header.payloadLength <= bytes.length &&
        header.extensionStart + header.extensionLength <= header.payloadStart
      );
    }),
    { numRuns: 2000 },
  );
});
