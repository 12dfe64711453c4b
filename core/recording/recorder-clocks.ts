import { RECORDER_TIMES } from '#protocol';

/** As many recorders as the service watches, and as many again that are on their way out. */
const MAX_CLOCKS = 512;
/** Heartbeats that were sent one interval apart and come closer together than half of it come out of a queue. */
const CATCH_UP_MS = RECORDER_TIMES.heartbeatMs / 2;

/**
 * Tells heartbeats of now from those that lay in the queue while no daemon ran. A recorder on another machine has a
 * clock of its own, which may be wrong by any amount: it is compared with itself. Heartbeats that arrive at the pace
 * at which they were sent are of now; those that arrive all at once, or much later than the ones before, are not.
 */
export class RecorderClocks {
  /** Arrival minus sending of each recorder's last heartbeat, least recently heard first. */
  readonly #offsets = new Map<string, number>();

  /**
   * True for a heartbeat of now.
   * @param atMs When it was sent, Unix ms by the recorder's clock.
   * @param nowMs When it arrived, by a clock of ours that never steps.
   * @param unixMs The same by our wall clock: where both clocks are right the first heartbeat counts already.
   */
  isFresh(recorderId: string, atMs: number, nowMs: number, unixMs: number): boolean {
    const offset = nowMs - atMs;
    const last = this.#offsets.get(recorderId);
    this.#offsets.delete(recorderId);
    this.#offsets.set(recorderId, offset);
    const [oldest] = this.#offsets.keys();
    if (this.#offsets.size > MAX_CLOCKS && oldest !== undefined) this.#offsets.delete(oldest);
    if (Math.abs(unixMs - atMs) <= RECORDER_TIMES.lostAfterMs) return true;
    if (last === undefined) return false;
    return offset - last > -CATCH_UP_MS && offset - last <= RECORDER_TIMES.lostAfterMs;
  }
}
