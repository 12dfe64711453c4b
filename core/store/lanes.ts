/**
 * A bounded number of file operations at a time, urgent ones first. Node has four threads for files: with two
 * lanes for the journals the commit log always finds a free one.
 */
export class Lanes {
  readonly #width: number;
  #busy = 0;
  readonly #urgent: (() => void)[] = [];
  readonly #lazy: (() => void)[] = [];

  constructor(width: number) {
    this.#width = width;
  }

  async run<T>(operation: () => Promise<T>, { urgent = false }: { urgent?: boolean } = {}): Promise<T> {
    if (this.#busy >= this.#width) {
      // Whoever leaves hands its lane over, so `busy` stays as it is.
      await new Promise<void>((resolve) => (urgent ? this.#urgent : this.#lazy).push(resolve));
    } else {
      this.#busy += 1;
    }
    try {
      return await operation();
    } finally {
      const next = this.#urgent.shift() ?? this.#lazy.shift();
      if (next === undefined) this.#busy -= 1;
      else next();
    }
  }
}
