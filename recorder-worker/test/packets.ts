/** Whole RTP and RTCP packets for tests and benchmarks, built by hand from RFC 3550 sections 5.1 and 6.4. */
export interface RtpFields {
  ssrc: number;
  sequence: number;
  payloadType: number;
  timestamp?: number;
  marker?: boolean;
  payload?: Uint8Array;
  /** How many CSRCs and how many 32-bit words of header extension (profile 0xBEDE) there are. */
  csrcs?: number;
  extensionWords?: number;
  /** Bytes of padding, the last of which says how many. */
  padding?: number;
}

export function rtpPacket(fields: RtpFields): Buffer {
  const { csrcs = 0, extensionWords, padding = 0, payload = new Uint8Array(0) } = fields;
  const header = Buffer.alloc(12 + csrcs * 4 + (extensionWords === undefined ? 0 : 4 + extensionWords * 4));
  header[0] = 0x80 | (padding > 0 ? 0x20 : 0) | (extensionWords === undefined ? 0 : 0x10) | csrcs;
  header[1] = (fields.marker ? 0x80 : 0) | fields.payloadType;
  header.writeUInt16BE(fields.sequence & 0xffff, 2);
  header.writeUInt32BE((fields.timestamp ?? 0) >>> 0, 4);
  header.writeUInt32BE(fields.ssrc >>> 0, 8);
  if (extensionWords !== undefined) {
    header.writeUInt16BE(0xbede, 12 + csrcs * 4);
    header.writeUInt16BE(extensionWords, 14 + csrcs * 4);
  }
  const tail = Buffer.alloc(padding);
  if (padding > 0) tail[padding - 1] = padding;
  return Buffer.concat([header, payload, tail]);
}

export function senderReport({
  ssrc,
  ntpSeconds = 0,
  rtpTimestamp = 0,
}: {
  ssrc: number;
  ntpSeconds?: number;
  rtpTimestamp?: number;
}): Buffer {
  const report = Buffer.alloc(28);
  report.writeUInt32BE(0x80c80006, 0);
  report.writeUInt32BE(ssrc >>> 0, 4);
  report.writeUInt32BE(ntpSeconds >>> 0, 8);
  report.writeUInt32BE(rtpTimestamp >>> 0, 16);
  return report;
}

export function receiverReport({ ssrc }: { ssrc: number }): Buffer {
  const report = Buffer.alloc(8);
  report.writeUInt32BE(0x80c90001, 0);
  report.writeUInt32BE(ssrc >>> 0, 4);
  return report;
}
