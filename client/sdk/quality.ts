import type { CallView } from '#protocol';
import type { Quality, QualityLevel } from './contract.ts';
import type { CallStats } from './stats.ts';

const EVERY_MS = 2_000;

/**
 * Where a call begins to be worse than good, and where it is poor. Loss that Opus hides well stays below 3 %;
 * 150 ms one way is what ITU-T G.114 calls good for nearly everybody, 400 ms its limit.
 */
const FAIR = { lossPercent: 3, jitterMs: 40, rttMs: 300 };
const POOR = { lossPercent: 10, jitterMs: 100, rttMs: 800 };

/** Reads the figures of an active call every two seconds and tells what the seconds since the last reading were like. */
export class QualityWatch {
  readonly #read: () => Promise<CallStats>;
  readonly #tell: (quality: Quality) => void;
  #callId: string | undefined;
  #before: CallStats | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(read: () => Promise<CallStats>, tell: (quality: Quality) => void) {
    this.#read = read;
    this.#tell = tell;
  }

  /** The newest view of the call, or undefined when it is over. */
  update(call: CallView | undefined): void {
    const callId = call?.state === 'active' ? call.callId : undefined;
    if (callId === this.#callId) return;
    clearInterval(this.#timer);
    this.#callId = callId;
    this.#before = undefined;
    if (callId === undefined) return;
    void this.#measure(callId);
    this.#timer = setInterval(() => void this.#measure(callId), EVERY_MS);
  }

  async #measure(callId: string): Promise<void> {
    const now = await this.#read().catch(() => undefined);
    // The call may be over, or another one, by the time that the figures are read.
    if (now === undefined || this.#callId !== callId) return;
    const before = this.#before;
    this.#before = now;
    if (before !== undefined) this.#tell(qualityOf(before, now));
  }
}

/** What lies between two readings of the same call. */
export function qualityOf(before: CallStats, now: CallStats): Quality {
  const received = {
    ...percent(before.inbound, now.inbound),
    ...(now.inbound.packets > before.inbound.packets ? { jitterMs: now.inbound.jitter * 1000 } : {}),
  };
  const { reported } = now.outbound;
  const sent = {
    ...(reported === undefined
      ? {}
      : {
          ...percent(
            { packets: before.outbound.packets, lost: before.outbound.reported?.lost ?? 0 },
            { packets: now.outbound.packets - lostSince(before, now), lost: reported.lost },
          ),
          jitterMs: reported.jitter * 1000,
        }),
  };
  const rtt = now.rttMs === undefined ? {} : { rttMs: now.rttMs };
  const silent = now.inbound.packets === before.inbound.packets;
  const level = silent ? 'poor' : worse(levelOf({ ...received, ...rtt }), levelOf(sent));
  return { level, ...received, ...rtt, ...(reported === undefined ? {} : { sent }) };
}

/** Packets that are repaired later are taken off the count of lost ones again: a share is never below nothing. */
function percent(
  before: { packets: number; lost: number },
  now: { packets: number; lost: number },
): { lossPercent?: number } {
  const lost = Math.max(0, now.lost - before.lost);
  const arrived = Math.max(0, now.packets - before.packets);
  return lost + arrived === 0 ? {} : { lossPercent: (100 * lost) / (lost + arrived) };
}

function lostSince(before: CallStats, now: CallStats): number {
  return Math.max(0, (now.outbound.reported?.lost ?? 0) - (before.outbound.reported?.lost ?? 0));
}

function levelOf(figures: { lossPercent?: number; jitterMs?: number; rttMs?: number }): QualityLevel {
  const over = (limits: typeof FAIR): boolean =>
    (figures.lossPercent ?? 0) >= limits.lossPercent ||
    (figures.jitterMs ?? 0) >= limits.jitterMs ||
    (figures.rttMs ?? 0) >= limits.rttMs;
  if (over(POOR)) return 'poor';
  return over(FAIR) ? 'fair' : 'good';
}

function worse(one: QualityLevel, other: QualityLevel): QualityLevel {
  const order: readonly QualityLevel[] = ['good', 'fair', 'poor'];
  return order.indexOf(one) > order.indexOf(other) ? one : other;
}
