import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import {
  endsWithEnd,
  isErrno,
  mkdirDurable,
  parseJournalName,
  quarantine,
  readJournal,
  readJournalHeader,
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

/** A journal of a recording, and the recorder that its header names. */
export interface JournalWriterRef {
  epoch: number;
  recorderId: string;
}

const POLL_MS = 100;
/** File systems count the time of a folder in steps of some milliseconds. */
const SETTLED_MS = 1_000;
/** Recordings that recorders released, until each is settled. One that is forgotten is asked for again. */
const MAX_RELEASED = 8192;
/** Recordings whose log contradicts them, until each is settled; more are found by the next start. */
const MAX_CONTRADICTIONS = 8192;
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
  /** The names of all journals, as long as the folder's own time tells that nothing was added or removed. */
  #listing: { mtimeMs: number; epochs: Map<string, number[]> } | undefined;
  /** Recording to the recorders that will not write its journals any more, up to which epoch. */
  readonly #letGo = new Map<string, Map<string, number>>();
  /** Recording to what its commit log says against its journals, and where that log lies. */
  readonly #contradictions = new Map<string, { problem: string; walDir: string }>();

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

  /**
   * The recorder has put all that was acknowledged into the journals of this recording, up to this epoch, and writes to
   * them no more.
   */
  letGo(recordingId: string, recorderId: string, epoch: number): void {
    const recorders = this.#letGo.get(recordingId) ?? new Map<string, number>();
    recorders.set(recorderId, Math.max(epoch, recorders.get(recorderId) ?? 0));
    this.#letGo.delete(recordingId);
    this.#letGo.set(recordingId, recorders);
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

  /** What a commit log says against the journals of this recording: acknowledged blocks that they lack, or others. */
  contradiction(recordingId: string): string | undefined {
    return this.#contradictions.get(recordingId)?.problem;
  }

  /**
   * Takes the journals of a recording, with all that was kept beside them, out of the way; nothing is deleted. The log
   * that contradicts them goes with them, once no other recording waits for its verdict: with the journals away it
   * would seem to have nothing left to say.
   */
  async quarantine(recordingId: string, why: string): Promise<void> {
    const names = await readdir(this.#paths.journals);
    const files = names
      .filter((name) => name.startsWith(`${recordingId}-`))
      .map((name) => join(this.#paths.journals, name));
    const walDir = this.#contradictions.get(recordingId)?.walDir;
    this.#contradictions.delete(recordingId);
    if (walDir !== undefined && ![...this.#contradictions.values()].some((other) => other.walDir === walDir))
      files.push(walDir);
    const { dir, files: moved } = await quarantine(this.#paths, { subject: recordingId, files, why });
    if (moved.length > 0)
      this.#log.error({ recordingId, dir, files: moved.length, why }, 'journals are quarantined');
  }

  /**
   * Waits until nobody writes the journals of this recording any more. Of each recorder that one of them names: it is
   * gone and its log replayed, or it said that it let go, or its last journal has END. False when that does not come in
   * time.
   */
  async released(recordingId: string, timeoutMs: number): Promise<boolean> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      // Read again each time: a recorder that came too late removes its journal.
      const last = new Map<string, number>();
      for (const { epoch, recorderId } of await this.writersOf(recordingId)) last.set(recorderId, epoch);
      const writing: string[] = [];
      for (const [recorderId, epoch] of last)
        if (!(await this.#hasLetGo(recordingId, recorderId, epoch))) writing.push(recorderId);
      if (writing.length === 0) return true;
      if (performance.now() > until) {
        this.#log.warn({ recordingId, recorders: writing }, 'a recorder does not let go of its journal');
        return false;
      }
      await delay(POLL_MS);
    }
  }

  /** True when this recorder's process is gone, and what its log held is in the journals. False while it runs. */
  isGone(recorderId: string): Promise<boolean> {
    let running = this.#running.get(recorderId);
    if (running === undefined) {
      running = this.#replay(recorderId).finally(() => this.#running.delete(recorderId));
      this.#running.set(recorderId, running);
    }
    return running;
  }

  /** Who wrote the journals of a recording, oldest epoch first. One whose header is not whole has nothing in it. */
  async writersOf(recordingId: string): Promise<JournalWriterRef[]> {
    const writers: JournalWriterRef[] = [];
    for (const { epoch, path } of await this.#journalsOf(recordingId)) {
      const recorderId = await this.#writerOf(path);
      if (recorderId !== undefined) writers.push({ epoch, recorderId });
    }
    return writers;
  }

  writerOf(recordingId: string, epoch: number): Promise<string | undefined> {
    return this.#writerOf(this.#paths.journal(recordingId, epoch));
  }

  async epochsOf(recordingId: string): Promise<number[]> {
    return (await this.#journalsOf(recordingId)).map(({ epoch }) => epoch);
  }

  /** When the last block was heard, if there is any audio at all. Needs no key. */
  async audioOf(recordingId: string): Promise<{ endedAt: Date } | undefined> {
    let endedMs = 0;
    for (const { path } of await this.#journalsOf(recordingId))
      for await (const block of await readJournal(path))
        if (block.type === 'data') endedMs = Math.max(endedMs, block.wallMs);
    return endedMs === 0 ? undefined : { endedAt: new Date(endedMs) };
  }

  /**
   * The journals of one recording, oldest epoch first. After a crash this is asked several times for each of a
   * thousand recordings, and each time the folder would be read again. A folder that was changed a moment ago may be
   * changed once more without its time moving on, so that only an older time is trusted.
   */
  async #journalsOf(recordingId: string): Promise<{ epoch: number; path: string }[]> {
    const dir = this.#paths.journals;
    const { mtimeMs } = await stat(dir);
    let listing = this.#listing;
    if (listing?.mtimeMs !== mtimeMs) {
      const isSettled = Date.now() - mtimeMs > SETTLED_MS;
      listing = { mtimeMs, epochs: epochsByRecording(await readdir(dir)) };
      this.#listing = isSettled ? listing : undefined;
    }
    const epochs = listing.epochs.get(recordingId) ?? [];
    return epochs.map((epoch) => ({ epoch, path: this.#paths.journal(recordingId, epoch) }));
  }

  async #hasLetGo(recordingId: string, recorderId: string, epoch: number): Promise<boolean> {
    if ((this.#letGo.get(recordingId)?.get(recorderId) ?? 0) >= epoch) return true;
    if (await this.isGone(recorderId)) return true;
    // Asked many times while a recorder takes its time; finalising verifies every block.
    return endsWithEnd(this.#paths.journal(recordingId, epoch)).catch(falseIfMissing);
  }

  async #writerOf(path: string): Promise<string | undefined> {
    try {
      return (await readJournalHeader(path))?.recorder;
    } catch (error) {
      // A recorder that came too late has just removed it.
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
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

  #tell({ walDir, segments, blocks, journals, removed }: Awaited<ReturnType<typeof recoverLog>>): void {
    for (const { recording, contradicts, problem = '' } of journals)
      if (contradicts === true && this.#contradictions.size < MAX_CONTRADICTIONS)
        this.#contradictions.set(recording, { problem, walDir });
    if (segments > 0)
      this.#log.info({ segments, blocks, journals: journals.length }, 'a commit log was replayed');
    for (const { path, problem } of removed ? [] : journals)
      if (problem !== undefined)
        this.#log.error({ path, problem }, 'a journal does not fit its log; both are kept');
  }
}

function falseIfMissing(error: unknown): false {
  if (isErrno(error, 'ENOENT')) return false;
  throw error;
}

function epochsByRecording(names: readonly string[]): Map<string, number[]> {
  const epochs = new Map<string, number[]>();
  for (const name of names) {
    const parsed = parseJournalName(name);
    if (parsed === undefined) continue;
    const known = epochs.get(parsed.recording);
    if (known === undefined) epochs.set(parsed.recording, [parsed.epoch]);
    else known.push(parsed.epoch);
  }
  for (const list of epochs.values()) list.sort((a, b) => a - b);
  return epochs;
}
