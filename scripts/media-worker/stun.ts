// What: the one STUN message that opens an ICE-lite peer: a binding request that nominates its candidate.
// What not: an ICE agent; there is no gathering, no pacing and no role conflict.
// Who may import: scripts/media-worker/smoke.ts and tests.

import { createHmac, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

// RFC 8489 section 5 (header), RFC 8445 section 16.1 (ICE attributes)
//   0  2  type            2  2  length of attributes       4  4  magic cookie        8  12  transaction id
const bindingRequest = 0x0001;
const bindingSuccess = 0x0101;
const magicCookie = 0x2112a442;
const headerLength = 20;
const attribute = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  priority: 0x0024,
  useCandidate: 0x0025,
  fingerprint: 0x8028,
  iceControlling: 0x802a,
} as const;

/** RFC 8445 section 5.1.2.1: type preference of a host candidate, local preference, component 1. */
const hostPriority = (126 << 24) | (65_535 << 8) | 255;

export interface IceCredentials {
  readonly usernameFragment: string;
  readonly password: string;
}

/** A binding request with USE-CANDIDATE towards the peer with these credentials. */
export function encodeBindingRequest(remote: IceCredentials, localUsernameFragment: string): Buffer {
  const priority = Buffer.alloc(4);

  priority.writeUInt32BE(hostPriority);

  const attributes = Buffer.concat([
    encodeAttribute(attribute.username, Buffer.from(`${remote.usernameFragment}:${localUsernameFragment}`)),
    encodeAttribute(attribute.priority, priority),
    encodeAttribute(attribute.iceControlling, randomBytes(8)),
    encodeAttribute(attribute.useCandidate, Buffer.alloc(0)),
  ]);
  const header = Buffer.alloc(headerLength);

  header.writeUInt16BE(bindingRequest, 0);
  header.writeUInt32BE(magicCookie, 4);
  randomBytes(12).copy(header, 8);

  // Both closing attributes cover the message before them with a length field that already counts them
  // (RFC 8489 sections 14.5 and 14.7): 24 bytes with the HMAC, 8 more with the CRC.
  const unsigned = Buffer.concat([header, attributes]);

  unsigned.writeUInt16BE(attributes.length + 24, 2);
  const hmac = createHmac('sha1', remote.password).update(unsigned).digest();
  const signed = Buffer.concat([unsigned, encodeAttribute(attribute.messageIntegrity, hmac)]);

  signed.writeUInt16BE(signed.length - headerLength + 8, 2);
  const checksum = Buffer.alloc(4);

  checksum.writeUInt32BE((crc32(signed) ^ 0x5354554e) >>> 0);

  return Buffer.concat([signed, encodeAttribute(attribute.fingerprint, checksum)]);
}

/** RFC 7983: the first byte tells STUN (0..3) from DTLS (20..63) and RTP or RTCP (128..191). */
export function isStun(datagram: Buffer): boolean {
  return (
    datagram.length >= headerLength && (datagram[0] ?? 255) <= 3 && datagram.readUInt32BE(4) === magicCookie
  );
}

export function isBindingSuccess(datagram: Buffer): boolean {
  return isStun(datagram) && datagram.readUInt16BE(0) === bindingSuccess;
}

function encodeAttribute(type: number, value: Buffer): Buffer {
  const encoded = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);

  encoded.writeUInt16BE(type, 0);
  encoded.writeUInt16BE(value.length, 2);
  value.copy(encoded, 4);

  return encoded;
}
