import type { RemoteInfo, Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { VerbatimError } from '#protocol';
import { createRtpHeader, isRtcp, parseRtp } from './rtp/packet.ts';

export type Taken = 'taken' | 'replayed' | 'refused';

/** What receives the packets of one leg. Called for every packet: it copies what it keeps and never throws. */
export interface PacketSink {
  /** RTP payload type that was negotiated; anything else under this SSRC is not ours. */
  readonly payloadType: number;
  /** `replayed` for a packet that was taken before, `refused` when nothing can be recorded any more. */
  rtp(packet: Buffer, sequence: number): Taken;
  rtcp(packet: Buffer): Taken;
}

export interface SocketOptions {
  ip: string;
  /** 0 lets the system choose. */
  port: number;
  receiveBufferBytes?: number;
}

/** Where packets went. Everything but `taken` was dropped and had no other effect. */
export interface SocketCounters {
  taken: number;
  bytes: number;
  /** From an address and port that no capture named. */
  unknownSource: number;
  /** From a known source, but of no leg. */
  unknownSsrc: number;
  /** Not RTP or RTCP of version 2, or shorter than its own header says. */
  malformed: number;
  wrongPayloadType: number;
  replayed: number;
  /** The journal of the leg takes nothing any more. */
  unwritable: number;
}

/** Rides out a stall of 100 ms at 100,000 packets/s; the system's default already loses packets there. */
export const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
/** Media workers that may send to one recorder. */
const MAX_SOURCES = 1024;

/** One (address, port) that sends, with its legs. SSRCs are keyed as signed 32-bit numbers, which need no allocation. */
interface Source {
  readonly address: string;
  readonly port: number;
  readonly legs: Map<number, PacketSink>;
  /** Next source with the same port on another address. */
  next: Source | undefined;
}

/**
 * The recorder's only UDP socket. It takes a packet only from a source tuple and SSRC that a capture has registered,
 * and hands it to that leg; all else is counted and dropped. A packet may have any size that a datagram can: what a
 * media worker forwards the other side hears, so it is recorded.
 */
export class RtpSocket {
  readonly counters: SocketCounters = {
    taken: 0,
    bytes: 0,
    unknownSource: 0,
    unknownSsrc: 0,
    malformed: 0,
    wrongPayloadType: 0,
    replayed: 0,
    unwritable: 0,
  };
  readonly #header = createRtpHeader();
  readonly #socket: Socket;
  readonly #sources = new Map<number, Source>();
  #sourceCount = 0;
  /** Packets come in runs from the same media worker. */
  #last: Source | undefined;
  #closing: Promise<void> | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (packet, from) => this.#take(packet, from));
  }

  /** Binds. @throws VerbatimError `unavailable` when the address cannot be bound. */
  static async open(options: SocketOptions): Promise<RtpSocket> {
    const socket = createSocket({
      type: options.ip.includes(':') ? 'udp6' : 'udp4',
      recvBufferSize: options.receiveBufferBytes ?? RECEIVE_BUFFER_BYTES,
    });
    const opened = new RtpSocket(socket);
    try {
      const listening = once(socket, 'listening');
      socket.bind({ address: options.ip, port: options.port, exclusive: true });
      await listening;
    } catch (error) {
      socket.close();
      const where = `UDP ${options.ip}:${options.port}`;
      throw new VerbatimError('unavailable', `the recorder cannot listen on ${where}`, { cause: error });
    }
    return opened;
  }

  get address(): { ip: string; port: number } {
    const { address, port } = this.#socket.address();
    return { ip: address, port };
  }

  /** What the system granted. Linux counts its own bookkeeping in and reports twice the usable size. */
  get receiveBufferBytes(): number {
    const reported = this.#socket.getRecvBufferSize();
    return process.platform === 'linux' ? reported / 2 : reported;
  }

  /** Packet errors of the socket itself, for example an ICMP answer; the socket goes on. */
  onError(handler: (error: Error) => void): void {
    this.#socket.on('error', handler);
  }

  /** @throws VerbatimError `conflict` when this source and SSRC already belong to another leg. */
  register(source: { ip: string; port: number }, ssrc: number, sink: PacketSink): void {
    const legs = this.#source(source.ip, source.port).legs;
    const known = legs.get(ssrc | 0);
    if (known !== undefined && known !== sink)
      throw new VerbatimError(
        'conflict',
        `SSRC ${ssrc} of ${source.ip}:${source.port} is being recorded already`,
      );
    legs.set(ssrc | 0, sink);
  }

  /** Forgets a leg; a second time does nothing. */
  unregister(source: { ip: string; port: number }, ssrc: number, sink: PacketSink): void {
    const found = this.#find(source.ip, source.port);
    if (found?.legs.get(ssrc | 0) !== sink) return;
    found.legs.delete(ssrc | 0);
    if (found.legs.size === 0) this.#remove(found);
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => this.#socket.close(resolve));
    return this.#closing;
  }

  /** Which leg it is for, cheapest questions first. Runs for every packet: nothing here allocates. */
  #take(packet: Buffer, from: RemoteInfo): void {
    const counters = this.counters;
    let source = this.#last;
    if (source === undefined || source.port !== from.port || source.address !== from.address) {
      source = this.#find(from.address, from.port);
      if (source === undefined) {
        counters.unknownSource += 1;
        return;
      }
      this.#last = source;
    }
    const taken = isRtcp(packet) ? this.#rtcp(source, packet) : this.#rtp(source, packet);
    if (taken === 'taken') {
      counters.taken += 1;
      counters.bytes += packet.length;
    } else if (taken === 'replayed') {
      counters.replayed += 1;
    } else if (taken === 'refused') {
      counters.unwritable += 1;
    }
  }

  /** Undefined when the packet was counted as something else here. */
  #rtp(source: Source, packet: Buffer): Taken | undefined {
    const header = this.#header;
    if (!parseRtp(packet, header)) {
      this.counters.malformed += 1;
      return undefined;
    }
    const leg = source.legs.get(header.ssrc | 0);
    if (leg === undefined) {
      this.counters.unknownSsrc += 1;
      return undefined;
    }
    if (header.payloadType !== leg.payloadType) {
      this.counters.wrongPayloadType += 1;
      return undefined;
    }
    return leg.rtp(packet, header.sequence);
  }

  /** RFC 3550 section 6.4: a report names its sender's SSRC behind the first four bytes. */
  #rtcp(source: Source, packet: Buffer): Taken | undefined {
    const words = packet.length >= 8 ? packet.readUInt16BE(2) + 1 : 0;
    if (words < 2 || words * 4 > packet.length || packet.readUInt8(0) >> 6 !== 2) {
      this.counters.malformed += 1;
      return undefined;
    }
    const leg = source.legs.get(packet.readInt32BE(4));
    if (leg === undefined) {
      this.counters.unknownSsrc += 1;
      return undefined;
    }
    return leg.rtcp(packet);
  }

  #find(address: string, port: number): Source | undefined {
    let source = this.#sources.get(port);
    while (source !== undefined && source.address !== address) source = source.next;
    return source;
  }

  #source(address: string, port: number): Source {
    const found = this.#find(address, port);
    if (found !== undefined) return found;
    if (this.#sourceCount >= MAX_SOURCES)
      throw new VerbatimError('unavailable', `more than ${MAX_SOURCES} media workers send to this recorder`);
    const source: Source = { address, port, legs: new Map(), next: this.#sources.get(port) };
    this.#sources.set(port, source);
    this.#sourceCount += 1;
    return source;
  }

  #remove(gone: Source): void {
    let rest: Source | undefined;
    for (let source = this.#sources.get(gone.port); source !== undefined; ) {
      const next: Source | undefined = source.next;
      if (source !== gone) {
        source.next = rest;
        rest = source;
      }
      source = next;
    }
    if (rest === undefined) this.#sources.delete(gone.port);
    else this.#sources.set(gone.port, rest);
    this.#sourceCount -= 1;
    if (this.#last === gone) this.#last = undefined;
  }
}
