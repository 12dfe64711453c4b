/** Things that arrive, and somebody who waits for so many of them. */
export class Inbox<T> {
  readonly #things: T[] = [];
  readonly #waiting: (() => void)[] = [];

  get size(): number {
    return this.#things.length;
  }

  put(thing: T): void {
    this.#things.push(thing);
    this.#waiting.shift()?.();
  }

  /** The oldest `count` things, when that many are there. */
  async take(count: number): Promise<T[]> {
    while (this.#things.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.#things.splice(0, count);
  }

  /** The oldest thing of this kind; those before it are dropped. */
  async find(wanted: (thing: T) => boolean): Promise<T> {
    for (;;) {
      const [thing] = await this.take(1);
      if (thing !== undefined && wanted(thing)) return thing;
    }
  }
}
