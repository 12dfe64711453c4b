/** The value of each label, in the order of the metric's label names. Never an id, a name, a chat or a user. */
export type LabelValues = readonly string[];

interface Series {
  labels: LabelValues;
  value: number;
}

interface HistogramSeries {
  labels: LabelValues;
  /** One for each bound, each with all that is not above it, and the last without a bound. */
  counts: number[];
  sum: number;
}

/** A label that takes more values than this was given something that it must not carry. */
const MAX_SERIES = 500;
/** What asks another part for its figures gets this long; the rest is shown without it. */
const COLLECT_MS = 2_000;
const NAME = /^[a-z][a-z0-9_]*$/;

/** Something that is shown under one name. */
interface Metric {
  readonly name: string;
  lines(): string[];
}

/**
 * Figures in the Prometheus text format (version 0.0.4): counters and histograms are fed while the server works, gauges
 * are asked for when somebody reads.
 */
export class Registry {
  readonly #metrics = new Map<string, Metric>();
  readonly #collectors: { room: string; collect: () => Promise<void> | void }[] = [];
  readonly #unanswered: Gauge;

  constructor() {
    this.#unanswered = this.gauge(
      'verbatim_metrics_unanswered',
      'Rooms that did not tell their figures at this scrape (1), or did (0).',
      ['room'],
    );
  }

  counter(name: string, help: string, labels: readonly string[] = []): Counter {
    return this.#add(new Counter(name, help, labels));
  }

  gauge(name: string, help: string, labels: readonly string[] = []): Gauge {
    return this.#add(new Gauge(name, help, labels));
  }

  /** @param bounds upper bounds of the buckets, rising; the one without a bound is added */
  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    labels: readonly string[] = [],
  ): Histogram {
    return this.#add(new Histogram(name, help, bounds, labels));
  }

  /** `collect` sets the room's gauges at each scrape. What it cannot ask for is left as it was. */
  onScrape(room: string, collect: () => Promise<void> | void): void {
    this.#collectors.push({ room, collect });
    this.#unanswered.set([room], 0);
  }

  get names(): readonly string[] {
    return [...this.#metrics.keys()];
  }

  /** Never rejects, and waits for no room longer than two seconds. */
  async text(): Promise<string> {
    await Promise.all(
      this.#collectors.map(async ({ room, collect }) => {
        const answered = await inTime(async () => collect()).catch(() => false);
        this.#unanswered.set([room], answered ? 0 : 1);
      }),
    );
    return `${[...this.#metrics.values()].flatMap((metric) => metric.lines()).join('\n')}\n`;
  }

  #add<M extends Metric>(metric: M): M {
    if (!NAME.test(metric.name) || this.#metrics.has(metric.name))
      throw new Error(`${metric.name}: no name for a metric, or one that is there already`);
    this.#metrics.set(metric.name, metric);
    return metric;
  }
}

/** Series of single values, by their labels. */
class Values {
  readonly name: string;
  readonly #type: 'counter' | 'gauge';
  readonly #help: string;
  readonly #labels: readonly string[];
  protected readonly series = new Map<string, Series>();

  constructor(type: 'counter' | 'gauge', name: string, help: string, labels: readonly string[]) {
    this.name = name;
    this.#type = type;
    this.#help = help;
    this.#labels = labels;
    // What has no labels is there from the first scrape on: a rate over it misses nothing.
    if (labels.length === 0) this.series.set('', { labels: [], value: 0 });
  }

  lines(): string[] {
    return [
      ...headOf(this.name, this.#help, this.#type),
      ...[...this.series.values()].map(
        ({ labels, value }) => `${this.name}${labelsOf(this.#labels, labels)} ${numberOf(value)}`,
      ),
    ];
  }

  protected at(labels: LabelValues): Series | undefined {
    return seriesAt(this.series, this.#labels, labels, () => ({ labels, value: 0 }));
  }
}

/** A total that only grows. */
export class Counter extends Values {
  constructor(name: string, help: string, labels: readonly string[]) {
    super('counter', name, help, labels);
  }

  inc(labels: LabelValues = [], by = 1): void {
    const series = this.at(labels);
    if (series !== undefined && by > 0) series.value += by;
  }

  /** For a total that another part keeps since its own start. */
  total(value: number, labels: LabelValues = []): void {
    const series = this.at(labels);
    if (series !== undefined) series.value = value;
  }
}

/** A figure of this moment. */
export class Gauge extends Values {
  constructor(name: string, help: string, labels: readonly string[]) {
    super('gauge', name, help, labels);
  }

  set(labels: LabelValues, value: number): void {
    const series = this.at(labels);
    if (series !== undefined) series.value = value;
  }

  /** All series at once: what is not in here is not there any more. */
  replace(rows: Iterable<readonly [LabelValues, number]>): void {
    this.series.clear();
    for (const [labels, value] of rows) this.set(labels, value);
  }
}

/** How often which sizes were seen. */
export class Histogram {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #labels: readonly string[];
  readonly #series = new Map<string, HistogramSeries>();

  constructor(name: string, help: string, bounds: readonly number[], labels: readonly string[]) {
    this.name = name;
    this.#help = help;
    this.#bounds = bounds;
    this.#labels = labels;
    if (labels.length === 0) this.#at([]);
  }

  observe(value: number, labels: LabelValues = []): void {
    const series = this.#at(labels);
    // A clock that was set back gives times below zero, which no bucket is for.
    if (series === undefined || !Number.isFinite(value) || value < 0) return;
    series.sum += value;
    const first = this.#bounds.findIndex((bound) => value <= bound);
    for (let at = first < 0 ? this.#bounds.length : first; at <= this.#bounds.length; at += 1)
      series.counts[at] = (series.counts[at] ?? 0) + 1;
  }

  lines(): string[] {
    return [
      ...headOf(this.name, this.#help, 'histogram'),
      ...[...this.#series.values()].flatMap(({ labels, counts, sum }) => [
        ...counts.map((count, at) => {
          const bound = this.#bounds[at];
          const le = bound === undefined ? '+Inf' : numberOf(bound);
          return `${this.name}_bucket${labelsOf([...this.#labels, 'le'], [...labels, le])} ${count}`;
        }),
        `${this.name}_sum${labelsOf(this.#labels, labels)} ${numberOf(sum)}`,
        `${this.name}_count${labelsOf(this.#labels, labels)} ${counts.at(-1) ?? 0}`,
      ]),
    ];
  }

  #at(labels: LabelValues): HistogramSeries | undefined {
    return seriesAt(this.#series, this.#labels, labels, () => ({
      labels,
      counts: new Array<number>(this.#bounds.length + 1).fill(0),
      sum: 0,
    }));
  }
}

function seriesAt<S>(
  series: Map<string, S>,
  names: readonly string[],
  labels: LabelValues,
  make: () => S,
): S | undefined {
  if (labels.length !== names.length)
    throw new Error(`expected a value for each of ${names.join(', ')}, got ${labels.length}`);
  const key = labels.join('\n');
  const known = series.get(key);
  if (known !== undefined || series.size >= MAX_SERIES) return known;
  const made = make();
  series.set(key, made);
  return made;
}

function headOf(name: string, help: string, type: string): string[] {
  const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return [`# HELP ${name} ${escaped}`, `# TYPE ${name} ${type}`];
}

function labelsOf(names: readonly string[], values: LabelValues): string {
  if (names.length === 0) return '';
  const pairs = names.map((name, at) => {
    const value = (values[at] ?? '').replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
    return `${name}="${value}"`;
  });
  return `{${pairs.join(',')}}`;
}

function numberOf(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value);
}

/** True when it came to its end in time. What comes later changes gauges all the same, which is no harm. */
async function inTime(work: () => Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), COLLECT_MS);
  });
  try {
    return await Promise.race([work().then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
