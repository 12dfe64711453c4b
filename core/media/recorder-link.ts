import type { types } from 'mediasoup';
import { VerbatimError } from '#protocol';
import { recorderCapabilities } from './codecs.ts';
import type { RecorderEndpoint, SrtpKey } from './contract.ts';
import { mediaRequest } from './failure.ts';

/** Rides out a recorder that is stalled for 100 ms at 100,000 packets a second; the kernel may cap it lower. */
const sendBufferBytes = 4 * 1024 * 1024;
const maxSsrcAttempts = 4;

/**
 * The plain transport that joins one media worker to one recorder: one for each pair, kept open, used by all their
 * calls. RTP and RTCP share a port (RFC 5761), and both ends of the tuple are fixed before anything flows: with
 * comedia the first datagram from anywhere would decide where a call's audio goes.
 *
 * What the recorder sees of a producer (mediasoup 3.27, worker/src/RTC):
 * - SSRC: a random one for each consumer; legs are told apart by it. On one link they are distinct (see consume()).
 * - Sequence numbers: the browser's plus one constant, so a packet that never came is a hole, and reordering and
 *   duplicates come through. The constant changes when a consumer is resumed: the first packet then follows the last.
 * - Timestamps, marker and payload: as the browser sent them. Packets without payload (padding) are left out.
 * - Header extensions: under the router's ids, and also those that the leg did not ask for (a MID comes first): look
 *   for the level by its id.
 * - A packet that the browser sends again after a NACK comes late, under its own sequence number. The recorder's leg
 *   itself asks for nothing again (no NACK, no retransmission buffer).
 * - DTX: nothing is filled in; sequence numbers go on, timestamps jump.
 * - RTCP sender reports: made by the worker, not the browser's, in one compound packet for all legs of the link every
 *   1.0 to 1.5 s; a new leg's first comes with the next one. The interval is fixed in the worker. A leg from which
 *   nothing was heard for 2 s gets none.
 *   NTP in it is the worker's clock: the host's wall clock read once when the worker started, then monotonic. Both
 *   legs of a call are on one worker, thus on one clock; two workers can differ by what the clock was stepped between.
 *   The RTP timestamp beside it is extrapolated from the newest packet: from when it *arrived*, until the browser has
 *   sent three sender reports of its own; from then on from when it was *captured*, as those reports tell (their
 *   offset is the median of the last seven, less half the round trip when that is known). So early reports lag by
 *   the way from the microphone to the server, they jitter with the network, and the mapping moves once by that
 *   much: fit a line through later reports rather than trusting the first.
 */
export class RecorderLink {
  readonly recorder: RecorderEndpoint;
  readonly #transport: types.PlainTransport;
  readonly #capabilities: types.RtpCapabilities;
  readonly #ssrcs = new Set<number>();

  /** @param ip the local address; packets leave from it. */
  static async open(router: types.Router, recorder: RecorderEndpoint, ip: string): Promise<RecorderLink> {
    return await mediaRequest('joining a recorder', async () => {
      const transport = await router.createPlainTransport({
        listenInfo: { protocol: 'udp', ip, sendBufferSize: sendBufferBytes },
        rtcpMux: true,
        comedia: false,
        ...(recorder.srtp ? { enableSrtp: true, srtpCryptoSuite: recorder.srtp.cryptoSuite } : {}),
      });
      try {
        await transport.connect({
          ip: recorder.ip,
          port: recorder.port,
          ...(recorder.srtp ? { srtpParameters: { ...recorder.srtp } } : {}),
        });
      } catch (error) {
        transport.close();
        throw error;
      }
      return new RecorderLink(recorder, transport, recorderCapabilities(router.rtpCapabilities));
    });
  }

  private constructor(
    recorder: RecorderEndpoint,
    transport: types.PlainTransport,
    capabilities: types.RtpCapabilities,
  ) {
    this.recorder = recorder;
    this.#transport = transport;
    this.#capabilities = capabilities;
  }

  /** How many legs use it now. */
  get legs(): number {
    return this.#ssrcs.size;
  }

  /** Where its packets come from. */
  get source(): { ip: string; port: number; srtp?: SrtpKey } {
    const { localAddress, localPort } = this.#transport.tuple;
    const srtp = this.#transport.srtpParameters;
    return {
      ip: localAddress,
      port: localPort,
      ...(srtp && this.recorder.srtp
        ? { srtp: { cryptoSuite: this.recorder.srtp.cryptoSuite, keyBase64: srtp.keyBase64 } }
        : {}),
    };
  }

  /** A silent (paused) consumer whose SSRC no other leg of this link has. */
  async consume(producerId: string): Promise<types.Consumer> {
    for (let attempt = 0; attempt < maxSsrcAttempts; attempt++) {
      const consumer = await mediaRequest('joining a leg to a recorder', () =>
        this.#transport.consume({
          producerId,
          rtpCapabilities: structuredClone(this.#capabilities),
          paused: true,
        }),
      );
      const ssrc = ssrcOf(consumer);
      // mediasoup draws from 900 million numbers and does not look whether one is taken.
      if (!this.#ssrcs.has(ssrc)) {
        this.#ssrcs.add(ssrc);
        consumer.observer.once('close', () => this.#ssrcs.delete(ssrc));
        return consumer;
      }
      consumer.close();
    }
    throw new VerbatimError('media_failed', `no free SSRC on the link to ${this.recorder.recorderId}`);
  }

  close(): void {
    this.#transport.close();
  }
}

export function ssrcOf(consumer: types.Consumer): number {
  const ssrc = consumer.rtpParameters.encodings?.[0]?.ssrc;
  if (ssrc === undefined) throw new VerbatimError('media_failed', 'the media worker gave a leg no SSRC');
  return ssrc;
}
