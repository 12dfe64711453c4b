import type { RecorderEvent } from '#protocol';
import { RECORDER_TIMES } from '#protocol';
import type { Log } from './queue.ts';
import { RecorderClocks } from './recorder-clocks.ts';

/** A recorder as the daemon sees it. */
export interface RecorderInfo {
  recorderId: string;
  captures: number;
  /** Since the last heartbeat. */
  silentMs: number;
  kernelDrops: number;
  commitMs: number;
  /** How long the newest heartbeat was under way through the queue; meaningless between clocks that differ. */
  queueLagMs: number;
  // Totals since the recorder started.
  commits: number;
  packets: number;
  refused: number;
  cpuUs: number;
  rssBytes: number;
}

type Heartbeat = Extract<RecorderEvent, { type: 'heartbeat' }>;

interface KnownRecorder {
  seenMs: number;
  heartbeat: Heartbeat | undefined;
  queueLagMs: number;
}

export interface KnownRecordersOptions {
  log: Log;
  /** One that was not known, or had been lost. */
  onNew(recorderId: string): void;
  /** One that was not heard of for longer than a recorder may be silent. It stays known until it is forgotten. */
  onSilent(recorderId: string): void;
}

const MAX_RECORDERS = 256;
const MONITOR_MS = 250;

/** The recorders that were heard of lately, by their heartbeats on either way. */
export class KnownRecorders {
  readonly #options: KnownRecordersOptions;
  readonly #known = new Map<string, KnownRecorder>();
  readonly #clocks = new RecorderClocks();
  readonly #timer: NodeJS.Timeout;
  #monitoredMs = performance.now();

  constructor(options: KnownRecordersOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#monitor(), MONITOR_MS);
  }

  get size(): number {
    return this.#known.size;
  }

  get list(): RecorderInfo[] {
    const now = performance.now();
    return [...this.#known].map(([recorderId, { seenMs, heartbeat, queueLagMs }]) => ({
      recorderId,
      captures: heartbeat?.captures ?? 0,
      silentMs: Math.round(now - seenMs),
      kernelDrops: heartbeat?.kernelDrops ?? 0,
      commitMs: heartbeat?.commitMs ?? 0,
      queueLagMs,
      commits: heartbeat?.commits ?? 0,
      packets: heartbeat?.packets ?? 0,
      refused: heartbeat?.refused ?? 0,
      cpuUs: heartbeat?.cpuUs ?? 0,
      rssBytes: heartbeat?.rssBytes ?? 0,
    }));
  }

  has(recorderId: string): boolean {
    return this.#known.has(recorderId);
  }

  /** One that lay in the queue while no daemon ran says nothing about now. */
  heartbeat(event: Heartbeat): void {
    if (!this.#clocks.isFresh(event.recorderId, event.atMs, performance.now(), Date.now())) return;
    this.seen(event.recorderId);
    const known = this.#known.get(event.recorderId);
    if (known === undefined) return;
    known.heartbeat = event;
    known.queueLagMs = Math.max(0, Date.now() - event.atMs);
  }

  seen(recorderId: string): void {
    const known = this.#known.get(recorderId);
    if (known !== undefined) {
      known.seenMs = performance.now();
      return;
    }
    if (this.#known.size >= MAX_RECORDERS) {
      this.#options.log.warn(
        { recorderId },
        `more than ${MAX_RECORDERS} recorders report; this one is not watched`,
      );
      return;
    }
    this.#known.set(recorderId, { seenMs: performance.now(), heartbeat: undefined, queueLagMs: 0 });
    this.#options.onNew(recorderId);
  }

  /** False when it was not known. */
  forget(recorderId: string): boolean {
    return this.#known.delete(recorderId);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #monitor(): void {
    const now = performance.now();
    // When this process itself stood still, nobody's silence means anything: the time does not count.
    const stalledMs = now - this.#monitoredMs - MONITOR_MS;
    this.#monitoredMs = now;
    for (const [recorderId, known] of this.#known) {
      if (stalledMs > MONITOR_MS) known.seenMs += stalledMs;
      if (now - known.seenMs > RECORDER_TIMES.lostAfterMs) this.#options.onSilent(recorderId);
    }
  }
}
