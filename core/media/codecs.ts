import type { types } from 'mediasoup';
import { VerbatimError } from '#protocol';
import type { Opaque } from './contract.ts';

export const opusClockRate = 48_000;
export const opusPayloadType = 111;
export const audioLevelUri = 'urn:ietf:params:rtp-hdrext:ssrc-audio-level';

/**
 * The one codec. Opus is always announced with two channels (RFC 7587 section 7); what is sent is mono while
 * `stereo` is 0. The parameters are what a browser reads as the server's wish for what it receives.
 */
export const mediaCodecs: types.RouterRtpCodecCapability[] = [
  {
    kind: 'audio',
    mimeType: 'audio/opus',
    preferredPayloadType: opusPayloadType,
    clockRate: opusClockRate,
    channels: 2,
    parameters: { useinbandfec: 1, usedtx: 1, stereo: 0, ptime: 20 },
  },
];

/** The header extensions that calls use, out of those that mediasoup would offer. */
const headerExtensions = [
  'urn:ietf:params:rtp-hdrext:sdes:mid',
  'http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time',
  'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01',
  audioLevelUri,
];

export function browserCapabilities(router: types.RtpCapabilities): types.RtpCapabilities {
  const offered = router.headerExtensions ?? [];
  return {
    codecs: structuredClone(router.codecs ?? []),
    headerExtensions: structuredClone(
      offered.filter((extension) => extension.kind === 'audio' && headerExtensions.includes(extension.uri)),
    ),
  };
}

/** A recorder asks for nothing to be sent again and needs of the extensions only the level (RFC 6464). */
export function recorderCapabilities(router: types.RtpCapabilities): types.RtpCapabilities {
  const { codecs = [], headerExtensions: extensions = [] } = browserCapabilities(router);
  return {
    codecs: codecs.map((codec) => ({ ...codec, rtcpFeedback: [] })),
    headerExtensions: extensions.filter((extension) => extension.uri === audioLevelUri),
  };
}

/**
 * A browser's RTP parameters, when they are one stream of Opus and nothing else. mediasoup checks the finer
 * shape; this check keeps a call to the one codec and the one stream that a recording understands.
 */
export function opusRtpParameters(given: Opaque): types.RtpParameters {
  const { codecs, encodings } = given;
  const codec: unknown = Array.isArray(codecs) && codecs.length === 1 ? codecs[0] : undefined;
  if (
    !isObject(codec) ||
    String(codec.mimeType).toLowerCase() !== 'audio/opus' ||
    codec.clockRate !== opusClockRate
  ) {
    throw new VerbatimError(
      'bad_request',
      'rtpParameters.codecs: expected exactly one codec, audio/opus at 48000',
    );
  }
  const encoding: unknown = Array.isArray(encodings) && encodings.length === 1 ? encodings[0] : undefined;
  if (!isObject(encoding)) {
    throw new VerbatimError('bad_request', 'rtpParameters.encodings: expected exactly one encoding');
  }
  // mediasoup would cut a larger number to 32 bits and then wait for a stream that never comes.
  if (encoding.ssrc !== undefined && !isUint32(encoding.ssrc)) {
    throw new VerbatimError(
      'bad_request',
      'rtpParameters.encodings[0].ssrc: expected a whole number of 32 bits',
    );
  }
  // mediasoup fills in defaults in place: the caller's object stays as it was. The rest of the shape it checks itself.
  return structuredClone(given) as unknown as types.RtpParameters;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isUint32(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff_ffff;
}
