import type { RemoteInfo, Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** What one browser transport sent towards the server, of one RTP stream. */
export interface StreamCount {
  /** Each sequence number once. */
  packets: number;
  /** Of those, lost the first time. */
  dropped: number;
  /** Sent another time, because the server asked for it. */
  again: number;
}

export interface LossyRelayOptions {
  /** Where browsers send to. */
  address: string;
  port: number;
  /** The media worker, at the same port. */
  target: string;
  /** Of the packets of each direction, 0 to 1. */
  loss: number;
  seed: number;
}

/** A bad network between all browsers and the media worker: it loses packets both ways, by dice that can be thrown again. */
export class LossyRelay {
  readonly #options: LossyRelayOptions;
  readonly #front: Socket;
  readonly #ways = new Map<string, Way>();
  #dice: number;

  private constructor(front: Socket, options: LossyRelayOptions) {
    this.#front = front;
    this.#options = options;
    this.#dice = options.seed;
    front.on('message', (packet, from) => this.#wayOf(from).up(packet));
  }

  static async open(options: LossyRelayOptions): Promise<LossyRelay> {
    const front = createSocket('udp4');
    front.bind(options.port, options.address);
    await once(front, 'listening');
    return new LossyRelay(front, options);
  }

  /** The RTP streams that browsers sent so far, in the order in which they began. */
  get streams(): StreamCount[] {
    return [...this.#ways.values()].flatMap((way) => way.streams);
  }

  async close(): Promise<void> {
    for (const way of this.#ways.values()) way.close();
    this.#front.close();
    await once(this.#front, 'close');
  }

  /** A socket of its own for each browser transport: the worker tells them apart by the address. */
  #wayOf({ address, port }: RemoteInfo): Way {
    const key = `${address}:${port}`;
    let way = this.#ways.get(key);
    if (way === undefined) {
      way = new Way({
        isLost: () => this.#isLost(),
        toServer: { address: this.#options.target, port: this.#options.port },
        toBrowser: (packet) => this.#front.send(packet, port, address),
      });
      this.#ways.set(key, way);
    }
    return way;
  }

  /** mulberry32: small, even enough, and the same for the same seed. */
  #isLost(): boolean {
    this.#dice = (this.#dice + 0x6d2b79f5) | 0;
    let n = Math.imul(this.#dice ^ (this.#dice >>> 15), 1 | this.#dice);
    n = (n + Math.imul(n ^ (n >>> 7), 61 | n)) ^ n;
    return ((n ^ (n >>> 14)) >>> 0) / 2 ** 32 < this.#options.loss;
  }
}

interface WayOptions {
  isLost(): boolean;
  toServer: { address: string; port: number };
  toBrowser(packet: Buffer): void;
}

class Way {
  readonly #options: WayOptions;
  readonly #socket = createSocket('udp4');
  readonly #streams = new Map<number, { seen: Set<number>; dropped: number; again: number }>();

  constructor(options: WayOptions) {
    this.#options = options;
    this.#socket.on('message', (packet) => {
      if (!options.isLost()) options.toBrowser(packet);
    });
  }

  get streams(): StreamCount[] {
    return [...this.#streams.values()].map(({ seen, dropped, again }) => ({
      packets: seen.size,
      dropped,
      again,
    }));
  }

  up(packet: Buffer): void {
    const lost = this.#options.isLost();
    this.#count(packet, lost);
    const { address, port } = this.#options.toServer;
    if (!lost) this.#socket.send(packet, port, address);
  }

  close(): void {
    this.#socket.close();
  }

  /**
   * RFC 3550 section 5.1:  0 V=2(2) P X CC(4) · 1 M(1) PT(7) · 2 sequence(16) · 4 timestamp · 8 SSRC; SRTP leaves the
   * header readable. RFC 5761 section 4: payload types 64 to 95 in this place are RTCP.
   */
  #count(packet: Buffer, lost: boolean): void {
    if (packet.length < 12 || packet.readUInt8(0) >> 6 !== 2) return;
    const payloadType = packet.readUInt8(1) & 0x7f;
    if (payloadType >= 64 && payloadType < 96) return;
    const ssrc = packet.readUInt32BE(8);
    const stream = this.#streams.get(ssrc) ?? { seen: new Set<number>(), dropped: 0, again: 0 };
    this.#streams.set(ssrc, stream);
    // No journey is long enough for the numbers to come round.
    const sequence = packet.readUInt16BE(2);
    if (stream.seen.has(sequence)) stream.again += 1;
    else if (lost) stream.dropped += 1;
    stream.seen.add(sequence);
  }
}
