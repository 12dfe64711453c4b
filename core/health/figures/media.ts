import type { Counter, Gauge, Registry } from '../registry.ts';
import { Totals } from './totals.ts';

/** A media worker. Totals are since its process began; `pid` tells one from the next and is never shown. */
export interface WorkerFigures {
  pid: number;
  cpu: number;
  calls: number;
  recorderLinks: number;
  packets: number;
  lost: number;
  bytes: number;
}

/** A recorder, by its heartbeats. Totals are since its process began; the id is never shown. */
export interface RecorderFigures {
  recorderId: string;
  captures: number;
  commitMs: number;
  queueLagMs: number;
  silentMs: number;
  commits: number;
  packets: number;
  refused: number;
  kernelDrops: number;
  cpuUs: number;
  rssBytes: number;
}

export interface MediaSources {
  media: { stats(): Promise<readonly WorkerFigures[]> };
  recording: {
    readonly recorders: readonly RecorderFigures[];
    /** Jobs that nobody has taken yet. */
    waiting(): Promise<{ capture: number; finalise: number }>;
  };
}

const US = 1_000_000;
/** A secure call has two. */
const LEGS_OF_A_CAPTURE = 2;

/** The media workers, the recorders, and the queue between recorders and server. */
export class MediaFigures {
  readonly #registry: Registry;
  readonly #workers: Gauge;
  readonly #workerCpu: Gauge;
  readonly #workerCpuMax: Gauge;
  readonly #mediaCalls: Gauge;
  readonly #links: Gauge;
  readonly #packets: Counter;
  readonly #lost: Counter;
  readonly #bytes: Counter;
  readonly #recorders: Gauge;
  readonly #legs: Gauge;
  readonly #commit: Gauge;
  readonly #lag: Gauge;
  readonly #silent: Gauge;
  readonly #memory: Gauge;
  readonly #commits: Counter;
  readonly #recorded: Counter;
  readonly #refused: Counter;
  readonly #drops: Counter;
  readonly #recorderCpu: Counter;
  readonly #waiting: Gauge;
  readonly #workerTotals = new Totals();
  readonly #recorderTotals = new Totals();

  constructor(registry: Registry) {
    this.#registry = registry;
    const { gauge, counter } = {
      gauge: (name: string, help: string, labels?: string[]) => registry.gauge(name, help, labels),
      counter: (name: string, help: string) => registry.counter(name, help),
    };
    this.#workers = gauge('verbatim_media_workers', 'Media worker processes that run.');
    this.#workerCpu = gauge(
      'verbatim_media_worker_cpu_cores',
      'Cores that the media workers use, all together.',
    );
    this.#workerCpuMax = gauge(
      'verbatim_media_worker_cpu_cores_max',
      'Share of a core of the busiest media worker; calls are refused past media.maxCpu on all of them.',
    );
    this.#mediaCalls = gauge('verbatim_media_calls', 'Calls whose audio goes through the media workers.');
    this.#links = gauge(
      'verbatim_media_recorder_links',
      'Links between media workers and recorders, one for each pair.',
    );
    this.#packets = counter(
      'verbatim_media_packets_total',
      'RTP packets that came from browsers, counted every few seconds while their call runs.',
    );
    this.#lost = counter(
      'verbatim_media_packets_lost_total',
      'RTP packets from browsers that never came, by their sequence numbers.',
    );
    this.#bytes = counter('verbatim_media_bytes_total', 'Bytes of those packets.');
    this.#recorders = gauge('verbatim_recorders', 'Recorders that report; the one kept ready does not.');
    this.#legs = gauge('verbatim_recorder_legs', 'Sides of calls that are recorded now.');
    this.#commit = gauge(
      'verbatim_recorder_commit_seconds',
      'From a block being cut to being durable: median over the last second, of the slowest recorder.',
    );
    this.#lag = gauge(
      'verbatim_recorder_queue_lag_seconds',
      'How long the newest heartbeat was under way through the queue, of the slowest recorder.',
    );
    this.#silent = gauge(
      'verbatim_recorder_silent_seconds',
      'Since the last heartbeat of the most silent recorder.',
    );
    this.#memory = gauge('verbatim_recorder_resident_memory_bytes', 'Memory of all recorders.');
    this.#commits = counter('verbatim_recorder_commits_total', 'Flushes of commit logs.');
    this.#recorded = counter('verbatim_recorder_packets_total', 'RTP packets that were recorded.');
    this.#refused = counter(
      'verbatim_recorder_packets_refused_total',
      'Packets that were malformed or belonged to no call.',
    );
    this.#drops = counter(
      'verbatim_recorder_kernel_drops_total',
      'Packets for which the socket of a recorder had no room: each is a gap in a recording.',
    );
    this.#recorderCpu = counter('verbatim_recorder_cpu_seconds_total', 'Processor time of all recorders.');
    this.#waiting = gauge('verbatim_queue_waiting', 'Jobs that nobody has taken yet.', ['queue']);
  }

  watch({ media, recording }: MediaSources): void {
    this.#registry.onScrape('media', async () => {
      const workers = await media.stats();
      this.#workers.set([], workers.length);
      this.#workerCpu.set(
        [],
        sumOf(workers, ({ cpu }) => cpu),
      );
      this.#workerCpuMax.set(
        [],
        maxOf(workers, ({ cpu }) => cpu),
      );
      this.#mediaCalls.set(
        [],
        sumOf(workers, ({ calls }) => calls),
      );
      this.#links.set(
        [],
        sumOf(workers, ({ recorderLinks }) => recorderLinks),
      );
      const grown = this.#workerTotals.grown(
        workers.map(({ pid, packets, lost, bytes }) => [String(pid), { packets, lost, bytes }]),
      );
      this.#packets.inc([], grown.packets);
      this.#lost.inc([], grown.lost);
      this.#bytes.inc([], grown.bytes);
    });
    this.#registry.onScrape('recorders', () => {
      const recorders = recording.recorders;
      this.#recorders.set([], recorders.length);
      this.#legs.set([], LEGS_OF_A_CAPTURE * sumOf(recorders, ({ captures }) => captures));
      this.#commit.set([], maxOf(recorders, ({ commitMs }) => commitMs) / 1_000);
      this.#lag.set([], maxOf(recorders, ({ queueLagMs }) => queueLagMs) / 1_000);
      this.#silent.set([], maxOf(recorders, ({ silentMs }) => silentMs) / 1_000);
      this.#memory.set(
        [],
        sumOf(recorders, ({ rssBytes }) => rssBytes),
      );
      const grown = this.#recorderTotals.grown(
        recorders.map(({ recorderId, commits, packets, refused, kernelDrops, cpuUs }) => [
          recorderId,
          { commits, packets, refused, kernelDrops, cpuUs },
        ]),
      );
      this.#commits.inc([], grown.commits);
      this.#recorded.inc([], grown.packets);
      this.#refused.inc([], grown.refused);
      this.#drops.inc([], grown.kernelDrops);
      this.#recorderCpu.inc([], (grown.cpuUs ?? 0) / US);
    });
    this.#registry.onScrape('queue', async () => {
      const { capture, finalise } = await recording.waiting();
      this.#waiting.set(['capture'], capture);
      this.#waiting.set(['finalise'], finalise);
    });
  }
}

function sumOf<T>(rows: readonly T[], of: (row: T) => number): number {
  return rows.reduce((sum, row) => sum + of(row), 0);
}

function maxOf<T>(rows: readonly T[], of: (row: T) => number): number {
  return rows.reduce((most, row) => Math.max(most, of(row)), 0);
}
