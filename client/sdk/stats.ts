/** What was sent and heard in a call, for a quality display and for tests. */
export interface CallStats {
  inbound: {
    packets: number;
    bytes: number;
    lost: number;
    /** Seconds. */
    jitter: number;
    /** Of the other side's audio now, 0 to 1. */
    audioLevel: number;
    /** Grows by level² × seconds of everything that was played: 0 means that nothing was ever heard. */
    totalAudioEnergy: number;
  };
  outbound: {
    packets: number;
    bytes: number;
    audioLevel: number;
    /** What the receiver says of it (RTCP); absent until it has said anything. Jitter in seconds. */
    reported?: { lost: number; jitter: number };
  };
  /** Milliseconds to the media server (peer to peer: to the other side) and back; undefined until it is measured. */
  rttMs: number | undefined;
  send: string;
  recv: string;
}

interface TransportReport {
  state: string;
  report: RTCStatsReport;
}

export function emptyStats(): CallStats {
  return {
    inbound: { packets: 0, bytes: 0, lost: 0, jitter: 0, audioLevel: 0, totalAudioEnergy: 0 },
    outbound: { packets: 0, bytes: 0, audioLevel: 0 },
    rttMs: undefined,
    send: 'new',
    recv: 'new',
  };
}

/** Picks the few figures that matter from the reports of both transports (W3C webrtc-stats). */
export function readStats(send: TransportReport | undefined, recv: TransportReport | undefined): CallStats {
  const stats = emptyStats();
  stats.send = send?.state ?? 'new';
  stats.recv = recv?.state ?? 'new';
  recv?.report.forEach((entry: Record<string, unknown>) => {
    if (entry.type !== 'inbound-rtp') return;
    stats.inbound = {
      packets: numberOf(entry.packetsReceived),
      bytes: numberOf(entry.bytesReceived),
      lost: numberOf(entry.packetsLost),
      jitter: numberOf(entry.jitter),
      audioLevel: numberOf(entry.audioLevel),
      totalAudioEnergy: numberOf(entry.totalAudioEnergy),
    };
  });
  send?.report.forEach((entry: Record<string, unknown>) => {
    if (entry.type === 'outbound-rtp') {
      stats.outbound.packets = numberOf(entry.packetsSent);
      stats.outbound.bytes = numberOf(entry.bytesSent);
    } else if (entry.type === 'media-source') {
      stats.outbound.audioLevel = numberOf(entry.audioLevel);
    } else if (entry.type === 'remote-inbound-rtp') {
      stats.outbound.reported = { lost: numberOf(entry.packetsLost), jitter: numberOf(entry.jitter) };
      const seconds = entry.roundTripTime;
      // The path's own time is newer, where the browser tells it.
      if (typeof seconds === 'number') stats.rttMs ??= seconds * 1000;
    } else if (entry.type === 'candidate-pair' && entry.nominated === true) {
      const seconds = entry.currentRoundTripTime;
      if (typeof seconds === 'number') stats.rttMs = seconds * 1000;
    }
  });
  return stats;
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
