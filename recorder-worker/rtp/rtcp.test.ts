import fc from 'fast-check';
import t from 'tap';
import { senderReports } from './rtcp.ts';

/** SSRC 0x11223344, NTP 0xe8000000.80000000 (half a second past), RTP timestamp 0xfffffff0, 5 packets, 400 bytes. */
const REPORT = '80c80006' + '11223344' + 'e800000080000000' + 'fffffff0' + '00000005' + '00000190';
/** A report with one report block behind it. */
const WITH_BLOCK = `81c8000c55667788e8000001000000000000000100000006000001f4${'00'.repeat(24)}`;
const SDES = '81ca0004' + '11223344' + '0106616c69636521' + '00000000';
const RECEIVER_REPORT = `81c9000711223344${'00'.repeat(24)}`;

t.test(
  'a sender report gives NTP time in microseconds and the RTP timestamp of the same instant',
  async (t) => {
    t.same(senderReports(Buffer.from(REPORT, 'hex')), [
      {
        ssrc: 0x11223344,
        ntpUs: 0xe8000000 * 1_000_000 + 500_000,
        rtpTimestamp: 0xfffffff0,
        packetCount: 5,
        byteCount: 400,
      },
    ]);
  },
);

t.test('the reports of a compound packet are found among the rest', async (t) => {
  const compound = Buffer.from(RECEIVER_REPORT + REPORT + SDES + WITH_BLOCK, 'hex');
  t.same(
    senderReports(compound).map((report) => report.ssrc),
    [0x11223344, 0x55667788],
  );
  const inside = Buffer.concat([Buffer.alloc(5), compound, Buffer.alloc(3, 0x80)]);
  t.equal(senderReports(inside, 5, 5 + compound.length).length, 2, 'by range');
});

t.test('a compound packet that is cut anywhere still gives the reports in front of the cut', async (t) => {
  const compound = Buffer.from(REPORT + WITH_BLOCK, 'hex');
  for (let length = 0; length < compound.length; length += 1) {
    const expected = length < 28 ? 0 : 1;
    t.equal(senderReports(compound.subarray(0, length)).length, expected, `cut at ${length}`);
  }
});

t.test('what is no sender report is passed over', async (t) => {
  for (const [name, hex] of [
    ['a receiver report', RECEIVER_REPORT],
    ['a source description', SDES],
    ['a sender report that is too short for its fields', '80c80001' + '11223344'],
    ['version 1', `40${REPORT.slice(2)}`],
    ['a length past the end', `80c8ffff${REPORT.slice(8)}`],
  ] as const) {
    t.same(senderReports(Buffer.from(hex, 'hex')), [], name);
  }
});

t.test('random bytes never throw', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, plausible) => {
      if (plausible && bytes.length > 3) bytes.set([0x80, 200, 0, (bytes[3] ?? 0) & 15]);
      return senderReports(bytes).every((report) => Number.isSafeInteger(report.ntpUs));
    }),
    { numRuns: 2000 },
  );
});
