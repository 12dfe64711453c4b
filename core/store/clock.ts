import { performance } from 'node:perf_hooks';

/** Time as an argument: tests move it, the recorder uses the machine's. */
export interface Clock {
  /** Unix time in milliseconds; may step. */
  wallMs(): number;
  /** Microseconds of the machine's monotonic clock; the same origin in every process since boot. */
  monotonicUs(): number;
}

// performance.now() reads the same clock as hrtime, without allocating; only its origin differs.
const originUs = Number(process.hrtime.bigint() / 1000n) - performance.now() * 1000;

/** Microseconds of the machine's monotonic clock, cheap enough for every packet. */
export function monotonicUs(): number {
  return Math.floor(originUs + performance.now() * 1000);
}

export const systemClock: Clock = { wallMs: Date.now, monotonicUs };
