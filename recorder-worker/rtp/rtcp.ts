/**
 * RTCP, as far as aligning two legs needs it (RFC 3550 section 6). A compound packet is a row of
 *
 * |V=2|P|   RC    |      PT       |   length in 32-bit words - 1  |
 *
 * and a sender report (PT 200) goes on with SSRC, 64 bits of NTP time, the RTP timestamp of the same instant,
 * and the sender's packet and byte counts.
 */
export interface SenderReport {
  ssrc: number;
  /** The sender's wall clock in microseconds since 1900: NTP seconds and fraction in one safe integer. */
  ntpUs: number;
  rtpTimestamp: number;
  packetCount: number;
  byteCount: number;
}

const SENDER_REPORT = 200;
const SENDER_REPORT_BYTES = 28;
/** Packets of one datagram that are looked at; a datagram of 1500 bytes could hold 375 empty ones. */
const MAX_COMPOUND = 64;

/**
 * The sender reports of the compound RTCP packet in `bytes[start..end)`, in order. What does not parse ends
 * the walk: the reports in front of it still count, since mediators may append packets of their own. It never
 * throws.
 */
export function senderReports(bytes: Uint8Array, start = 0, end = bytes.length): SenderReport[] {
  const reports: SenderReport[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = Math.max(0, start);
  const limit = Math.min(end, bytes.length);
  for (let count = 0; count < MAX_COMPOUND && at + 4 <= limit; count += 1) {
    const first = view.getUint8(at);
    const next = at + (view.getUint16(at + 2) + 1) * 4;
    if (first >> 6 !== 2 || next > limit) break;
    if (view.getUint8(at + 1) === SENDER_REPORT && next - at >= SENDER_REPORT_BYTES) {
      reports.push({
        ssrc: view.getUint32(at + 4),
        // 2^32 seconds in microseconds stay below 2^53, so a number holds them exactly.
        ntpUs:
          view.getUint32(at + 8) * 1_000_000 + Math.round((view.getUint32(at + 12) * 1_000_000) / 2 ** 32),
        rtpTimestamp: view.getUint32(at + 16),
        packetCount: view.getUint32(at + 20),
        byteCount: view.getUint32(at + 24),
      });
    }
    at = next;
  }
  return reports;
}
