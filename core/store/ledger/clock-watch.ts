import type { Clock } from '../clock.ts';

/** Between two looks the wall clock may drift this far from the monotonic one before it counts as a step. */
export const MAX_DRIFT_MS = 5_000;

export interface Now {
  wallMs: number;
  /** Since the start, by the monotonic clock. */
  monoMs: number;
}

export interface ClockStep {
  fromMs: number;
  toMs: number;
  stepMs: number;
}

/**
 * Notices when somebody sets the wall clock. It is compared with the time of the start, or of the last step, so that
 * many small steps are noticed as well as one large one.
 */
export class ClockWatch {
  readonly #clock: Clock;
  readonly #startUs: number;
  #wallMs: number;
  #monoMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startUs = clock.monotonicUs();
    this.#wallMs = clock.wallMs();
  }

  /** The time, and the step since the last look if there was one. */
  look(): Now & { step?: ClockStep } {
    const wallMs = this.#clock.wallMs();
    const monoMs = Math.max(0, Math.floor((this.#clock.monotonicUs() - this.#startUs) / 1000));
    const expectedMs = this.#wallMs + (monoMs - this.#monoMs);
    const stepMs = wallMs - expectedMs;
    if (Math.abs(stepMs) <= MAX_DRIFT_MS) return { wallMs, monoMs };
    this.#wallMs = wallMs;
    this.#monoMs = monoMs;
    return { wallMs, monoMs, step: { fromMs: expectedMs, toMs: wallMs, stepMs } };
  }
}
