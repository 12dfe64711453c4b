import type { RtpHeader } from './packet.ts';

/**
 * Header extensions (RFC 8285). One-byte elements (profile 0xBEDE): `ID:4 | L-1:4`, then L bytes; ID 0 is
 * padding, ID 15 ends the list. Two-byte elements (profile 0x1000 to 0x100F): `ID:8 | L:8`, then L bytes; ID 0
 * is padding of one byte.
 */
const ONE_BYTE_PROFILE = 0xbede;
const TWO_BYTE_PROFILE = 0x100;

/**
 * Finds the element with this id in the packet that `header` was parsed from.
 * Returns `start * 256 + length` of its data, or -1: packed into one number so that nothing is allocated.
 * A list that is cut short ends where it stops making sense; what came before still counts.
 */
function findElement(bytes: Uint8Array, header: RtpHeader, id: number): number {
  const oneByte = header.extensionProfile === ONE_BYTE_PROFILE;
  if (!oneByte && header.extensionProfile >> 4 !== TWO_BYTE_PROFILE) return -1;
  let at = header.extensionStart;
  const end = at + header.extensionLength;
  while (at < end) {
    const first = bytes[at] as number;
    if (first === 0) {
      at += 1;
      continue;
    }
    let elementId: number;
    let length: number;
    if (oneByte) {
      elementId = first >> 4;
      length = (first & 0x0f) + 1;
      at += 1;
      // ID 15 is reserved: processing stops there (section 4.2). ID 0 with a length is padding to be skipped.
      if (elementId === 15) return -1;
    } else {
      if (at + 1 >= end) return -1;
      elementId = first;
      length = bytes[at + 1] as number;
      at += 2;
    }
    if (at + length > end) return -1;
    if (elementId === id && id !== 0) return at * 256 + length;
    at += length;
  }
  return -1;
}

/** The data of one element, or undefined. For tests and tools; the hot path reads `audioLevel`. */
export function extensionElement(bytes: Uint8Array, header: RtpHeader, id: number): Uint8Array | undefined {
  const found = findElement(bytes, header, id);
  if (found < 0) return undefined;
  const start = Math.floor(found / 256);
  return bytes.subarray(start, start + (found % 256));
}

/**
 * Client-to-mixer audio level (RFC 6464 section 3): one byte `V:1 | level:7`, the level in -dBov, 0 the
 * loudest and 127 silence. Returns the level, or -1 when the packet carries none under this id.
 */
export function audioLevel(bytes: Uint8Array, header: RtpHeader, id: number): number {
  const found = findElement(bytes, header, id);
  if (found < 0 || found % 256 === 0) return -1;
  return (bytes[Math.floor(found / 256)] as number) & 0x7f;
}
