import type { Device, types } from 'mediasoup-client';
import type { ConsumerParams, Result } from '#protocol';
import { asClientError } from './errors.ts';
import type { CallStats } from './stats.ts';
import { readStats } from './stats.ts';
import type { MediaPath, MediaPathDeps } from './transport.ts';

type Transport = types.Transport;
type Direction = 'send' | 'recv';

/** A path that breaks often mends itself within this time; then new ICE credentials are asked for. */
const ICE_PATIENCE_MS = 1_000;
const ICE_RETRY_MS = 2_500;

/**
 * Mono, 20 ms, one frame a packet: the shape that a recording keeps as it is. DTX saves what silence costs, FEC
 * and NACK repair what the network loses.
 */
const CODEC_OPTIONS: types.ProducerCodecOptions = {
  opusStereo: false,
  opusPtime: 20,
  opusDtx: true,
  opusFec: true,
  opusNack: true,
};

export interface CallMediaDeps extends MediaPathDeps {
  device: Device;
}

/** The two transports of one call, the microphone's producer and the other side's consumer. */
export class CallMedia implements MediaPath {
  readonly #deps: CallMediaDeps;
  readonly #transports: Partial<Record<Direction, Transport>> = {};
  readonly #timers: Partial<Record<Direction, ReturnType<typeof setTimeout>>> = {};
  /** Consumers that were offered, by id: an offer that is repeated after a reconnect is not consumed twice. */
  readonly #offered = new Set<string>();
  /** Offers that came before the receiving transport; the server makes one per side. */
  #early: ConsumerParams[] = [];
  #producer: types.Producer | undefined;
  #closed = false;

  constructor(deps: CallMediaDeps) {
    this.#deps = deps;
  }

  /** Builds both transports as soon as the server opened them, and sends as soon as there is a microphone. */
  async start(microphone: () => Promise<MediaStreamTrack>): Promise<void> {
    const { device, callId } = this.#deps;
    const rtpCapabilities = { ...device.recvRtpCapabilities };
    const { send, recv } = await this.#deps.ask('media.open', { callId, rtpCapabilities });
    if (this.#closed) return;
    this.#transports.recv = this.#watch('recv', device.createRecvTransport(transportOptions(recv)));
    const sending = this.#watch('send', device.createSendTransport(transportOptions(send)));
    this.#transports.send = sending;
    sending.on('produce', ({ rtpParameters }, done, failed) => {
      // The same words on both ends of the wire: mediasoup's RtpParameters.
      const params = { callId, rtpParameters: { ...rtpParameters } };
      this.#deps.ask('media.produce', params).then(({ producerId }) => done({ id: producerId }), failed);
    });
    for (const offer of this.#early.splice(0)) void this.#consume(offer);
    const track = await microphone();
    if (this.#closed) return;
    const producer = await sending.produce({
      track,
      codecOptions: CODEC_OPTIONS,
      stopTracks: true,
      disableTrackOnPause: false,
    });
    if (this.#closed) producer.close();
    else this.#producer = producer;
  }

  /** The other side's audio can be received. */
  offer(params: ConsumerParams): void {
    if (this.#closed || this.#offered.has(params.id)) return;
    this.#offered.add(params.id);
    if (this.#transports.recv === undefined) this.#early.push(params);
    else void this.#consume(params);
  }

  /** Another microphone in the place of the present one, without a gap in what is sent. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    await this.#producer?.replaceTrack({ track });
  }

  /** After the signaling socket came back: whatever broke meanwhile is mended now. */
  mend(): void {
    for (const direction of ['send', 'recv'] as const) {
      const state = this.#transports[direction]?.connectionState;
      if (state === 'disconnected' || state === 'failed') this.#restartAfter(direction, 0);
    }
  }

  async stats(): Promise<CallStats> {
    const { send, recv } = this.#transports;
    return readStats(
      send === undefined ? undefined : { state: send.connectionState, report: await send.getStats() },
      recv === undefined ? undefined : { state: recv.connectionState, report: await recv.getStats() },
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#early = [];
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#transports.send?.close();
    this.#transports.recv?.close();
  }

  #watch(direction: Direction, transport: Transport): Transport {
    transport.on('connect', ({ dtlsParameters }, done) => {
      // The server works in order, so what follows need not wait for the answer: one round trip less.
      this.#deps
        .ask('media.connect', {
          callId: this.#deps.callId,
          direction,
          dtlsParameters: { ...dtlsParameters },
        })
        .catch((error: unknown) => this.#fail(error));
      done();
    });
    transport.on('connectionstatechange', (state) => {
      if (state === 'connected') clearTimeout(this.#timers[direction]);
      if (state === 'disconnected') this.#restartAfter(direction, ICE_PATIENCE_MS);
      if (state === 'failed') this.#restartAfter(direction, 0);
    });
    return transport;
  }

  async #consume({ id, producerId, kind, rtpParameters }: ConsumerParams): Promise<void> {
    try {
      const consumer = await this.#transports.recv?.consume({
        id,
        producerId,
        kind,
        // mediasoup made them for the capabilities that this device reported.
        rtpParameters: rtpParameters as unknown as types.RtpParameters,
      });
      if (consumer === undefined) return;
      if (this.#closed) consumer.close();
      else this.#deps.onRemoteTrack(consumer.track);
    } catch (error) {
      this.#fail(error);
    }
  }

  #restartAfter(direction: Direction, ms: number): void {
    clearTimeout(this.#timers[direction]);
    this.#timers[direction] = setTimeout(() => void this.#restartIce(direction), ms);
  }

  /** Asks again until the path stands: the server ends the call when its grace period is over. */
  async #restartIce(direction: Direction): Promise<void> {
    const transport = this.#transports[direction];
    if (this.#closed || transport === undefined || transport.connectionState === 'connected') return;
    this.#restartAfter(direction, ICE_RETRY_MS);
    try {
      const { callId } = this.#deps;
      const { iceParameters } = await this.#deps.request('media.restartIce', { callId, direction });
      if (this.#closed) return;
      // The server's own IceParameters, passed through.
      await transport.restartIce({ iceParameters: iceParameters as unknown as types.IceParameters });
    } catch {
      // The signaling socket may be down as well; the next try is on its way.
    }
  }

  #fail(error: unknown): void {
    if (this.#closed) return;
    this.#deps.onFailed(asClientError(error, 'media_failed'));
  }
}

/** The server passes mediasoup's own objects through; the contract keeps them opaque. */
function transportOptions(params: Result<'media.open'>['send']): types.TransportOptions {
  return params as unknown as types.TransportOptions;
}
