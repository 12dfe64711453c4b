import type { Counter, Gauge, Histogram, Registry } from '../registry.ts';

/** Which log: of consents and recordings, or of who listened. */
export type LogName = 'evidence' | 'access';

export interface LogSource {
  readonly size: number;
  /** Entries that no published head covers yet. */
  readonly unpublished: number;
  /** When the newest head was published; undefined before the first one of this run. */
  readonly headAt: Date | undefined;
  readonly state: { readonly mode: 'writable' | 'read-only' };
}

export interface EvidenceSources {
  logs: Readonly<Record<LogName, LogSource>>;
  /** Open alarms, of these kinds. */
  alarms: { readonly kinds: readonly string[]; open(): Promise<readonly { kind: string }[]> };
  scrubber: {
    readonly last: { endedAt: Date; elapsedMs: number; bytes: number; faults: number } | undefined;
    readonly progress: { doneBytes: number; totalBytes: number } | undefined;
  };
  /** Recordings by their state. */
  recordings(): Promise<readonly { state: string; count: number }[]>;
}

/** A recording that has come to a new state. */
export interface ChangedRecording {
  state: string;
  reason: string | null;
  endedAt: Date | null;
  durationMs: number | null;
}

const APPEND_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] as const;
const FINALISE_S = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900] as const;
const LOGS = ['evidence', 'access'] as const;
/** Counting all rows is not done at every scrape. */
const COUNT_EVERY_MS = 30_000;
const UNKNOWN_REASON = 'other';
const REASON = /^[a-z_]{1,40}$/;

/** Recordings and what proves them: states, finalising, the two logs, alarms, the background check. */
export class EvidenceFigures {
  readonly #registry: Registry;
  readonly #recordings: Gauge;
  readonly #failed: Counter;
  readonly #finalise: Histogram;
  readonly #recordedSeconds: Counter;
  readonly #size: Gauge;
  readonly #unpublished: Gauge;
  readonly #headAt: Gauge;
  readonly #readOnly: Gauge;
  readonly #append: Histogram;
  readonly #alarms: Gauge;
  readonly #scrubbedAt: Gauge;
  readonly #scrubSeconds: Gauge;
  readonly #scrubBytes: Gauge;
  readonly #scrubFaults: Gauge;
  readonly #scrubProgress: Gauge;
  #countedMs = Number.NEGATIVE_INFINITY;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#recordings = registry.gauge(
      'verbatim_recordings',
      'Recordings by their state, counted every 30 s.',
      ['state'],
    );
    this.#failed = registry.counter(
      'verbatim_recordings_failed_total',
      'Recordings that failed since the server started, by the reason.',
      ['reason'],
    );
    this.#finalise = registry.histogram(
      'verbatim_finalise_seconds',
      'From the end of a call to its recording being available.',
      FINALISE_S,
    );
    this.#recordedSeconds = registry.counter(
      'verbatim_recorded_seconds_total',
      'Length of the recordings that became available since the server started.',
    );
    this.#size = registry.gauge('verbatim_ledger_entries', 'Durable entries of a log.', ['log']);
    this.#unpublished = registry.gauge(
      'verbatim_ledger_unpublished_entries',
      'Durable entries that no published head covers yet.',
      ['log'],
    );
    this.#headAt = registry.gauge(
      'verbatim_ledger_head_timestamp_seconds',
      'When the newest head was published; 0 before the first one of this run.',
      ['log'],
    );
    this.#readOnly = registry.gauge('verbatim_ledger_read_only', 'Whether a log takes no entries (1).', [
      'log',
    ]);
    this.#append = registry.histogram(
      'verbatim_ledger_append_seconds',
      'From asking for an entry to its being durable.',
      APPEND_S,
      ['log'],
    );
    this.#alarms = registry.gauge('verbatim_alarms_open', 'Alarms that an operator has to look at.', [
      'kind',
    ]);
    this.#scrubbedAt = registry.gauge(
      'verbatim_scrub_timestamp_seconds',
      'When the background check last came to its end; 0 before the first one of this run.',
    );
    this.#scrubSeconds = registry.gauge('verbatim_scrub_seconds', 'How long the last whole check took.');
    this.#scrubBytes = registry.gauge('verbatim_scrub_bytes', 'What the last whole check read.');
    this.#scrubFaults = registry.gauge('verbatim_scrub_faults', 'What the last whole check found wrong.');
    this.#scrubProgress = registry.gauge(
      'verbatim_scrub_progress_ratio',
      'How much of the check that runs is done; 0 while none runs.',
    );
  }

  appended(log: LogName, tookMs: number): void {
    this.#append.observe(tookMs / 1_000, [log]);
  }

  changed({ state, reason, endedAt, durationMs }: ChangedRecording): void {
    if (state === 'failed')
      this.#failed.inc([reason !== null && REASON.test(reason) ? reason : UNKNOWN_REASON]);
    if (state !== 'available') return;
    if (endedAt !== null) this.#finalise.observe((Date.now() - endedAt.getTime()) / 1_000);
    this.#recordedSeconds.inc([], (durationMs ?? 0) / 1_000);
  }

  watch({ logs, alarms, scrubber, recordings }: EvidenceSources): void {
    this.#registry.onScrape('ledger', () => {
      for (const log of LOGS) {
        const { size, unpublished, headAt, state } = logs[log];
        this.#size.set([log], size);
        this.#unpublished.set([log], unpublished);
        this.#headAt.set([log], (headAt?.getTime() ?? 0) / 1_000);
        this.#readOnly.set([log], state.mode === 'read-only' ? 1 : 0);
      }
    });
    this.#registry.onScrape('alarms', async () => {
      const open = await alarms.open();
      const kinds = new Set([...alarms.kinds, ...open.map(({ kind }) => kind)]);
      this.#alarms.replace(
        [...kinds].map((kind) => [[kind], open.filter((alarm) => alarm.kind === kind).length] as const),
      );
    });
    this.#registry.onScrape('scrubber', () => {
      const { last, progress } = scrubber;
      this.#scrubbedAt.set([], (last?.endedAt.getTime() ?? 0) / 1_000);
      this.#scrubSeconds.set([], (last?.elapsedMs ?? 0) / 1_000);
      this.#scrubBytes.set([], last?.bytes ?? 0);
      this.#scrubFaults.set([], last?.faults ?? 0);
      this.#scrubProgress.set(
        [],
        progress === undefined ? 0 : progress.doneBytes / Math.max(1, progress.totalBytes),
      );
    });
    this.#registry.onScrape('recordings', async () => {
      const nowMs = performance.now();
      if (nowMs - this.#countedMs < COUNT_EVERY_MS) return;
      this.#countedMs = nowMs;
      this.#recordings.replace((await recordings()).map(({ state, count }) => [[state], count] as const));
    });
  }
}
