import fc from 'fast-check';
import t from 'tap';
import { muxTimeline } from './mux.ts';
import { extractStreams, opusFrames } from './mux-read.ts';
import { createOpusPacket, parseOpus } from './opus/packet.ts';
import { createRtpHeader, parseRtp } from './rtp/packet.ts';
import { rtpPacket, senderReport } from './test/calls.ts';
import { TimelineBuilder } from './timeline.ts';
import { coverageOf } from './timeline-coverage.ts';

/** Streams that no healthy browser sends, on one leg; the other leg talks all the time, or not at all. */
interface Sent {
  sequence: number;
  timestamp: number;
  arrivalMs: number;
  ssrc?: number;
}

function finish(sent: readonly Sent[], options: { otherMs?: number } = {}) {
  const builder = new TimelineBuilder(0);
  builder.epoch(1, 'r', 0, 1_790_000_000_000);
  const records = sent.map(({ sequence, timestamp, arrivalMs, ssrc }, i) => {
    const payload = Buffer.alloc(8);
    payload[0] = 0x08;
    payload.writeUInt32BE(i + 1, 1);
    const packet = rtpPacket(sequence & 0xffff, timestamp >>> 0, ssrc ?? 5, payload, 30);
    return { leg: 0 as 0 | 1, packet, us: arrivalMs * 1000 };
  });
  for (let ms = 0; ms < (options.otherMs ?? 0); ms += 20) {
    const payload = Buffer.from([0x08, 0xff, ms >> 8, ms & 0xff]);
    records.push({ leg: 1, packet: rtpPacket(ms / 20, ms * 48, 6, payload, 30), us: ms * 1000 });
  }
  records.sort((a, b) => a.us - b.us);
  for (const { leg, packet, us } of records) builder.add(leg, packet, us);
  const timeline = builder.build();
  const file = muxTimeline(timeline);
  const { caller } = extractStreams(file.bytes);
  const heard = caller.flatMap(({ packet, timeMs }) =>
    opusFrames(packet).map((frame) => ({ timeMs, number: Buffer.from(frame).readUInt32BE(0) })),
  );
  return {
    heard,
    durationMs: file.durationSamples / 48,
    report: coverageOf(timeline).legs[0],
    combined: file.combined,
  };
}

/** `count` packets of 20 ms from these numbers on. */
function stream(count: number, from: Sent): Sent[] {
  return Array.from({ length: count }, (_, i) => ({
    ...from,
    sequence: from.sequence + i,
    timestamp: from.timestamp + i * 960,
    arrivalMs: from.arrivalMs + i * 20,
  }));
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

t.test('F21 a sender that restarts its timestamps goes on where it arrives', async (t) => {
  for (const [name, timestamp] of [
    ['far ahead', 3_000_000_000],
    ['back to the start', 7],
    ['by a minute', 1_000_000 + 100 * 960 + 60 * 48_000],
  ] as const) {
    const sent = [
      ...stream(100, { sequence: 1, timestamp: 1_000_000, arrivalMs: 0 }),
      ...stream(100, { sequence: 101, timestamp, arrivalMs: 2_000 }),
    ];
    const { heard, durationMs } = finish(sent);
    t.same(
      heard.map(({ number }) => number),
      numbers(200),
      `${name}: every frame, in order`,
    );
    t.ok(Math.abs(durationMs - 4_000) <= 40, `${name}: ${durationMs} ms`);
  }
});

t.test('F21 a sender that restarts its sequence numbers loses nothing', async (t) => {
  const sent = [
    ...stream(100, { sequence: 40_000, timestamp: 0, arrivalMs: 0 }),
    ...stream(100, { sequence: 3, timestamp: 5, arrivalMs: 2_000 }),
  ];
  const { heard, report } = finish(sent);
  t.same(
    heard.map(({ number }) => number),
    numbers(200),
  );
  t.equal(report.lost, 0, 'a restart is not a loss');
});

t.test('F37 half an hour without a packet is a gap of half an hour, with its loss or without', async (t) => {
  const minutes = 30;
  for (const [name, skipped] of [
    ['lost on the way', (minutes * 60_000) / 20],
    ['not sent at all', 0],
  ] as const) {
    const sent = [
      ...stream(50, { sequence: 0, timestamp: 0, arrivalMs: 0 }),
      ...stream(50, {
        sequence: 50 + skipped,
        timestamp: 50 * 960 + minutes * 60 * 48_000,
        arrivalMs: 1_000 + minutes * 60_000,
      }),
    ];
    const { heard, durationMs, report } = finish(sent);
    t.same(
      heard.map(({ number }) => number),
      numbers(100),
      name,
    );
    t.ok(Math.abs(durationMs - (minutes * 60_000 + 2_000)) <= 40, `${name}: ${durationMs} ms`);
    t.equal(report.gaps.length, 1, `${name}: one gap`);
    t.ok(Math.abs((report.gaps[0]?.lengthMs ?? 0) - minutes * 60_000) <= 40, name);
    // 90,000 sequence numbers are one turn and 24,464 more: whole turns leave no trace.
    t.equal(report.lost, skipped % 65_536, `${name}: lost`);
  }
});

t.test('F21 a reader that stood still for five seconds puts nothing in another place', async (t) => {
  const sent = stream(500, { sequence: 65_400, timestamp: 4_294_900_000, arrivalMs: 0 }).map((packet) => ({
    ...packet,
    // Everything that came between 2 s and 7 s is read at 7 s.
    arrivalMs: packet.arrivalMs >= 2_000 && packet.arrivalMs < 7_000 ? 7_000 : packet.arrivalMs,
  }));
  const { heard, durationMs } = finish(sent, { otherMs: 10_000 });
  t.same(
    heard.map(({ number }) => number),
    numbers(500),
  );
  t.equal(durationMs, 10_000);
  t.ok(heard.every(({ timeMs, number }) => Math.abs(timeMs - (number - 1) * 20) <= 20));
});

t.test(
  'F21 a packet that was sent again seconds later is put where it belongs, and a repetition nowhere',
  async (t) => {
    const sent = stream(500, { sequence: 65_300, timestamp: 4_294_800_000, arrivalMs: 0 });
    const late = { ...(sent[250] as Sent), arrivalMs: 9_000 };
    const again = { ...(sent[10] as Sent), arrivalMs: 9_500 };
    const { heard, report } = finish([...sent.slice(0, 250), ...sent.slice(251), late, again]);
    // Numbered as given to `finish`: 250 is sent[250] lacking, the last two are the late one and the repetition.
    const expected = [...numbers(250), 500, ...numbers(499).slice(250)];
    t.same(
      heard.map(({ number }) => number),
      expected,
    );
    t.equal(report.duplicates, 1);
    t.equal(report.lost, 0);
  },
);

t.test('a stream that begins with its second packet has the first in front', async (t) => {
  const [first, second, ...rest] = stream(20, { sequence: 0, timestamp: 480, arrivalMs: 100 });
  const { heard } = finish([second as Sent, { ...(first as Sent), arrivalMs: 121 }, ...rest]);
  t.same(
    heard.map(({ number }) => number),
    [2, 1, ...numbers(20).slice(2)],
  );
});

t.test(
  'F21 sender reports of one clock put the legs side by side where their ways here differ in length',
  async (t) => {
    for (const [name, reports, apartMs] of [
      ['with reports', true, 0],
      ['without them the longer way is all that is seen', false, 80],
    ] as const) {
      const builder = new TimelineBuilder(0);
      builder.epoch(1, 'r', 0, 1_790_000_000_000);
      const records: { leg: 0 | 1; packet: Buffer; us: number }[] = [];
      for (let i = 0; i < 3_000; i += 1) {
        for (const leg of [0, 1] as const) {
          const payload = Buffer.from([8, leg, i >> 8, i & 255]);
          // A packet leaves when its 20 ms are over.
          const us = (i + 1) * 20_000 + (leg === 0 ? 90_000 : 10_000);
          records.push({ leg, packet: rtpPacket(i, i * 960 + leg * 777, leg + 1, payload, 30), us });
          // The report says when the packet was said, by the clock of both senders.
          const report = senderReport(leg + 1, i * 20, i * 960 + leg * 777, i);
          if (reports && i % 50 === 0) records.push({ leg, packet: report, us });
        }
      }
      records.sort((a, b) => a.us - b.us);
      for (const { leg, packet, us } of records) builder.add(leg, packet, us);
      const { caller, callee } = extractStreams(muxTimeline(builder.build()).bytes);
      const at = (packets: typeof caller) => packets.findIndex(({ packet }) => packet.length === 4);
      t.equal((at(caller) - at(callee)) * 20, apartMs, name);
    }
  },
);

t.test('sender reports that contradict the arrivals, or are of two clocks, change nothing', async (t) => {
  for (const [name, reportMs] of [
    ['a clock that runs away', (ms: number, leg: number) => ms * (leg === 0 ? 2 : 1)],
    ['two clocks', (ms: number, leg: number) => ms + leg * 3_600_000],
    ['reports of the future', (ms: number, leg: number) => ms + (leg === 0 ? 5_000 : 0)],
  ] as const) {
    const builder = new TimelineBuilder(0);
    builder.epoch(1, 'r', 0, 1_790_000_000_000);
    for (let i = 0; i < 3_000; i += 1) {
      for (const leg of [0, 1] as const) {
        builder.add(
          leg,
          rtpPacket(i, i * 960, leg + 1, Buffer.from([8, leg, i >> 8, i & 255]), 30),
          i * 20_000,
        );
        if (i % 50 === 0)
          builder.add(leg, senderReport(leg + 1, reportMs(i * 20, leg), i * 960, i), i * 20_000);
      }
    }
    const file = muxTimeline(builder.build());
    const { caller, callee } = extractStreams(file.bytes);
    t.equal(file.durationSamples / 48, 60_000, name);
    t.ok(
      caller.every(({ packet }, i) => packet.length === 4 && callee[i]?.packet.length === 4),
      `${name}: the legs are side by side all the time`,
    );
  }
});

t.test(
  'F21 F33 whatever arrives, every Opus packet is in the file once and the file is no longer than the call',
  async () => {
    const opus = createOpusPacket();
    const header = createRtpHeader();
    const anyPacket = fc.oneof(
      { weight: 3, arbitrary: fc.uint8Array({ maxLength: 40 }) },
      {
        weight: 10,
        arbitrary: fc
          .tuple(
            fc.nat({ max: 65_535 }),
            fc.nat({ max: 0xffff_ffff }),
            fc.constantFrom(1, 1, 1, 2, 3),
            fc.uint8Array({ maxLength: 12 }),
            fc.integer({ min: -1, max: 127 }),
          )
          .map(([sequence, timestamp, ssrc, payload, level]) =>
            rtpPacket(sequence, timestamp, ssrc, payload, level),
          ),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.nat(), fc.nat({ max: 0xffff_ffff }))
          .map(([ms, ts]) => senderReport(1, ms, ts, 0)),
      },
    );
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ leg: fc.constantFrom(0, 1), packet: anyPacket, afterUs: fc.nat({ max: 100_000 }) }),
          {
            maxLength: 60,
          },
        ),
        (records) => {
          const builder = new TimelineBuilder(0);
          builder.epoch(1, 'r', 0, 1_790_000_000_000);
          const expected = [new Map<string, string[]>(), new Map<string, string[]>()] as const;
          let us = 0;
          let longest = 0;
          for (const { leg, packet, afterUs } of records) {
            us += afterUs;
            builder.add(leg === 0 ? 0 : 1, packet, us);
            if (!parseRtp(packet, header) || header.payloadLength === 0) continue;
            const payload = packet.subarray(header.payloadStart, header.payloadStart + header.payloadLength);
            if (!parseOpus(payload, opus)) continue;
            longest += opus.samples / 48;
            const key = `${header.ssrc}/${header.sequence}/${header.timestamp}`;
            const frames = opusFrames(payload).map((frame) => Buffer.from(frame).toString('hex'));
            // The same number at the same time is a repetition, whatever it carries: the first to arrive is kept.
            const leaves = expected[leg === 0 ? 0 : 1];
            if (!leaves.has(key)) leaves.set(key, frames);
          }
          const file = muxTimeline(builder.build());
          const streams = extractStreams(file.bytes);
          for (const leg of [0, 1] as const) {
            const found = streams[leg === 0 ? 'caller' : 'callee']
              .flatMap(({ packet }) => opusFrames(packet))
              .map((frame) => Buffer.from(frame).toString('hex'))
              .sort();
            const unique = [...expected[leg].values()].flat().sort();
            if (found.join() !== unique.join()) throw new Error(`leg ${leg}: ${found} is not ${unique}`);
          }
          if (file.durationSamples / 48 > us / 1000 + longest + 2_500) {
            throw new Error(`${file.durationSamples / 48} ms of file for ${us / 1000} ms of call`);
          }
        },
      ),
      { numRuns: 1500 },
    );
  },
);
