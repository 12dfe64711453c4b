import type { Log } from './queue.ts';
import { brief } from './queue.ts';

/** Work on one recording happens in order; another recording does not wait for it. */
export class Chains {
  readonly #log: Log;
  readonly #chains = new Map<string, Promise<unknown>>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Work on this recording is under way or waits. */
  has(recordingId: string): boolean {
    return this.#chains.has(recordingId);
  }

  /** Runs after everything asked before for the same recording. A failure is logged: the sweep takes it up. */
  async inOrder(recordingId: string, work: () => Promise<unknown>): Promise<void> {
    const chain = (this.#chains.get(recordingId) ?? Promise.resolve()).then(work).catch((error: unknown) => {
      this.#log.error(
        { recordingId, ...brief(error) },
        'a step of a recording failed and is taken up again later',
      );
    });
    this.#chains.set(recordingId, chain);
    await chain;
    if (this.#chains.get(recordingId) === chain) this.#chains.delete(recordingId);
  }

  /** Everything that was asked until now is done. */
  async settled(): Promise<void> {
    await Promise.all(this.#chains.values());
  }
}
