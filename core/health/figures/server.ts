import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { Counter, Gauge, Histogram, Registry } from '../registry.ts';

export interface AnsweredRequest {
  method: string;
  /** The pattern of the route, never the path; undefined for what is no route. */
  route: string | undefined;
  status: number;
  tookMs: number;
}

export interface ServerSources {
  database: {
    /** `database.poolSize` of the settings. */
    readonly poolSize: number;
    /** Connections of this server by what they do. */
    connections(): Promise<readonly { state: string; count: number }[]>;
  };
  disk: { freeBytes(): Promise<number> };
}

const HTTP_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] as const;
const QUERY_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2] as const;
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const LAG_RESOLUTION_MS = 10;
const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;

/** HTTP, the database as seen from here, and this process itself. */
export class ServerFigures {
  readonly #registry: Registry;
  readonly #requests: Counter;
  readonly #httpSeconds: Histogram;
  readonly #connections: Gauge;
  readonly #poolSize: Gauge;
  readonly #query: Histogram;
  readonly #disk: Gauge;
  readonly #cpu: Counter;
  readonly #memory: Gauge;
  readonly #heap: Gauge;
  readonly #lag: Gauge;
  readonly #busy: Gauge;
  readonly #handles: Gauge;
  readonly #delay: ReturnType<typeof monitorEventLoopDelay>;
  #utilization = performance.eventLoopUtilization();

  constructor(registry: Registry, version: string) {
    this.#registry = registry;
    this.#requests = registry.counter(
      'verbatim_http_requests_total',
      'Requests that were answered, by the pattern of their route and the status.',
      ['method', 'route', 'status'],
    );
    this.#httpSeconds = registry.histogram(
      'verbatim_http_request_seconds',
      'From a request’s first line to the end of its answer.',
      HTTP_S,
      ['method', 'route'],
    );
    this.#connections = registry.gauge(
      'verbatim_database_connections',
      'Connections of this server’s pool, by what they do.',
      ['state'],
    );
    this.#poolSize = registry.gauge(
      'verbatim_database_pool_size',
      'Connections at most (database.poolSize).',
    );
    this.#query = registry.histogram(
      'verbatim_database_answer_seconds',
      'How long one small query takes, waiting for a free connection included; asked at each scrape.',
      QUERY_S,
    );
    this.#disk = registry.gauge('verbatim_disk_free_bytes', 'Free space where the data folder lies.');
    this.#cpu = registry.counter('process_cpu_seconds_total', 'Processor time of the server’s own process.');
    this.#memory = registry.gauge('process_resident_memory_bytes', 'Memory of the server’s own process.');
    registry
      .gauge('process_start_time_seconds', 'When the server’s process began.')
      .set([], Math.round(performance.timeOrigin) / 1_000);
    this.#heap = registry.gauge('nodejs_heap_size_used_bytes', 'Of that, JavaScript objects.');
    this.#lag = registry.gauge(
      'nodejs_eventloop_lag_seconds',
      'By how much timers were late since the last scrape.',
      ['quantile'],
    );
    this.#busy = registry.gauge(
      'nodejs_eventloop_utilization_ratio',
      'Share of the time since the last scrape in which the event loop was busy.',
    );
    this.#handles = registry.gauge(
      'nodejs_active_resources',
      'What keeps the process busy: sockets, timers, requests.',
    );
    registry
      .gauge('verbatim_build_info', 'Always 1; the labels say what runs.', ['version', 'node'])
      .set([version, process.version], 1);
    this.#delay = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
    this.#delay.enable();
    registry.onScrape('process', () => this.#process());
  }

  answered({ method, route, status, tookMs }: AnsweredRequest): void {
    const known = METHODS.has(method) ? method : 'other';
    this.#requests.inc([known, route ?? 'none', String(status)]);
    this.#httpSeconds.observe(tookMs / 1_000, [known, route ?? 'none']);
  }

  watch({ database, disk }: ServerSources): void {
    this.#poolSize.set([], database.poolSize);
    this.#registry.onScrape('database', async () => {
      const begun = performance.now();
      const rows = await database.connections();
      this.#query.observe((performance.now() - begun) / 1_000);
      this.#connections.replace(rows.map(({ state, count }) => [[state], count] as const));
    });
    this.#registry.onScrape('disk', async () => this.#disk.set([], await disk.freeBytes()));
  }

  close(): void {
    this.#delay.disable();
  }

  #process(): void {
    const { user, system } = process.cpuUsage();
    this.#cpu.total((user + system) / MICROSECONDS);
    const { rss, heapUsed } = process.memoryUsage();
    this.#memory.set([], rss);
    this.#heap.set([], heapUsed);
    // What it measures is the time between two of its own timers, so their distance is taken off.
    const late = (ns: number): number => Math.max(0, ns / NANOSECONDS - LAG_RESOLUTION_MS / 1_000);
    this.#lag.set(['0.5'], late(this.#delay.percentile(50)));
    this.#lag.set(['0.99'], late(this.#delay.percentile(99)));
    this.#lag.set(['1'], late(this.#delay.max));
    this.#delay.reset();
    const now = performance.eventLoopUtilization();
    this.#busy.set([], performance.eventLoopUtilization(now, this.#utilization).utilization);
    this.#utilization = now;
    this.#handles.set([], process.getActiveResourcesInfo().length);
  }
}
