import type { ProducerTraffic } from './call-media.ts';

const EVERY_MS = 10_000;

/** What all browsers of one worker have sent, those of calls that are over included. */
export class Traffic {
  readonly #timer: NodeJS.Timeout;
  /** What each producer had at the last look. */
  #seen = new Map<string, ProducerTraffic>();
  #totals = { packets: 0, lost: 0, bytes: 0 };
  #looking = false;

  /** @param calls the calls that run, each of which never rejects */
  constructor(calls: () => Iterable<{ traffic(): Promise<ProducerTraffic[]> }>) {
    this.#timer = setInterval(() => void this.#look(calls), EVERY_MS).unref();
  }

  get totals(): { packets: number; lost: number; bytes: number } {
    return { ...this.#totals };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** One call after the other: the worker has more urgent things to do. What a call sends after its last look is not told. */
  async #look(calls: () => Iterable<{ traffic(): Promise<ProducerTraffic[]> }>): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const seen = new Map<string, ProducerTraffic>();
    try {
      for (const call of [...calls()])
        for (const now of await call.traffic()) {
          const before = this.#seen.get(now.producerId);
          seen.set(now.producerId, now);
          this.#totals.packets += grown(before?.packets, now.packets);
          // Packets that come late after all make this one smaller.
          this.#totals.lost += grown(before?.lost, now.lost);
          this.#totals.bytes += grown(before?.bytes, now.bytes);
        }
      this.#seen = seen;
    } finally {
      this.#looking = false;
    }
  }
}

function grown(before = 0, now: number): number {
  return Math.max(0, now - before);
}
