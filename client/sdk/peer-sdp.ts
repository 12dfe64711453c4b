/** Session descriptions (RFC 8866) of voice calls: one audio section, Opus and nothing else that is heard. */

/** `telephone-event` is no sound: some browsers name it whatever they are asked for. */
const CODECS = /^(opus\/48000\/2|telephone-event\/\d+)$/i;

/** Why a description of the other browser is not taken; undefined when it is. */
export function refusalOf(sdp: string): string | undefined {
  const sections = sdp.match(/^m=.*$/gm) ?? [];
  if (sections.length !== 1 || !sections[0]?.startsWith('m=audio ')) return 'expected one audio section';
  const codecs = [...sdp.matchAll(/^a=rtpmap:\d+ (\S+)/gm)].map(([, codec = '']) => codec);
  if (!codecs.some((codec) => /^opus\//i.test(codec))) return 'expected Opus';
  const other = codecs.find((codec) => !CODECS.test(codec));
  return other === undefined ? undefined : `expected Opus only, got ${other.slice(0, 32)}`;
}

/**
 * Asks the other side to send next to nothing while nobody speaks (`usedtx`, RFC 7587 section 6.1). For the copy that the
 * other side gets: the parameters of a description are the wishes of who receives.
 */
export function withDtx(sdp: string): string {
  const [, payload] = /^a=rtpmap:(\d+) opus\//im.exec(sdp) ?? [];
  if (payload === undefined) return sdp;
  return sdp.replace(new RegExp(`^(a=fmtp:${payload} (?!.*usedtx)[^\\r\\n]*)`, 'm'), '$1;usedtx=1');
}

/** What this browser can do of Opus; empty when it does not say, and then nothing can be chosen. */
export function opusOnly(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpReceiver.getCapabilities?.('audio')?.codecs ?? [];
  const opus = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === 'audio/opus');
  if (opus.length > 0) transceiver.setCodecPreferences?.(opus);
}
