import type { Counter, Gauge, Histogram, Registry } from '../registry.ts';

export interface LibrarySources {
  library: { readonly streams: number };
  webhooks: { pending(): Promise<{ count: number; oldestDueMs: number }> };
}

const FIRST_BYTE_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5] as const;
const POST_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15] as const;

/** What leaves the server: recordings that are played and downloaded, and webhooks. */
export class LibraryFigures {
  readonly #registry: Registry;
  readonly #streams: Gauge;
  readonly #requests: Counter;
  readonly #bytes: Counter;
  readonly #firstByte: Histogram;
  readonly #attempts: Counter;
  readonly #post: Histogram;
  readonly #pending: Gauge;
  readonly #oldest: Gauge;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#streams = registry.gauge(
      'verbatim_library_streams',
      'Requests for recordings that are served now.',
    );
    this.#requests = registry.counter(
      'verbatim_library_requests_total',
      'Requests for bytes of a recording, by what for and in which container.',
      ['disposition', 'container'],
    );
    this.#bytes = registry.counter(
      'verbatim_library_bytes_total',
      'Bytes of recordings that were read to be sent.',
    );
    this.#firstByte = registry.histogram(
      'verbatim_library_first_byte_seconds',
      'From a request for a recording to its first byte.',
      FIRST_BYTE_S,
      ['container'],
    );
    this.#attempts = registry.counter(
      'verbatim_webhook_attempts_total',
      'Tries to deliver a webhook: delivered, retry (it is tried again) or failed.',
      ['outcome'],
    );
    this.#post = registry.histogram(
      'verbatim_webhook_seconds',
      'How long receivers of webhooks took to answer, or to be given up.',
      POST_S,
      ['outcome'],
    );
    this.#pending = registry.gauge('verbatim_webhooks_pending', 'Webhooks that are to be delivered.');
    this.#oldest = registry.gauge(
      'verbatim_webhooks_overdue_seconds',
      'How long the webhook that is due the longest has been due.',
    );
  }

  requested(disposition: string, container: string): void {
    this.#requests.inc([disposition, container]);
  }

  firstByte(container: string, tookMs: number): void {
    this.#firstByte.observe(tookMs / 1_000, [container]);
  }

  sent(bytes: number): void {
    this.#bytes.inc([], bytes);
  }

  webhook(outcome: 'delivered' | 'retry' | 'failed', tookMs: number): void {
    this.#attempts.inc([outcome]);
    this.#post.observe(tookMs / 1_000, [outcome]);
  }

  watch({ library, webhooks }: LibrarySources): void {
    this.#registry.onScrape('library', () => this.#streams.set([], library.streams));
    this.#registry.onScrape('webhooks', async () => {
      const { count, oldestDueMs } = await webhooks.pending();
      this.#pending.set([], count);
      this.#oldest.set([], oldestDueMs / 1_000);
    });
  }
}
