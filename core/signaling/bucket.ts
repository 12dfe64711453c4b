/** A token bucket: `burst` requests at once, refilled at `perSecond`. The clock is given, so a test can move it. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #nowMs: () => number;
  #level: number;
  #filledAtMs: number;

  constructor(burst: number, perSecond: number, nowMs: () => number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#nowMs = nowMs;
    this.#level = burst;
    this.#filledAtMs = nowMs();
  }

  /** True when one more request fits; false leaves the level as it was. */
  take(): boolean {
    const nowMs = this.#nowMs();
    // A clock that steps back must not take tokens away.
    const elapsedMs = Math.max(0, nowMs - this.#filledAtMs);
    this.#filledAtMs = nowMs;
    this.#level = Math.min(this.#burst, this.#level + (elapsedMs * this.#perSecond) / 1000);
    if (this.#level < 1) return false;
    this.#level -= 1;
    return true;
  }
}
