import type { Method, Params, Result } from '#protocol';
import { asClientError, VerbatimClientError } from './errors.ts';

export type Request = <M extends Method>(method: M, params: Params<M>) => Promise<Result<M>>;

/**
 * The requests that build a call. One that a lost connection cuts short does not end the call: it is made again, with
 * the same words, when the connection is back. The server answers it as it did, or would have, the first time.
 */
export class LastingRequests {
  readonly #request: Request;
  /** Bounded by the few requests that a call is built with. */
  #waiting: PromiseWithResolvers<void>[] = [];
  #closed = false;

  constructor(request: Request) {
    this.#request = request;
  }

  /** @throws VerbatimClientError with the server's code, or `call_over` after `close` */
  async ask<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    for (;;) {
      if (this.#closed) throw new VerbatimClientError('call_over');
      const mended = Promise.withResolvers<void>();
      this.#waiting.push(mended);
      try {
        return await this.#request(method, params);
      } catch (error) {
        if (asClientError(error, 'media_failed').code !== 'connection_lost') throw error;
        await mended.promise;
      } finally {
        this.#waiting = this.#waiting.filter((each) => each !== mended);
      }
    }
  }

  /** The connection is back. */
  mend(): void {
    for (const { resolve } of this.#waiting) resolve();
  }

  close(): void {
    this.#closed = true;
    this.mend();
  }
}
