import { asClientError, VerbatimClientError } from './errors.ts';

/** How long a request is asked again before its refusal is told. */
const PATIENCE_MS = 10_000;
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 2_000;
/** As many as the server's allowance has grown by during the shortest delay. */
const AT_ONCE = 4;
/** More than a page asks for while it waits; what comes on top is refused. */
const MAX_WAITING = 100;

interface Waiting {
  /** In the order in which they were asked. */
  turn: number;
  untilMs: number;
  run(): void;
}

/**
 * Requests that came too fast are asked again, with back-off and in their order, and later ones wait behind them: a
 * hang-up that was refused for its speed still hangs up.
 */
export class PacedRequests {
  #turns = 0;
  #refusals = 0;
  readonly #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @throws what `ask` throws; `rate_limited` when asking again for a while did not help */
  request<T>(ask: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = {
        turn: this.#turns++,
        untilMs: performance.now() + PATIENCE_MS,
        run: () => {
          ask().then(
            (answer) => {
              this.#refusals = 0;
              resolve(answer);
            },
            (error: unknown) => {
              const tooFast = asClientError(error, 'internal').code === 'rate_limited';
              if (tooFast && performance.now() < waiting.untilMs) this.#again(waiting);
              else reject(error);
            },
          );
        },
      };
      if (this.#waiting.length === 0) waiting.run();
      else if (this.#waiting.length < MAX_WAITING) this.#wait(waiting);
      else reject(new VerbatimClientError('rate_limited'));
    });
  }

  #again(waiting: Waiting): void {
    // Several are refused in one go, and each go counts once.
    if (this.#timer === undefined) this.#refusals += 1;
    this.#wait(waiting);
  }

  #wait(waiting: Waiting): void {
    const behind = this.#waiting.findIndex(({ turn }) => turn > waiting.turn);
    this.#waiting.splice(behind === -1 ? this.#waiting.length : behind, 0, waiting);
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.max(0, this.#refusals - 1));
    this.#timer ??= setTimeout(() => this.#next(), delayMs);
  }

  #next(): void {
    this.#timer = undefined;
    const now = this.#waiting.splice(0, AT_ONCE);
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#next(), FIRST_DELAY_MS);
    for (const { run } of now) run();
  }
}
