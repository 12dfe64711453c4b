import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import {
  endsWithEnd,
  isErrno,
  listJournals,
  mkdirDurable,
  parseJournalName,
  readJournal,
  recoverLog,
  recoverLogs,
  unlinkDurable,
} from '#store';
import type { Database } from '../db/index.ts';
import { knownRecordings, notArmedRecordings } from '../db/recordings.ts';
import type { Log } from './queue.ts';

/** What the start of the daemon found on disk. */
export interface FilesReport {
  /** Commit logs of recorders that are gone, replayed into their journals. */
  logs: number;
  /** Recordings that have journals but no row: nobody knows whose they are, so they are kept and reported. */
  unknown: string[];
}

const POLL_MS = 100;
/** Captures that their recorders released, until each is settled. One that is forgotten is asked for again. */
const MAX_RELEASED = 8192;
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
  /** Recording to the recorder that wrote its journals and will not any more. */
  readonly #letGo = new Map<string, string>();

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
    let discarded = 0;
    const ids = [...onDisk];
    for (let at = 0; at < ids.length; at += CHUNK) {
      const chunk = ids.slice(at, at + CHUNK);
      const known = await knownRecordings(db, chunk);
      unknown.push(...chunk.filter((id) => !known.has(id)));
      // A daemon that died between the row and the files left them.
      for (const id of await notArmedRecordings(db, chunk)) discarded += await this.discard(id);
    }
    if (unknown.length > 0)
      this.#log.error(
        { recordings: unknown.slice(0, 20), count: unknown.length },
        'journals of unknown recordings',
      );
    if (discarded > 0)
      this.#log.info({ files: discarded }, 'journals of calls that nobody heard were removed');
    return { logs: recovered.length, unknown };
  }

  /** The recorder has put all that was acknowledged into the journals of this recording and writes to them no more. */
  letGo(recordingId: string, recorderId: string): void {
    this.#letGo.delete(recordingId);
    this.#letGo.set(recordingId, recorderId);
    const [oldest] = this.#letGo.keys();
    if (this.#letGo.size > MAX_RELEASED && oldest !== undefined) this.#letGo.delete(oldest);
  }

  /** The recording is at its end: nobody asks any more who writes its journals. */
  settled(recordingId: string): void {
    this.#letGo.delete(recordingId);
  }

  /**
   * Removes the journals of a recording, with all that was kept beside them; durable on return. Only for a call that
   * nobody heard, and only when nobody writes to them any more. Answers how many files there were.
   */
  async discard(recordingId: string): Promise<number> {
    const names = await readdir(this.#paths.journals);
    const ours = names.filter((name) => name.startsWith(`${recordingId}-`));
    for (const name of ours) await unlinkDurable(join(this.#paths.journals, name));
    return ours.length;
  }

  /**
   * Waits until nobody writes the journals of this recording any more: its recorder is gone and the log replayed, or
   * its recorder said so, or the journal has its END. False when none of it happens in time.
   */
  async released(recordingId: string, recorderId: string | null, timeoutMs: number): Promise<boolean> {
    if (recorderId === null) return true;
    const until = performance.now() + timeoutMs;
    for (;;) {
      if (this.#letGo.get(recordingId) === recorderId) return true;
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
    // Asked many times while a recorder takes its time; finalising verifies every block.
    return last !== undefined && (await endsWithEnd(last.path));
  }

  #tell({ segments, blocks, journals, removed }: Awaited<ReturnType<typeof recoverLog>>): void {
    if (segments > 0)
      this.#log.info({ segments, blocks, journals: journals.length }, 'a commit log was replayed');
    for (const { path, problem } of removed ? [] : journals)
      if (problem !== undefined)
        this.#log.error({ path, problem }, 'a journal does not fit its log; both are kept');
  }
}
