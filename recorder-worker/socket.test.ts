import type { Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Test } from 'tap';
import t from 'tap';
import type { PacketSink, SocketCounters, Taken } from './socket.ts';
import { RtpSocket } from './socket.ts';
import { receiverReport, rtpPacket, senderReport } from './test/packets.ts';

const PAYLOAD_TYPE = 100;
const SSRC = 0x8000_0001;

/** Keeps what it gets; every packet is new to it. */
class Keeper implements PacketSink {
  readonly payloadType = PAYLOAD_TYPE;
  readonly kept: Buffer[] = [];
  answer: Taken = 'taken';
  #wait: { count: number; resolve: () => void } | undefined;

  rtp(packet: Buffer): Taken {
    return this.#keep(packet);
  }

  rtcp(packet: Buffer): Taken {
    return this.#keep(packet);
  }

  reached(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wait = { count, resolve };
      this.#check();
    });
  }

  #keep(packet: Buffer): Taken {
    this.kept.push(Buffer.from(packet));
    this.#check();
    return this.answer;
  }

  #check(): void {
    if (this.#wait !== undefined && this.kept.length >= this.#wait.count) this.#wait.resolve();
  }
}

async function sender(t: Test): Promise<{ socket: Socket; address: { ip: string; port: number } }> {
  const socket = createSocket('udp4');
  const listening = once(socket, 'listening');
  socket.bind(0, '127.0.0.1');
  await listening;
  t.teardown(() => socket.close());
  return { socket, address: { ip: '127.0.0.1', port: socket.address().port } };
}

async function setUp(t: Test) {
  const rtp = await RtpSocket.open({ ip: '127.0.0.1', port: 0 });
  t.teardown(() => rtp.close());
  const from = await sender(t);
  const keeper = new Keeper();
  rtp.register(from.address, SSRC, keeper);
  const send = (packet: Buffer, socket = from.socket) => socket.send(packet, rtp.address.port, '127.0.0.1');
  /** Loopback keeps the order of one sender: when this one is there, everything sent before it was handled. */
  const drain = async () => {
    const count = keeper.kept.length + 1;
    keeper.answer = 'taken';
    send(rtpPacket({ ssrc: SSRC, sequence: 65_000, payloadType: PAYLOAD_TYPE }));
    await keeper.reached(count);
  };
  return { rtp, from, keeper, send, drain };
}

t.test('F34 a leg gets its RTP and its RTCP, byte for byte', async (t) => {
  const { rtp, keeper, send } = await setUp(t);
  const sent = [
    rtpPacket({ ssrc: SSRC, sequence: 1, payloadType: PAYLOAD_TYPE, payload: Buffer.from('opus') }),
    senderReport({ ssrc: SSRC }),
    rtpPacket({
      ssrc: SSRC,
      sequence: 2,
      payloadType: PAYLOAD_TYPE,
      csrcs: 2,
      extensionWords: 3,
      padding: 4,
    }),
  ];
  for (const packet of sent) send(packet);
  await keeper.reached(3);
  t.same(keeper.kept, sent);
  t.equal(rtp.counters.taken, 3);
  t.equal(
    rtp.counters.bytes,
    sent.reduce((sum, packet) => sum + packet.length, 0),
  );
});

t.test('F34 a packet of any size that the other side could hear is recorded', async (t) => {
  const { rtp, keeper, send } = await setUp(t);
  const sent = [1501, 9000, 65_507 - 12].map((bytes, sequence) =>
    rtpPacket({ ssrc: SSRC, sequence, payloadType: PAYLOAD_TYPE, payload: Buffer.alloc(bytes, 7) }),
  );
  for (const packet of sent) send(packet);
  await keeper.reached(3);
  t.same(keeper.kept, sent);
  t.equal(rtp.counters.taken, 3);
});

const good = () =>
  rtpPacket({ ssrc: SSRC, sequence: 7, payloadType: PAYLOAD_TYPE, payload: Buffer.alloc(40, 7) });
const withByte = (packet: Buffer, at: number, value: number) => {
  packet[at] = value;
  return packet;
};

/** What may come in from outside, and which counter has to tell of it. */
const BAD: [string, Buffer, keyof SocketCounters][] = [
  ['an empty datagram', Buffer.alloc(0), 'malformed'],
  ['a single byte', Buffer.from([0x80]), 'malformed'],
  ['random bytes', Buffer.from('3f8e11c2a97700d1e5b264098cafe1427391bd', 'hex'), 'malformed'],
  ['text', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'malformed'],
  ['a STUN binding request', Buffer.from('000100002112a442000102030405060708090a0b', 'hex'), 'malformed'],
  ['RTP of version 1', withByte(good(), 0, 0x40), 'malformed'],
  ['RTP cut off in its header', good().subarray(0, 11), 'malformed'],
  ['RTP whose CSRC list is longer than the packet', withByte(good().subarray(0, 40), 0, 0x8f), 'malformed'],
  ['RTP whose extension is longer than the packet', withByte(good(), 0, 0x90), 'malformed'],
  ['RTP with more padding than payload', withByte(withByte(good(), 0, 0xa0), 51, 200), 'malformed'],
  ['RTP with padding of no bytes', withByte(withByte(good(), 0, 0xa0), 51, 0), 'malformed'],
  ['RTCP longer than the packet', withByte(senderReport({ ssrc: SSRC }), 3, 60), 'malformed'],
  ['RTCP cut off before its SSRC', senderReport({ ssrc: SSRC }).subarray(0, 6), 'malformed'],
  ['the largest datagram there is, of no leg', Buffer.alloc(65_507, 0x80), 'unknownSsrc'],
  [
    'RTP of an SSRC that is no leg',
    rtpPacket({ ssrc: SSRC + 1, sequence: 7, payloadType: PAYLOAD_TYPE }),
    'unknownSsrc',
  ],
  ['RTCP of an SSRC that is no leg', receiverReport({ ssrc: SSRC + 1 }), 'unknownSsrc'],
  [
    'RTP of another payload type',
    rtpPacket({ ssrc: SSRC, sequence: 7, payloadType: 101 }),
    'wrongPayloadType',
  ],
];

for (const [name, packet, counter] of BAD) {
  t.test(`F34 ${name} is counted as ${counter} and changes nothing else`, async (t) => {
    const { rtp, keeper, send, drain } = await setUp(t);
    const before = { ...rtp.counters };
    send(packet);
    await drain();
    t.equal(keeper.kept.length, 1, 'only the packet behind it was recorded');
    t.same(rtp.counters, { ...before, [counter]: 1, taken: 1, bytes: rtp.counters.bytes });
  });
}

t.test(
  'F34 the same packet from another port or after its leg is gone is counted as of an unknown source',
  async (t) => {
    const { rtp, keeper, send, drain, from } = await setUp(t);
    const stranger = await sender(t);
    const echoed = once(stranger.socket, 'message');
    send(good(), stranger.socket);
    // The stranger's own answer tells that its packet left; the recorder handles datagrams in order of arrival.
    stranger.socket.send('x', stranger.address.port, '127.0.0.1');
    await echoed;
    await drain();
    t.equal(rtp.counters.unknownSource, 1);
    t.equal(keeper.kept.length, 1);
    rtp.unregister(from.address, SSRC, keeper);
    rtp.unregister(from.address, SSRC, keeper);
    const other = new Keeper();
    rtp.register(stranger.address, SSRC, other);
    send(good());
    send(good(), stranger.socket);
    await other.reached(1);
    t.equal(rtp.counters.unknownSource, 2);
    t.equal(keeper.kept.length, 1);
  },
);

t.test('F34 what a leg says of a packet is counted', async (t) => {
  const { rtp, keeper, send, drain } = await setUp(t);
  keeper.answer = 'replayed';
  send(good());
  await keeper.reached(1);
  keeper.answer = 'refused';
  send(good());
  await keeper.reached(2);
  await drain();
  t.match(rtp.counters, { replayed: 1, unwritable: 1, taken: 1 });
});

t.test('F34 two legs never share a source and SSRC', async (t) => {
  const { rtp, keeper, from } = await setUp(t);
  t.throws(() => rtp.register(from.address, SSRC, new Keeper()), { code: 'conflict' });
  t.doesNotThrow(() => rtp.register(from.address, SSRC, keeper), 'the same leg again is no conflict');
  t.doesNotThrow(() => rtp.register({ ip: '127.0.0.2', port: from.address.port }, SSRC, new Keeper()));
});

t.test('a port that is taken is said so', async (t) => {
  const { rtp } = await setUp(t);
  await t.rejects(RtpSocket.open({ ip: '127.0.0.1', port: rtp.address.port }), {
    code: 'unavailable',
    message: `the recorder cannot listen on UDP 127.0.0.1:${rtp.address.port}`,
  });
});

t.test('the receive buffer is what was asked for or what the system grants', async (t) => {
  const small = await RtpSocket.open({ ip: '127.0.0.1', port: 0, receiveBufferBytes: 64 * 1024 });
  t.teardown(() => small.close());
  t.equal(small.receiveBufferBytes, 64 * 1024);
  await small.close();
  await t.resolves(small.close(), 'closing twice is no error');
});
