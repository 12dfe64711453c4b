import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import {
  isErrno,
  listJournals,
  mkdirDurable,
  parseJournalName,
  readJournal,
  recoverLog,
  recoverLogs,
} from '#store';
import type { Database } from '../db/index.ts';
import { knownRecordings } from '../db/recordings.ts';
import type { Log } from './queue.ts';

/** What the start of the daemon found on disk. */
export interface FilesReport {
  /** Commit logs of recorders that are gone, replayed into their journals. */
  logs: number;
  /** Recordings that have journals but no row: nobody knows whose they are, so they are kept and reported. */
  unknown: string[];
}

const POLL_MS = 100;
/** Ids asked for in one query. */
const CHUNK = 1000;

/**
 * The files' side of a recording's end when its recorder cannot say it: replays commit logs into journals, and tells
 * what the journals hold. Never while the recorder still runs: a journal has one writer.
 */
export class Recovery {
  readonly #paths: DataPaths;
  readonly #log: Log;
  /** Many captures of one recorder end together; its log is replayed once. */
  readonly #running = new Map<string, Promise<boolean>>();

  constructor(paths: DataPaths, log: Log) {
    this.#paths = paths;
    this.#log = log;
  }

  /** Makes the folders that recorders and finalisers write to. */
  async prepare(): Promise<void> {
    for (const dir of [this.#paths.journals, this.#paths.wal, this.#paths.recordings])
      await mkdirDurable(dir);
  }

  /** Replays the logs of all recorders that are gone, and looks for journals that nobody knows. */
  async atStart(db: Database): Promise<FilesReport> {
    const recovered = await recoverLogs({ walRoot: this.#paths.wal, journalsDir: this.#paths.journals });
    for (const log of recovered) this.#tell(log);
    const onDisk = new Set<string>();
    for (const name of await readdir(this.#paths.journals)) {
      const parsed = parseJournalName(name);
      if (parsed !== undefined) onDisk.add(parsed.recording);
    }
    const unknown: string[] = [];
    const ids = [...onDisk];
    for (let at = 0; at < ids.length; at += CHUNK) {
      const chunk = ids.slice(at, at + CHUNK);
      const known = await knownRecordings(db, chunk);
      unknown.push(...chunk.filter((id) => !known.has(id)));
    }
    if (unknown.length > 0)
      this.#log.error(
        { recordings: unknown.slice(0, 20), count: unknown.length },
        'journals of unknown recordings',
      );
    return { logs: recovered.length, unknown };
  }

  /**
   * Waits until nobody writes the journals of this recording any more: its recorder is gone and the log replayed, or
   * the journal has its END. False when neither happens in time.
   */
  async released(recordingId: string, recorderId: string | null, timeoutMs: number): Promise<boolean> {
    if (recorderId === null) return true;
    const until = performance.now() + timeoutMs;
    for (;;) {
      if (await this.#replayed(recorderId)) return true;
      if (await this.#hasEnd(recordingId)) return true;
      if (performance.now() > until) return false;
      await delay(POLL_MS);
    }
  }

  async epochsOf(recordingId: string): Promise<number[]> {
    return (await listJournals(this.#paths.journals, recordingId)).map(({ epoch }) => epoch);
  }

  /** When the last block was heard, if there is any audio at all. Needs no key. */
  async audioOf(recordingId: string): Promise<{ endedAt: Date } | undefined> {
    let endedMs = 0;
    for (const { path } of await listJournals(this.#paths.journals, recordingId))
      for await (const block of await readJournal(path))
        if (block.type === 'data') endedMs = Math.max(endedMs, block.wallMs);
    return endedMs === 0 ? undefined : { endedAt: new Date(endedMs) };
  }

  /** False while the recorder runs. */
  #replayed(recorderId: string): Promise<boolean> {
    let running = this.#running.get(recorderId);
    if (running === undefined) {
      running = this.#replay(recorderId).finally(() => this.#running.delete(recorderId));
      this.#running.set(recorderId, running);
    }
    return running;
  }

  async #replay(recorderId: string): Promise<boolean> {
    try {
      const walDir = this.#paths.log(recorderId);
      this.#tell(await recoverLog({ walDir, journalsDir: this.#paths.journals }));
      return true;
    } catch (error) {
      if (error instanceof VerbatimError && error.code === 'conflict') return false;
      // A recorder that left in order takes its log with it.
      if (isErrno(error, 'ENOENT')) return true;
      throw error;
    }
  }

  async #hasEnd(recordingId: string): Promise<boolean> {
    const last = (await listJournals(this.#paths.journals, recordingId)).at(-1);
    if (last === undefined) return false;
    let end = false;
    for await (const block of await readJournal(last.path)) end = block.type === 'end';
    return end;
  }

  #tell({ segments, blocks, journals, removed }: Awaited<ReturnType<typeof recoverLog>>): void {
    if (segments > 0)
      this.#log.info({ segments, blocks, journals: journals.length }, 'a commit log was replayed');
    for (const { path, problem } of removed ? [] : journals)
      if (problem !== undefined)
        this.#log.error({ path, problem }, 'a journal does not fit its log; both are kept');
  }
}
