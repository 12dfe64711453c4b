import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/**
 * A process that sends generated RTP as a media worker would: one socket, many legs, 50 packets a second each, in
 * small ticks. Started by a benchmark with an IPC channel: it says where it sends from, is told what to send, and
 * answers how much it sent.
 */
export interface SendOrder {
  to: { ip: string; port: number };
  ssrcs: number[];
  payloadType: number;
  payloadBytes: number;
  seconds: number;
}

export interface SendReport {
  sent: number;
  /** How far behind its own schedule it was at worst. */
  lateMs: number;
}

const TICK_MS = 5;
const PACKET_MS = 20;
const MAX_CATCH_UP_MS = 20;
const SAMPLES_PER_PACKET = 960;
const AUDIO_LEVEL_ID = 10;
const HEADER_BYTES = 20;

const socket = createSocket({ type: 'udp4', sendBufferSize: 4 * 1024 * 1024 });
const listening = once(socket, 'listening');
socket.bind(0, '127.0.0.1');
await listening;
process.send?.({ port: socket.address().port });

const [order] = (await once(process, 'message')) as [SendOrder];
const connected = once(socket, 'connect');
socket.connect(order.to.port, order.to.ip);
await connected;
process.send?.(await send(order), () => process.disconnect());
socket.close();

/** Each tick sends the legs whose turn it is, so that the packets of a second are spread over it. */
async function send({ ssrcs, payloadType, payloadBytes, seconds }: SendOrder): Promise<SendReport> {
  const slots = PACKET_MS / TICK_MS;
  const packets = ssrcs.map((ssrc) => firstPacket(ssrc, payloadType, payloadBytes));
  const ticks = (seconds * 1000) / TICK_MS;
  let startedMs = performance.now();
  let sent = 0;
  let lateMs = 0;
  for (let tick = 0; tick < ticks; tick += 1) {
    const dueMs = startedMs + tick * TICK_MS;
    const earlyMs = dueMs - performance.now();
    if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, earlyMs));
    else lateMs = Math.max(lateMs, -earlyMs);
    // Thousands of browsers do not catch up all at once: what was missed stays missed.
    if (-earlyMs > MAX_CATCH_UP_MS) startedMs -= earlyMs;
    const round = Math.floor(tick / slots);
    for (let leg = tick % slots; leg < packets.length; leg += slots) {
      const packet = packets[leg];
      if (packet === undefined) continue;
      packet.writeUInt16BE(round & 0xffff, 2);
      packet.writeUInt32BE((round * SAMPLES_PER_PACKET) >>> 0, 4);
      // The system has copied it when this returns, unless its buffer is full; 4 MiB of it are not.
      socket.send(packet);
      sent += 1;
    }
  }
  return { sent, lateMs: Math.round(lateMs) };
}

function firstPacket(ssrc: number, payloadType: number, payloadBytes: number): Buffer {
  const packet = Buffer.alloc(HEADER_BYTES + payloadBytes, 0x5a);
  packet[0] = 0x90;
  packet[1] = payloadType;
  packet.writeUInt32BE(ssrc >>> 0, 8);
  // RFC 8285 one-byte header, one word: the audio level and padding.
  packet.writeUInt32BE(0xbede0001, 12);
  packet.writeUInt32BE(((AUDIO_LEVEL_ID << 28) | (30 << 16)) >>> 0, 16);
  packet[HEADER_BYTES] = 0xf8;
  return packet;
}
