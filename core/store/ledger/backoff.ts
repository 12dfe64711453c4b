/** Waits between attempts of one piece of work, each twice as long as the one before. */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  #delayMs: number;
  #timer: NodeJS.Timeout | undefined;

  constructor({ minMs, maxMs }: { minMs: number; maxMs: number }) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#delayMs = minMs;
  }

  /** One attempt is planned at a time. */
  again(attempt: () => void): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      attempt();
    }, this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, this.#maxMs);
  }

  /** It worked. */
  reset(): void {
    this.#delayMs = this.#minMs;
    this.stop();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
