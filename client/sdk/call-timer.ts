import type { CallView } from '#protocol';
import type { ServerClock } from './clock.ts';

/**
 * Tells the seconds of an active call as they begin, by the server's clock: both sides show the same. Each delay is
 * reckoned anew from the clock, so lateness never adds up; a page whose timers were held skips seconds.
 */
export class CallTimer {
  readonly #clock: ServerClock;
  readonly #tell: (seconds: number) => void;
  #activeAt: string | undefined;
  #told = -1;
  #next: ReturnType<typeof setTimeout> | undefined;

  constructor(clock: ServerClock, tell: (seconds: number) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The newest view of the call, or undefined when it is over. */
  update(call: CallView | undefined): void {
    const activeAt = call?.state === 'active' ? call.activeAt : undefined;
    if (activeAt === this.#activeAt) return;
    clearTimeout(this.#next);
    this.#activeAt = activeAt;
    this.#told = -1;
    // Everybody hears first that the call is active.
    if (activeAt !== undefined) this.#next = setTimeout(this.#tick, 0);
  }

  #tick = (): void => {
    const sinceMs = this.#clock.sinceMs(this.#activeAt);
    const seconds = Math.floor(sinceMs / 1000);
    this.#next = setTimeout(this.#tick, (seconds + 1) * 1000 - sinceMs);
    // A timer may fire a little early, and the clock may be set back by a sign-in.
    if (seconds <= this.#told) return;
    this.#told = seconds;
    this.#tell(seconds);
  };
}
