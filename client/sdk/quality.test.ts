import t from 'tap';
import { qualityOf } from './quality.ts';
import { emptyStats, readStats } from './stats.ts';

/** What two readings of a call's figures say about the seconds between them. */

type Figures = {
  packets?: number;
  lost?: number;
  jitter?: number;
  sentPackets?: number;
  reported?: { lost: number; jitter: number };
  rttMs?: number;
};

function stats({ packets = 0, lost = 0, jitter = 0, sentPackets = 0, reported, rttMs }: Figures) {
  const all = emptyStats();
  Object.assign(all.inbound, { packets, lost, jitter });
  Object.assign(all.outbound, { packets: sentPackets }, reported && { reported });
  return { ...all, rttMs };
}

t.test('F18 the figures are those of the last two seconds, not of the whole call', async (t) => {
  const before = stats({ packets: 1_000, lost: 500, jitter: 0.2 });
  t.strictSame(qualityOf(before, stats({ packets: 1_100, lost: 500, jitter: 0.004, rttMs: 20 })), {
    level: 'good',
    lossPercent: 0,
    jitterMs: 4,
    rttMs: 20,
  });
});

t.test('F18 each figure alone makes a call fair or poor', async (t) => {
  const table: [name: string, figures: Figures, level: string][] = [
    ['nothing wrong', { packets: 100 }, 'good'],
    ['2 % lost', { packets: 98, lost: 2 }, 'good'],
    ['3 % lost', { packets: 97, lost: 3 }, 'fair'],
    ['10 % lost', { packets: 90, lost: 10 }, 'poor'],
    ['40 ms of jitter', { packets: 100, jitter: 0.04 }, 'fair'],
    ['100 ms of jitter', { packets: 100, jitter: 0.1 }, 'poor'],
    ['300 ms there and back', { packets: 100, rttMs: 300 }, 'fair'],
    ['800 ms there and back', { packets: 100, rttMs: 800 }, 'poor'],
    ['nothing heard at all', { packets: 0 }, 'poor'],
    [
      '10 % of what is sent is lost',
      { packets: 100, sentPackets: 100, reported: { lost: 10, jitter: 0 } },
      'poor',
    ],
    [
      'jitter at the other side',
      { packets: 100, sentPackets: 100, reported: { lost: 0, jitter: 0.05 } },
      'fair',
    ],
  ];
  for (const [name, figures, level] of table) {
    t.equal(qualityOf(stats({}), stats(figures)).level, level, name);
  }
});

t.test('F18 packets that were repaired are taken off again, and never make a negative share', async (t) => {
  const quality = qualityOf(stats({ packets: 100, lost: 8 }), stats({ packets: 205, lost: 3 }));
  t.equal(quality.lossPercent, 0);
});

t.test('F18 what the receiver reports of what is sent is there, once it has reported', async (t) => {
  const before = stats({ packets: 100, sentPackets: 100 });
  const silent = qualityOf(before, stats({ packets: 200, sentPackets: 200 }));
  t.notOk('sent' in silent);
  const reported = { lost: 5, jitter: 0.01 };
  const heard = qualityOf(before, stats({ packets: 200, sentPackets: 200, reported }));
  t.strictSame(heard.sent, { lossPercent: 5, jitterMs: 10 });
});

t.test('F18 the figures are read from the reports of browsers', async (t) => {
  const report = (...entries: Record<string, unknown>[]): RTCStatsReport =>
    // A report is a map, and only its `forEach` is used.
    new Map(entries.map((entry, index) => [String(index), entry])) as unknown as RTCStatsReport;
  const send = report(
    { type: 'outbound-rtp', packetsSent: 10, bytesSent: 100 },
    { type: 'remote-inbound-rtp', packetsLost: 2, jitter: 0.003, roundTripTime: 0.05 },
  );
  const recv = report({ type: 'inbound-rtp', packetsReceived: 9, packetsLost: 1, jitter: 0.002 });
  const read = readStats({ state: 'connected', report: send }, { state: 'connected', report: recv });
  t.match(read, {
    inbound: { packets: 9, lost: 1, jitter: 0.002 },
    outbound: { packets: 10, reported: { lost: 2, jitter: 0.003 } },
    rttMs: 50,
  });
  const pair = { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.02 };
  for (const entries of [
    [pair, { type: 'remote-inbound-rtp', roundTripTime: 0.05 }],
    [{ type: 'remote-inbound-rtp', roundTripTime: 0.05 }, pair],
  ]) {
    const { rttMs } = readStats({ state: 'connected', report: report(...entries) }, undefined);
    t.equal(rttMs, 20, 'the path’s own time, in whatever order they come');
  }
});
