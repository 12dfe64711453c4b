import type { DemoMessage } from '#protocol';
import { DEMO_LIMITS, VerbatimError } from '#protocol';

/** In 2025. */
const EPOCH_S = 1_750_000_000;

/** The demo messenger's messages, in memory: gone with the server. */
export class DemoMessageLog {
  readonly #now: () => Date;
  #messages: DemoMessage[] = [];
  /** Begins with the time, so that pages that were open over a restart miss nothing; a query takes nine digits. */
  #lastId = Math.floor(Date.now() / 1000) - EPOCH_S;
  readonly #waiting = new Set<() => void>();
  #closed = false;

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  add(message: Pick<DemoMessage, 'chatId' | 'userId' | 'name' | 'text'>): DemoMessage {
    this.#lastId += 1;
    const added = { id: this.#lastId, ...message, sentAt: this.#now().toISOString() };
    this.#messages.push(added);
    if (this.#messages.length > DEMO_LIMITS.messages) this.#messages.shift();
    for (const wake of [...this.#waiting]) wake();
    return added;
  }

  /**
   * What came after this message; when there is nothing, waits for the next one, for `waitMs`, or until `gone`.
   * @throws VerbatimError `unavailable` when too many wait already
   */
  async after(id: number, gone: AbortSignal, waitMs: number = DEMO_LIMITS.waitMs): Promise<DemoMessage[]> {
    const found = this.#since(id);
    if (found.length > 0 || this.#closed || gone.aborted) return found;
    if (this.#waiting.size >= DEMO_LIMITS.waiting)
      throw new VerbatimError('unavailable', 'too many pages wait for messages');
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        gone.removeEventListener('abort', wake);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, waitMs);
      gone.addEventListener('abort', wake);
      this.#waiting.add(wake);
    });
    return this.#since(id);
  }

  /** Whoever waits is answered at once. */
  close(): void {
    this.#closed = true;
    for (const wake of [...this.#waiting]) wake();
  }

  #since(id: number): DemoMessage[] {
    return this.#messages.filter((message) => message.id > id);
  }
}
