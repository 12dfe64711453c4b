import { VerbatimError } from '#protocol';

/** Lets so many pieces of work run at the same time and so many wait, in their order; past that it refuses. */
export class Gate {
  readonly #max: number;
  readonly #maxWaiting: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(limits: { atOnce: number; waiting: number }) {
    this.#max = limits.atOnce;
    this.#maxWaiting = limits.waiting;
  }

  /** @throws VerbatimError `unavailable` when too many wait already; and what the work throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#max) this.#running += 1;
    else if (this.#waiting.length < this.#maxWaiting)
      // Whoever is done hands its place on, so the count stays.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else throw new VerbatimError('unavailable', 'too many journals are being read: try again in a moment');
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
