/**
 * Wrap-around arithmetic of RTP, all of it: sequence numbers are 16 bits and wrap every 22 minutes at 50
 * packets a second, timestamps are 32 bits and wrap once a day at 48 kHz (RFC 3550 section 5.1, A.1).
 */

/** Signed distance from sequence number `from` to `to`, in -32768..32767: the shorter way round. */
export function sequenceDelta(from: number, to: number): number {
  return ((to - from) << 16) >> 16;
}

/** Signed distance from RTP timestamp `from` to `to`, in -2^31..2^31-1: the shorter way round. */
export function timestampDelta(from: number, to: number): number {
  return (to - from) | 0;
}

/**
 * The same when it is known how far the timestamp went: half an hour of loss takes the sequence number past its half,
 * and then the timestamp, which turns once a day, tells that the way was forward.
 */
export function sequenceDeltaInTime(from: number, to: number, timestampDelta: number): number {
  const delta = sequenceDelta(from, to);
  return delta < 0 && timestampDelta > 0 ? delta + 0x1_0000 : delta;
}

/** The RTP timestamp without its wraps, next to an already unwrapped neighbour (a safe integer, not a bigint). */
export function unwrapTimestamp(neighbour: number, timestamp: number): number {
  // `| 0` takes a safe integer modulo 2^32, so a neighbour past the first wrap needs no care of its own.
  return neighbour + timestampDelta(neighbour, timestamp);
}
