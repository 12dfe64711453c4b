import type { CallSources } from './figures/calls.ts';
import { CallFigures } from './figures/calls.ts';
import type { EvidenceSources } from './figures/evidence.ts';
import { EvidenceFigures } from './figures/evidence.ts';
import type { LibrarySources } from './figures/library.ts';
import { LibraryFigures } from './figures/library.ts';
import type { MediaSources } from './figures/media.ts';
import { MediaFigures } from './figures/media.ts';
import type { ServerSources } from './figures/server.ts';
import { ServerFigures } from './figures/server.ts';
import { Registry } from './registry.ts';

export type MetricsSources = CallSources & MediaSources & EvidenceSources & LibrarySources & ServerSources;

/**
 * The figures of every room for a monitor (F52). Rooms tell what happens as it happens; what is so at the moment is asked
 * for at each scrape. Labels are modes, states, reasons, route patterns: never ids, names, chats or users.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly calls = new CallFigures(this.#registry);
  readonly #media = new MediaFigures(this.#registry);
  readonly evidence = new EvidenceFigures(this.#registry);
  readonly library = new LibraryFigures(this.#registry);
  readonly server: ServerFigures;

  constructor(version: string) {
    this.server = new ServerFigures(this.#registry, version);
  }

  /** From now on these are asked at each scrape. */
  watch(sources: MetricsSources): void {
    this.calls.watch(sources);
    this.#media.watch(sources);
    this.evidence.watch(sources);
    this.library.watch(sources);
    this.server.watch(sources);
  }

  /** Names of all figures. */
  get names(): readonly string[] {
    return this.#registry.names;
  }

  /** In the Prometheus text format. Never rejects. */
  text(): Promise<string> {
    return this.#registry.text();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.server.close();
  }
}
