import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { types } from 'mediasoup';
import { createWorker } from 'mediasoup';
import t from 'tap';
import { audioLevelUri, mediaCodecs } from './codecs.ts';
import { RecorderLink } from './recorder-link.ts';

const worker = await createWorker({ logLevel: 'none' });
const router = await worker.createRouter({ mediaCodecs });
const outside = await router.createDirectTransport();
t.teardown(() => worker.close());

const browserLevelId = 3;

/** What came to a recorder's socket, RTP and RTCP apart (RFC 5761 section 4). */
async function openRecorder() {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  const rtp: Buffer[] = [];
  const rtcp: Buffer[] = [];
  const sources = new Set<number>();
  let wake = () => {};
  socket.on('message', (packet, { port }) => {
    sources.add(port);
    const type = packet.readUInt8(1);
    (type >= 192 && type <= 223 ? rtcp : rtp).push(packet);
    wake();
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  const until = async (done: () => boolean) => {
    while (!done()) await new Promise<void>((resolve) => (wake = resolve));
  };
  return {
    endpoint: { recorderId: 'r', ip: '127.0.0.1', port: socket.address().port },
    rtp,
    rtcp,
    sources,
    until,
  };
}

async function openProducer(ssrc: number): Promise<types.Producer> {
  return await outside.produce({
    kind: 'audio',
    rtpParameters: {
      codecs: [{ mimeType: 'audio/opus', payloadType: 109, clockRate: 48_000, channels: 2 }],
      headerExtensions: [{ uri: audioLevelUri, id: browserLevelId }],
      encodings: [{ ssrc }],
      rtcp: { cname: `c${ssrc}` },
    },
  });
}

// RFC 3550 section 5.1 and RFC 8285 section 4.2: fixed header, one-byte extension header, one element of one byte.
function rtpPacket(
  ssrc: number,
  seq: number,
  timestamp: number,
  level: number,
  payload: Buffer,
  marker = false,
): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x90;
  header[1] = (marker ? 0x80 : 0) | 109;
  header.writeUInt16BE(seq & 0xffff, 2);
  header.writeUInt32BE(timestamp >>> 0, 4);
  header.writeUInt32BE(ssrc, 8);
  header.writeUInt16BE(0xbede, 12);
  header.writeUInt16BE(1, 14);
  header[16] = browserLevelId << 4;
  header[17] = level;
  return Buffer.concat([header, payload]);
}

function parse(packet: Buffer, levelId: number) {
  const extended = (packet.readUInt8(0) & 0x10) !== 0;
  const extensionBytes = extended ? 4 + packet.readUInt16BE(14) * 4 : 0;
  return {
    marker: (packet.readUInt8(1) & 0x80) !== 0,
    payloadType: packet.readUInt8(1) & 0x7f,
    seq: packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4),
    ssrc: packet.readUInt32BE(8),
    level: extended ? oneByteElement(packet.subarray(16, 12 + extensionBytes), levelId) : undefined,
    payload: packet.subarray(12 + extensionBytes).toString(),
  };
}

// RFC 8285 section 4.2: 4 bits of id, 4 bits of length less one, data; a zero byte is padding.
function oneByteElement(elements: Buffer, id: number): number | undefined {
  for (let at = 0; at < elements.length; ) {
    const head = elements.readUInt8(at);
    if (head >> 4 === id) return elements.readUInt8(at + 1);
    at += head === 0 ? 1 : 2 + (head & 0x0f);
  }
  return undefined;
}

// RFC 3550 section 6.4.1, the first packet of a compound:
//   0 1 version, count   1 1 type 200   2 2 length   4 4 SSRC   8 8 NTP   16 4 RTP timestamp   20 4 packets   24 4 octets
function senderReports(compound: Buffer) {
  const reports = [];
  for (let at = 0; at + 8 <= compound.length; at += (compound.readUInt16BE(at + 2) + 1) * 4) {
    if (compound.readUInt8(at + 1) !== 200) continue;
    const ntpSeconds = compound.readUInt32BE(at + 8) + compound.readUInt32BE(at + 12) / 2 ** 32;
    reports.push({
      ssrc: compound.readUInt32BE(at + 4),
      unixMs: (ntpSeconds - 2_208_988_800) * 1000,
      timestamp: compound.readUInt32BE(at + 16),
    });
  }
  return reports;
}

t.test('a leg comes through with its own SSRC and everything else as it was sent', async (t) => {
  const recorder = await openRecorder();
  const link = await RecorderLink.open(router, recorder.endpoint, '127.0.0.1');
  const producer = await openProducer(0x1000_0001);
  const consumer = await link.consume(producer.id);
  t.equal(consumer.paused, true);
  t.equal(link.legs, 1);

  producer.send(rtpPacket(0x1000_0001, 100, 5_000, 10, Buffer.from('before')));
  await consumer.resume();
  // A hole at 65535, a wrap of both counters, one out of order, one duplicate, a jump in time as DTX makes it, padding.
  const sent: [number, number, number, string, boolean?][] = [
    [65_533, 2 ** 32 - 1_920, 0, 'first', true],
    [65_534, 2 ** 32 - 960, 127, 'second'],
    [0, 960, 0x80 | 30, 'after the wrap'],
    [2, 2_880, 40, 'early'],
    [1, 1_920, 41, 'late'],
    [2, 2_880, 40, 'early'],
    [3, 3_840 + 48_000, 90, 'after silence'],
  ];
  for (const [seq, timestamp, level, payload, marker] of sent) {
    producer.send(rtpPacket(0x1000_0001, seq, timestamp, level, Buffer.from(payload), marker));
  }
  producer.send(rtpPacket(0x1000_0001, 4, 3_840 + 48_960, 90, Buffer.alloc(0)));
  await recorder.until(() => recorder.rtp.length >= sent.length);

  const levelId = consumer.rtpParameters.headerExtensions?.[0]?.id ?? 0;
  const seen = recorder.rtp.map((packet) => parse(packet, levelId));
  const shift = ((seen[0]?.seq ?? 0) - 65_533) & 0xffff;
  t.equal(recorder.rtp.length, sent.length, 'nothing from before the start, and nothing without payload');
  t.same(
    seen,
    sent.map(([seq, timestamp, level, payload, marker = false]) => ({
      marker,
      payloadType: 111,
      seq: (seq + shift) & 0xffff,
      timestamp: timestamp >>> 0,
      ssrc: consumer.rtpParameters.encodings?.[0]?.ssrc,
      level,
      payload,
    })),
  );
  t.same([...recorder.sources], [link.source.port]);
  const closed = once(consumer.observer, 'close');
  producer.close();
  await closed;
  t.equal(link.legs, 0, 'a leg ends with its producer');
  link.close();
});

t.test('all legs of a link come from one address under different SSRCs', async (t) => {
  const recorder = await openRecorder();
  const link = await RecorderLink.open(router, recorder.endpoint, '127.0.0.1');
  const ssrcs = new Set<number>();
  for (let i = 0; i < 20; i++) {
    const producer = await openProducer(0x2000_0000 + i);
    const consumer = await link.consume(producer.id);
    await consumer.resume();
    producer.send(rtpPacket(0x2000_0000 + i, 1, 960, 20, Buffer.from(`leg ${i}`)));
    ssrcs.add(consumer.rtpParameters.encodings?.[0]?.ssrc ?? 0);
  }
  await recorder.until(() => recorder.rtp.length >= 20);
  t.equal(ssrcs.size, 20);
  t.same(new Set(recorder.rtp.map((packet) => packet.readUInt32BE(8))), ssrcs);
  t.same([...recorder.sources], [link.source.port]);
  link.close();
});

t.test('sender reports tie a leg’s timestamps to the host’s clock within 20 ms', async (t) => {
  const recorder = await openRecorder();
  const link = await RecorderLink.open(router, recorder.endpoint, '127.0.0.1');
  const producer = await openProducer(0x3000_0001);
  const consumer = await link.consume(producer.id);
  await consumer.resume();
  const startedAtMs = performance.timeOrigin + performance.now();
  const timestampAt = (unixMs: number) => Math.round((unixMs - startedAtMs) * 48) + 777_000;
  let seq = 1;
  const timer = setInterval(() => {
    const now = performance.timeOrigin + performance.now();
    producer.send(rtpPacket(0x3000_0001, seq++, timestampAt(now), 20, Buffer.from('x')));
  }, 20);
  await recorder.until(() => recorder.rtcp.flatMap(senderReports).length >= 2);
  clearInterval(timer);
  for (const report of recorder.rtcp.flatMap(senderReports)) {
    t.equal(report.ssrc, consumer.rtpParameters.encodings?.[0]?.ssrc);
    t.ok(Math.abs(report.timestamp - timestampAt(report.unixMs)) < 20 * 48);
  }
  link.close();
});

t.test('with a key the link speaks SRTP and says which key it sends with', async (t) => {
  const recorder = await openRecorder();
  const srtp = {
    cryptoSuite: 'AEAD_AES_256_GCM',
    keyBase64: Buffer.alloc(44, 7).toString('base64'),
  } as const;
  const link = await RecorderLink.open(router, { ...recorder.endpoint, srtp }, '127.0.0.1');
  t.match(link.source, { srtp: { cryptoSuite: 'AEAD_AES_256_GCM', keyBase64: /^[A-Za-z0-9+/]{58,60}=*$/ } });
  t.not(link.source.srtp?.keyBase64, srtp.keyBase64);
  const producer = await openProducer(0x4000_0001);
  const consumer = await link.consume(producer.id);
  await consumer.resume();
  producer.send(rtpPacket(0x4000_0001, 1, 960, 20, Buffer.from('a secret word')));
  await recorder.until(() => recorder.rtp.length >= 1);
  t.equal(recorder.rtp[0]?.includes('a secret word'), false);
  link.close();
});

t.test('a wrong key or address is refused and leaves nothing open', async (t) => {
  const before = (await router.dump()).transportIds.length;
  const endpoint = { recorderId: 'r', ip: '127.0.0.1', port: 9 };
  const srtp = { cryptoSuite: 'AEAD_AES_256_GCM', keyBase64: 'c2hvcnQ=' } as const;
  await t.rejects(RecorderLink.open(router, { ...endpoint, srtp }, '127.0.0.1'));
  await t.rejects(RecorderLink.open(router, { ...endpoint, ip: 'nowhere' }, '127.0.0.1'));
  await t.rejects(RecorderLink.open(router, endpoint, '203.0.113.1'));
  t.equal((await router.dump()).transportIds.length, before);
});
