/** Sequence numbers remembered behind the newest one: 5 s of 20 ms packets. A power of two. */
const WINDOW = 256;

/**
 * Tells a packet that was taken before from one that was not, by its RTP sequence number. It errs on the side of
 * taking: what lies behind the window is taken, because a packet that is recorded twice is sorted out later while
 * one that was refused is lost.
 */
export class ReplayWindow {
  /** Which sequence number (plus one) was last seen in each slot; 0 for none. */
  readonly #seen = new Uint32Array(WINDOW);
  #newest = -1;

  /** @returns true the first time for each sequence number within the window. */
  admit(sequence: number): boolean {
    if (this.#newest === -1) this.#newest = sequence;
    // RFC 1982: how far ahead of the newest, between -32768 and 32767.
    const ahead = ((sequence - this.#newest) << 16) >> 16;
    if (ahead > 0) this.#newest = sequence;
    else if (ahead <= -WINDOW) return true;
    const slot = sequence & (WINDOW - 1);
    if (this.#seen[slot] === sequence + 1) return false;
    this.#seen[slot] = sequence + 1;
    return true;
  }
}
