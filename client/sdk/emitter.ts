type Listener<T> = (payload: T) => void;

/** Typed events: `Events` maps a name to its payload. A listener that throws never stops the others. */
export class Emitter<Events extends object> {
  readonly #listeners: { [N in keyof Events]?: Set<Listener<Events[N]>> } = {};

  /** Returns the function that takes the listener off again. */
  on<N extends keyof Events>(name: N, listener: Listener<Events[N]>): () => void {
    const set = this.#listeners[name] ?? new Set<Listener<Events[N]>>();
    this.#listeners[name] = set;
    set.add(listener);
    return () => set.delete(listener);
  }

  /** The payload of the next event of this name that `accept` takes. */
  once<N extends keyof Events>(
    name: N,
    accept: (payload: Events[N]) => boolean = () => true,
  ): Promise<Events[N]> {
    return new Promise((resolve) => {
      const off = this.on(name, (payload) => {
        if (!accept(payload)) return;
        off();
        resolve(payload);
      });
    });
  }

  emit<N extends keyof Events>(name: N, payload: Events[N]): void {
    for (const listener of [...(this.#listeners[name] ?? [])]) {
      try {
        listener(payload);
      } catch (error) {
        // It is the page's own mistake: shown where the page's other mistakes are shown.
        reportError(error);
      }
    }
  }
}
