import { EventEmitter } from 'node:events';
import type { types } from 'mediasoup';
import type { CaptureLeg, Side, TransportParams } from '#protocol';
import { VerbatimError } from '#protocol';
import {
  audioLevelUri,
  browserCapabilities,
  isObject,
  opusClockRate,
  opusPayloadType,
  opusRtpParameters,
} from './codecs.ts';
import type {
  CallMedia,
  CallMediaClosedReason,
  IceState,
  OfferedConsumer,
  Opaque,
  RecorderEndpoint,
  RecorderLegs,
} from './contract.ts';
import { mediaRequest } from './failure.ts';
import type { RecorderLink } from './recorder-link.ts';
import { ssrcOf } from './recorder-link.ts';

/** A browser asks every 2 to 5 s (RFC 7675); three such silences are a lost path. */
const iceConsentTimeoutSeconds = 15;

type Direction = 'send' | 'recv';

interface SideMedia {
  readonly transports: Partial<Record<Direction, types.WebRtcTransport>>;
  producer?: types.Producer;
  consumer?: types.Consumer;
  state?: IceState;
}

interface RecorderLeg {
  readonly side: Side;
  readonly consumer: types.Consumer;
}

/** Totals of one browser's microphone. */
export interface ProducerTraffic {
  readonly producerId: string;
  readonly packets: number;
  readonly lost: number;
  readonly bytes: number;
}

/** What a call needs of the worker that carries it. */
export interface CallHost {
  readonly router: types.Router;
  readonly webRtcServer: types.WebRtcServer;
  recorderLink(recorder: RecorderEndpoint): Promise<RecorderLink>;
  /** The call left this worker. */
  callClosed(callId: string): void;
}

const sides = ['caller', 'callee'] as const;

export class RealCallMedia
  extends EventEmitter<{ iceState: [Side, IceState]; closed: [CallMediaClosedReason] }>
  implements CallMedia
{
  readonly callId: string;
  readonly #host: CallHost;
  readonly #sides: Record<Side, SideMedia> = { caller: { transports: {} }, callee: { transports: {} } };
  /** What is being made: taken before the first await, so that two requests cannot make the same thing. */
  readonly #making = new Set<string>();
  #recorderLegs: RecorderLeg[] = [];
  /** Set by resumeConsumers(), unset by pauseConsumers(): a consumer that comes later speaks at once, or not yet. */
  #audible = false;
  #closed = false;

  constructor(callId: string, host: CallHost) {
    super();
    this.callId = callId;
    this.#host = host;
  }

  get closed(): boolean {
    return this.#closed;
  }

  routerRtpCapabilities(): Opaque {
    return { ...browserCapabilities(this.#host.router.rtpCapabilities) };
  }

  async createTransport(side: Side, direction: Direction): Promise<TransportParams> {
    const ours = this.#sides[side];
    return await this.#once(
      `${side} ${direction} transport`,
      ours.transports[direction] !== undefined,
      async () => {
        const transport = await mediaRequest('creating a transport', () =>
          this.#host.router.createWebRtcTransport({
            webRtcServer: this.#host.webRtcServer,
            enableUdp: true,
            enableTcp: true,
            preferUdp: true,
            iceConsentTimeout: iceConsentTimeoutSeconds,
          }),
        );
        this.#keepOpen(transport);
        ours.transports[direction] = transport;
        transport.on('icestatechange', () => this.#noticeState(side));
        transport.on('dtlsstatechange', () => this.#noticeState(side));
        return {
          id: transport.id,
          iceParameters: { ...transport.iceParameters },
          iceCandidates: transport.iceCandidates.map((candidate) => ({ ...candidate })),
          dtlsParameters: { ...transport.dtlsParameters },
        };
      },
    );
  }

  async connectTransport(side: Side, transportId: string, dtlsParameters: Opaque): Promise<void> {
    const transport = this.#transport(side, transportId);
    // mediasoup does not look at these two before it walks through them.
    if (!Array.isArray(dtlsParameters.fingerprints) || !dtlsParameters.fingerprints.every(isObject)) {
      throw new VerbatimError('bad_request', 'dtlsParameters.fingerprints: expected a list of fingerprints');
    }
    const given = structuredClone(dtlsParameters) as unknown as types.DtlsParameters;
    await mediaRequest('connecting a transport', () => transport.connect({ dtlsParameters: given }));
    this.#assertOpen();
  }

  async restartIce(side: Side, transportId: string): Promise<Opaque> {
    const transport = this.#transport(side, transportId);
    const parameters = await mediaRequest('restarting ICE', () => transport.restartIce());
    this.#assertOpen();
    return { ...parameters };
  }

  async produce(side: Side, transportId: string, rtpParameters: Opaque): Promise<{ producerId: string }> {
    const transport = this.#transport(side, transportId, 'send');
    const opus = opusRtpParameters(rtpParameters);
    const ours = this.#sides[side];
    return await this.#once(`${side} producer`, ours.producer !== undefined, async () => {
      const producer = await mediaRequest('producing', () =>
        transport.produce({ kind: 'audio', rtpParameters: opus }),
      );
      this.#keepOpen(producer);
      ours.producer = producer;
      return { producerId: producer.id };
    });
  }

  hasProducer(side: Side): boolean {
    return this.#sides[side].producer !== undefined;
  }

  async consume(side: Side, rtpCapabilities: Opaque): Promise<OfferedConsumer> {
    const ours = this.#sides[side];
    const other = otherSide(side);
    return await this.#once(`${side} consumer`, ours.consumer !== undefined, async () => {
      const transport = ours.transports.recv;
      const producer = this.#sides[other].producer;
      if (!transport || !producer) {
        throw new VerbatimError(
          'conflict',
          `the ${side} cannot receive yet: ${transport ? `the ${other} sends nothing` : 'it has no receiving transport'}`,
        );
      }
      const capabilities: types.RtpCapabilities = structuredClone(rtpCapabilities);
      const consumer = await mediaRequest('consuming', () =>
        transport.consume({
          producerId: producer.id,
          rtpCapabilities: capabilities,
          paused: true,
          // For audio mediasoup answers NACKs only when it is told to; this is about NACK, there is no RTX for Opus.
          enableRtx: true,
        }),
      );
      this.#keepOpen(consumer);
      ours.consumer = consumer;
      if (this.#audible) {
        await mediaRequest('resuming a consumer', () => consumer.resume());
        // The call may have been silenced while this one was being resumed.
        if (!this.#audible) await mediaRequest('pausing a consumer', () => consumer.pause());
      }
      this.#assertOpen();
      return {
        id: consumer.id,
        producerId: producer.id,
        kind: 'audio',
        rtpParameters: { ...consumer.rtpParameters },
      };
    });
  }

  async resumeConsumers(): Promise<void> {
    this.#assertOpen();
    this.#audible = true;
    await mediaRequest('resuming the consumers', () =>
      Promise.all(sides.map((side) => this.#sides[side].consumer?.resume())),
    );
    this.#assertOpen();
  }

  async pauseConsumers(): Promise<void> {
    this.#assertOpen();
    this.#audible = false;
    await mediaRequest('pausing the consumers', () =>
      Promise.all(sides.map((side) => this.#sides[side].consumer?.pause())),
    );
    this.#assertOpen();
  }

  async attachRecorder(recorder: RecorderEndpoint): Promise<RecorderLegs> {
    return await this.#once('recorder', false, async () => {
      const producers = sides.map((side) => {
        const { producer } = this.#sides[side];
        if (!producer) throw new VerbatimError('conflict', `the ${side} sends nothing yet`);
        return { side, producerId: producer.id };
      });
      this.#closeLegs();
      const link = await this.#host.recorderLink(recorder);
      this.#assertOpen();
      const opened = await Promise.allSettled(
        producers.map(async ({ side, producerId }) => ({ side, consumer: await link.consume(producerId) })),
      );
      const legs = opened.flatMap((leg) => (leg.status === 'fulfilled' ? [leg.value] : []));
      const failed = opened.find((leg) => leg.status === 'rejected');
      if (failed || this.#closed) {
        for (const leg of legs) leg.consumer.close();
        this.#assertOpen();
        throw failed?.reason;
      }
      this.#recorderLegs = legs;
      return { source: link.source, legs: legs.map(captureLeg) };
    });
  }

  async resumeRecorder(): Promise<void> {
    this.#assertOpen();
    if (this.#recorderLegs.length === 0) throw new VerbatimError('conflict', 'no recorder is attached');
    const legs = this.#recorderLegs;
    await mediaRequest('starting the flow to the recorder', () =>
      Promise.all(legs.map(({ consumer }) => consumer.resume())),
    );
    this.#assertOpen();
  }

  /** What each browser has sent so far, by its producer. Never rejects: one that closes meanwhile is left out. */
  async traffic(): Promise<ProducerTraffic[]> {
    const producers = sides.flatMap((side) => this.#sides[side].producer ?? []);
    const asked = await Promise.allSettled(
      producers.map(async (producer) => {
        const streams = await producer.getStats();
        const sum = (of: (stream: types.ProducerStat) => number): number =>
          streams.reduce((total, stream) => total + of(stream), 0);
        return {
          producerId: producer.id,
          packets: sum(({ packetCount }) => packetCount),
          lost: sum(({ packetsLost }) => packetsLost),
          bytes: sum(({ byteCount }) => byteCount),
        };
      }),
    );
    return asked.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeLegs();
    for (const side of sides) {
      const { transports } = this.#sides[side];
      // Producers and consumers close with their transport.
      transports.send?.close();
      transports.recv?.close();
    }
    this.#host.callClosed(this.callId);
    this.removeAllListeners();
  }

  /** Told by the parent: the worker is gone or going, and with it everything of this call. */
  hostClosed(reason: CallMediaClosedReason): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#recorderLegs = [];
    this.emit('closed', reason);
    this.removeAllListeners();
  }

  /** Runs `make` unless it is made or being made. */
  async #once<T>(what: string, made: boolean, make: () => Promise<T>): Promise<T> {
    this.#assertOpen();
    if (made || this.#making.has(what)) {
      throw new VerbatimError('conflict', `the call has, or is making, this already: ${what}`);
    }
    this.#making.add(what);
    try {
      return await make();
    } finally {
      this.#making.delete(what);
    }
  }

  /** After an await: what was made for a call that has closed meanwhile is closed too. */
  #keepOpen(made: { close(): void }): void {
    if (this.#closed) made.close();
    this.#assertOpen();
  }

  #assertOpen(): void {
    if (this.#closed) throw new VerbatimError('conflict', 'the media of this call is closed');
  }

  #transport(side: Side, transportId: string, direction?: Direction): types.WebRtcTransport {
    this.#assertOpen();
    const { send, recv } = this.#sides[side].transports;
    const candidates = direction === undefined ? [send, recv] : [this.#sides[side].transports[direction]];
    const transport = candidates.find((candidate) => candidate?.id === transportId);
    if (!transport) {
      throw new VerbatimError(
        'not_found',
        `the ${side} has no such ${direction ?? ''} transport: ${transportId.slice(0, 64)}`,
      );
    }
    return transport;
  }

  #noticeState(side: Side): void {
    if (this.#closed) return;
    const ours = this.#sides[side];
    const state = pathState(Object.values(ours.transports));
    if (state === undefined || state === ours.state) return;
    ours.state = state;
    this.emit('iceState', side, state);
  }

  #closeLegs(): void {
    for (const { consumer } of this.#recorderLegs) consumer.close();
    this.#recorderLegs = [];
  }
}

/** The worst of a side's transports. One that was never up does not count: a browser connects to receive only late. */
function pathState(transports: readonly types.WebRtcTransport[]): IceState | undefined {
  if (transports.some(({ dtlsState }) => dtlsState === 'failed')) return 'failed';
  // A DTLS close is a goodbye (close_notify): the page closed its connection.
  if (transports.some(({ iceState, dtlsState }) => iceState === 'disconnected' || dtlsState === 'closed')) {
    return 'disconnected';
  }
  return transports.some(isUp) ? 'connected' : undefined;
}

function isUp({ iceState, dtlsState }: types.WebRtcTransport): boolean {
  return (iceState === 'connected' || iceState === 'completed') && dtlsState === 'connected';
}

function captureLeg({ side, consumer }: RecorderLeg): CaptureLeg {
  const audioLevel = consumer.rtpParameters.headerExtensions?.find(({ uri }) => uri === audioLevelUri);
  return {
    side,
    ssrc: ssrcOf(consumer),
    payloadType: consumer.rtpParameters.codecs[0]?.payloadType ?? opusPayloadType,
    clockRate: opusClockRate,
    ...(audioLevel ? { audioLevelExtId: audioLevel.id } : {}),
  };
}

function otherSide(side: Side): Side {
  return side === 'caller' ? 'callee' : 'caller';
}
