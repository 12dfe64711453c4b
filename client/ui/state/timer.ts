import type { Ref } from 'vue';
import type { CallView, VerbatimClient } from '../../sdk/index.ts';

/** Often enough that no second is skipped. */
const TICK_MS = 250;

/** Keeps the seconds of the running call, by the server's clock; it ticks only while a call is active. */
export class Timer {
  readonly #client: VerbatimClient;
  readonly #seconds: Ref<number>;
  #ticking: ReturnType<typeof setInterval> | undefined;

  constructor(client: VerbatimClient, seconds: Ref<number>) {
    this.#client = client;
    this.#seconds = seconds;
  }

  follow(call: CallView | undefined): void {
    clearInterval(this.#ticking);
    this.#read();
    if (call?.state === 'active') this.#ticking = setInterval(() => this.#read(), TICK_MS);
  }

  #read(): void {
    this.#seconds.value = Math.floor(this.#client.durationMs / 1_000);
  }
}

/** `mm:ss`, and `h:mm:ss` from an hour on. */
export function clock(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  const rest = two(seconds % 60);
  return minutes < 60
    ? `${two(minutes)}:${rest}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
}
