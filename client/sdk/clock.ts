/**
 * The server's clock, as this page knows it. Between two sign-ins it goes by the monotonic clock, so that somebody
 * who sets this machine's clock does not move it.
 */
export class ServerClock {
  #offsetMs = Date.now() - performance.now();

  /** @param serverTime ISO 8601, as `session.start` answered just now */
  sync(serverTime: string): void {
    const serverMs = Date.parse(serverTime);
    if (Number.isFinite(serverMs)) this.#offsetMs = serverMs - performance.now();
  }

  nowMs(): number {
    return this.#offsetMs + performance.now();
  }

  /** How long ago this time of the server was; 0 for what lies ahead, and for what is no time. */
  sinceMs(serverTime: string | undefined): number {
    const thenMs = serverTime === undefined ? Number.NaN : Date.parse(serverTime);
    return Number.isFinite(thenMs) ? Math.max(0, this.nowMs() - thenMs) : 0;
  }
}
