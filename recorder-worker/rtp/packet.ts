/**
 * The fixed RTP header, parsed in place (RFC 3550 section 5.1):
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 * |                           timestamp                           |
 * |                             SSRC                              |
 * |                CSRC list, CC times 32 bits                    |
 * |  profile, 16 bits (X=1)       |  length in 32-bit words       |
 *
 * Nothing here allocates: the recorder calls it for every datagram of every call.
 */
export interface RtpHeader {
  payloadType: number;
  marker: boolean;
  sequence: number;
  timestamp: number;
  ssrc: number;
  /** The 16 bits in front of the header extension, or -1 when there is none. */
  extensionProfile: number;
  /** Where the extension's data begins and how long it is, in bytes of the buffer that was parsed. */
  extensionStart: number;
  extensionLength: number;
  /** Where the payload begins and its length without padding; the length may be 0. */
  payloadStart: number;
  payloadLength: number;
}

export const RTP_HEADER_BYTES = 12;

export function createRtpHeader(): RtpHeader {
  return {
    payloadType: 0,
    marker: false,
    sequence: 0,
    timestamp: 0,
    ssrc: 0,
    extensionProfile: -1,
    extensionStart: 0,
    extensionLength: 0,
    payloadStart: 0,
    payloadLength: 0,
  };
}

/**
 * True when a datagram on a port that carries both is RTCP and not RTP: the second byte of the RTCP types in
 * use is 192-223, which RTP payload types with and without marker leave free (RFC 5761 section 4).
 */
export function isRtcp(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
  if (end - start < 2) return false;
  const type = bytes[start + 1] as number;
  return type >= 192 && type <= 223;
}

/**
 * Parses the header of the RTP packet in `bytes[start..end)` into `header`, which the caller reuses.
 * Returns false, and leaves `header` undefined in content, for anything that is not a whole RTP version 2
 * packet (short, wrong version, RTCP, lists or padding that reach past the end). It never throws.
 */
export function parseRtp(bytes: Uint8Array, header: RtpHeader, start = 0, end = bytes.length): boolean {
  if (start < 0 || end > bytes.length || end - start < RTP_HEADER_BYTES) return false;
  const first = bytes[start] as number;
  if (first >> 6 !== 2 || isRtcp(bytes, start, end)) return false;
  const second = bytes[start + 1] as number;
  let at = start + RTP_HEADER_BYTES + (first & 0x0f) * 4;
  if (at > end) return false;
  if ((first & 0x10) !== 0) {
    if (at + 4 > end) return false;
    const extensionLength = uint16(bytes, at + 2) * 4;
    header.extensionProfile = uint16(bytes, at);
    header.extensionStart = at + 4;
    header.extensionLength = extensionLength;
    at += 4 + extensionLength;
    if (at > end) return false;
  } else {
    header.extensionProfile = -1;
    header.extensionStart = 0;
    header.extensionLength = 0;
  }
  let length = end - at;
  if ((first & 0x20) !== 0) {
    // The last byte counts the padding, itself included, so 0 is as wrong as more than there is.
    const padding = length > 0 ? (bytes[end - 1] as number) : 0;
    if (padding === 0 || padding > length) return false;
    length -= padding;
  }
  header.marker = (second & 0x80) !== 0;
  header.payloadType = second & 0x7f;
  header.sequence = uint16(bytes, start + 2);
  header.timestamp = uint32(bytes, start + 4);
  header.ssrc = uint32(bytes, start + 8);
  header.payloadStart = at;
  header.payloadLength = length;
  return true;
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function uint32(bytes: Uint8Array, at: number): number {
  return ((uint16(bytes, at) << 16) | uint16(bytes, at + 2)) >>> 0;
}
