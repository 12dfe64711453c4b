import { setTimeout as delay } from 'node:timers/promises';
import type { AlarmKind, Log } from './alarms.ts';
import type { AuditReport, Finding } from './audit.ts';
import { auditFolder, findingSentence } from './audit.ts';

export interface ScrubberOptions {
  dataDir: string;
  signerDir: string;
  /** 0 turns it off. */
  megabytesPerSecond: number;
  /** From the end of one pass to the start of the next. */
  everyHours: number;
  alarms: {
    raise(kind: AlarmKind, subject: string, problem: string): Promise<void>;
    clear(kind: AlarmKind, subject: string): Promise<void>;
  };
  log: Log;
  /** Waiting, for tests. */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface ScrubbedPass {
  endedAt: Date;
  elapsedMs: number;
  bytes: number;
  faults: number;
}

/** What an earlier run left open is taken up first. */
const FIRST_AFTER_MS = 60_000;
/** A folder that cannot be read at all is tried again after this time. */
const RETRY_MS = 3_600_000;
const HOUR_MS = 3_600_000;
const MEGABYTE = 1_000_000;
/** Alarms of one pass; a folder that is wrong as a whole needs no more to be noticed. */
const MAX_ALARMS = 100;
/** Subject of the alarm that says how many there are beyond it. */
const REST = 'more';

/**
 * Reads the evidence over and over, slowly, so that what a disk or a hand changed is noticed before somebody needs it.
 * It changes nothing. Where it was is not kept: each run of the server begins anew, at another recording each time, so
 * that a server that is restarted often reaches all of them in the long run.
 */
export class Scrubber {
  readonly #options: ScrubberOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  /** Subjects with an alarm of an earlier pass. */
  readonly #alarmed = new Set<string>();
  #last: ScrubbedPass | undefined;
  #progress: { doneBytes: number; totalBytes: number } | undefined;
  #trouble: string | undefined;

  private constructor(options: ScrubberOptions) {
    this.#options = options;
    this.#running = options.megabytesPerSecond > 0 ? this.#run() : Promise.resolve();
  }

  static start(options: ScrubberOptions): Scrubber {
    return new Scrubber(options);
  }

  /** The last whole pass of this run of the server. */
  get last(): ScrubbedPass | undefined {
    return this.#last;
  }

  /** Of the pass that runs; undefined while none does. */
  get progress(): { doneBytes: number; totalBytes: number } | undefined {
    return this.#progress;
  }

  /** One line for health. @throws Error with what the last pass found wrong */
  health(): string {
    if (this.#options.megabytesPerSecond === 0) return 'off (scrub.megabytesPerSecond)';
    if (this.#trouble !== undefined) throw new Error(`the evidence cannot be checked: ${this.#trouble}`);
    const last = this.#last;
    if (last !== undefined && last.faults > 0)
      throw new Error(
        `${last.faults} faults in the evidence, see the alarms (checked ${last.endedAt.toISOString()})`,
      );
    const before =
      last === undefined ? 'no whole pass yet' : `last pass ${last.endedAt.toISOString()}: no fault`;
    if (this.#progress === undefined) return before;
    const { doneBytes, totalBytes } = this.#progress;
    return `${before}; ${Math.floor((100 * doneBytes) / Math.max(1, totalBytes))} % of the next`;
  }

  /** Ends the pass that runs at once. Idempotent. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { everyHours, log, wait = sleep } = this.#options;
    let pauseMs = FIRST_AFTER_MS;
    try {
      for (;;) {
        await wait(pauseMs, signal);
        signal.throwIfAborted();
        pauseMs = (await this.#pass()) ? everyHours * HOUR_MS : Math.min(RETRY_MS, everyHours * HOUR_MS);
      }
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, 'the check of stored evidence stopped');
    }
  }

  /** False when it could not be done. @throws the signal's reason */
  async #pass(): Promise<boolean> {
    const { dataDir, signerDir, megabytesPerSecond, log } = this.#options;
    const { signal } = this.#stop;
    let report: AuditReport;
    try {
      report = await auditFolder({
        dataDir,
        signerDir,
        signal,
        bytesPerSecond: megabytesPerSecond * MEGABYTE,
        from: Math.random(),
        onProgress: (progress) => {
          this.#progress = progress;
        },
      });
      this.#trouble = undefined;
    } catch (error) {
      signal.throwIfAborted();
      this.#trouble = error instanceof Error ? error.message : String(error);
      await this.#options.alarms.raise('scrub_fault', 'folder', this.#trouble);
      this.#alarmed.add('folder');
      return false;
    } finally {
      this.#progress = undefined;
    }
    await this.#tell(report);
    const { faults, notes, counts, elapsedMs } = report;
    this.#last = { endedAt: new Date(), elapsedMs, bytes: counts.bytes, faults };
    log.info({ faults, notes, ...counts, elapsedMs: Math.round(elapsedMs) }, 'stored evidence was checked');
    return true;
  }

  /** One alarm for each recording or file that is at fault; those of before that are well again are taken back. */
  async #tell({ findings, faults }: AuditReport): Promise<void> {
    const { alarms } = this.#options;
    const bySubject = new Map<string, string>();
    let told = 0;
    for (const finding of findings) {
      if (finding.severity !== 'fault') continue;
      const subject = subjectOf(finding);
      if (!bySubject.has(subject) && bySubject.size >= MAX_ALARMS) continue;
      told += 1;
      if (!bySubject.has(subject)) bySubject.set(subject, findingSentence(finding));
    }
    if (faults > told) bySubject.set(REST, `${faults - told} more faults; scripts/verify lists them`);
    for (const [subject, problem] of bySubject) await alarms.raise('scrub_fault', subject, problem);
    for (const subject of this.#alarmed) {
      if (!bySubject.has(subject)) await alarms.clear('scrub_fault', subject);
    }
    this.#alarmed.clear();
    for (const subject of bySubject.keys()) this.#alarmed.add(subject);
  }
}

function subjectOf({ recording, file, kind }: Finding): string {
  return recording ?? file ?? kind;
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  // A pause of hours must not keep a process alive that has nothing else to do.
  await delay(ms, undefined, { signal, ref: false });
}
