import type { JsonObject } from '#ledger';
import { VerbatimError } from '#protocol';
import type { DataPaths, Ledger } from '#store';
import type { BeginDestruction, Begun, DestructionRow } from '../db/destructions.ts';
import {
  beginDestruction,
  clearContent,
  goneRecordings,
  noteDestroyed,
  noteDestructionEntered,
  openDestructions,
} from '../db/destructions.ts';
import type { Database } from '../db/index.ts';
import type { RecordingRow } from '../db/recordings.ts';
import { changeRecording } from '../db/recordings.ts';
import { destroyRemains, remainsOf } from './remains.ts';

/** What removal asks of the ledger. */
export type LedgerPort = Pick<
  Ledger,
  'append' | 'covered' | 'entriesOf' | 'jwsSigner' | 'origin' | 'checkpoint'
>;

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What an operator has to look at. */
export interface AlarmPort {
  raise(kind: 'removal_fault' | 'clock_jump', subject: string, problem: string): Promise<void>;
  clear(kind: 'removal_fault' | 'clock_jump', subject: string): Promise<void>;
}

export interface DestroyerParts {
  db: Database;
  paths: DataPaths;
  ledger: LedgerPort;
  alarms: AlarmPort;
  log: Log;
  /**
   * What the process itself holds of a recording: streams that are open, what is kept in memory, its job in the queue.
   * Nobody gets anything of it when this resolves.
   */
  release: (recordingId: string) => Promise<void>;
  onChanged: (row: RecordingRow) => void;
}

export const SERVER: JsonObject = { kind: 'server' };
export const adminActor = (id: string): JsonObject => ({ kind: 'admin', id });
/** Taken up in one go; what is left is next. */
const MAX_OPEN = 200;
/** A disk that lets go of nothing is not asked for everything. */
const MAX_FAILED = 1000;
const COVER_TIMEOUT_MS = 30_000;

/**
 * Destroys recordings so that nobody can hear them again, and leaves proof that it was done and why. In this order, each
 * step durable before the next:
 *
 * 1. The decision: a row (core/db/destructions), the recording marked, its grants ended.
 * 2. `removal.exec` in the ledger, covered by a signed checkpoint: who finds files missing finds out why.
 * 3. Streams end; salt and queue forget it.
 * 4. Header, salt, opening; then journals with their keys; what was quarantined; at last the payload.
 * 5. Rows lose what tells of the content.
 * 6. All folders are listed: no file has the recording's id.
 * 7. The tombstone, `removal.done` or `expired`, with what was looked at; covered as well.
 * 8. The recording is Removed or Expired, its parties and the app are told.
 *
 * Every step does nothing twice: after a crash all of it is done again from step 2, and comes to the same end.
 */
export class Destroyer {
  readonly #parts: DestroyerParts;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: DestroyerParts) {
    this.#parts = parts;
  }

  /** Step 1. Whoever is first decides; whoever comes later finds that. */
  begin(what: BeginDestruction): Promise<Begun> {
    if (this.#closed) throw new VerbatimError('shutting_down');
    return beginDestruction(this.#parts.db, what);
  }

  /**
   * Brings everything that was decided to its end, in the order in which it was decided. Answers how many recordings went.
   * @throws VerbatimError `evidence_unavailable`; what the disk says. What is not done then is done the next time.
   */
  run(): Promise<number> {
    // One at a time: whoever asks meanwhile waits, and finds it done.
    const work = this.#last.then(() => this.#run());
    this.#last = work.catch(() => undefined);
    return work;
  }

  /**
   * Looks for files of recordings that are gone: put back with a backup, or written by somebody who was told too late.
   * They go as well, and an operator is told. Answers how many.
   */
  async sweep(): Promise<number> {
    const { db, paths, alarms } = this.#parts;
    const found = await remainsOf(paths, () => true);
    let count = 0;
    const ids = [...found.keys()];
    for (let at = 0; at < ids.length; at += MAX_IDS) {
      for (const recordingId of await goneRecordings(db, ids.slice(at, at + MAX_IDS))) {
        const remains = found.get(recordingId) ?? [];
        count += await destroyRemains(remains);
        const names = remains.map(({ path }) => path.slice(paths.dataDir.length + 1)).slice(0, 5);
        const problem = `files of a recording that is gone were there again and were destroyed: ${names.join(', ')}`;
        await alarms.raise('removal_fault', recordingId, problem);
      }
    }
    return count;
  }

  /** Waits for what is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
  }

  async #run(): Promise<number> {
    let done = 0;
    for (let failed = 0; !this.#closed && failed < MAX_FAILED; ) {
      const rows = (await openDestructions(this.#parts.db, MAX_OPEN + failed)).slice(failed);
      if (rows.length === 0) return done;
      const went = await this.#batch(rows);
      done += went;
      failed += rows.length - went;
    }
    return done;
  }

  /** All of them share two checkpoints. One that cannot be destroyed does not keep the others from it. */
  async #batch(rows: readonly DestructionRow[]): Promise<number> {
    const { ledger, db, alarms, log } = this.#parts;
    const entered = new Map<DestructionRow, number>();
    for (const row of rows) entered.set(row, await this.#enterExec(row));
    // Signed before anything goes: from here on nobody can say that files went without a reason.
    await this.#covered(Math.max(...entered.values()));
    for (const [{ recordingId }, index] of entered) await noteDestructionEntered(db, recordingId, index);
    const gone: DestructionRow[] = [];
    let last = -1;
    for (const row of rows) {
      try {
        const { index } = await ledger.append({
          t: row.cause === 'order' ? 'removal.done' : 'expired',
          id: row.cause === 'order' ? 'removal.done' : 'expired',
          sub: subjectOf(row.recordingId),
          actor: SERVER,
          d: await this.#destroy(row),
        });
        last = index;
        gone.push(row);
      } catch (error) {
        log.error({ recordingId: row.recordingId, err: error }, 'a recording could not be destroyed');
        const problem = error instanceof Error ? error.message : String(error);
        await alarms.raise('removal_fault', row.recordingId, problem);
      }
    }
    await this.#covered(last);
    for (const row of gone) await this.#settle(row);
    return gone.length;
  }

  async #enterExec(row: DestructionRow): Promise<number> {
    if (row.execIndex !== null) return row.execIndex;
    const { cause, removalId, days, actor } = row;
    const { index } = await this.#parts.ledger.append({
      t: 'removal.exec',
      id: 'removal.exec',
      sub: subjectOf(row.recordingId),
      actor: actor === null ? SERVER : adminActor(actor),
      // Its parties may read it: what an order says stands under the removal, which they may not.
      d: cause === 'order' ? { cause, removal: removalId } : { cause, days },
    });
    return index;
  }

  /** Steps 3 to 6. Answers what the tombstone says of them. */
  async #destroy({ recordingId, cause, removalId, days }: DestructionRow): Promise<JsonObject> {
    const { db, paths, release } = this.#parts;
    await release(recordingId);
    const ours = (id: string): boolean => id === recordingId;
    await destroyRemains((await remainsOf(paths, ours)).get(recordingId) ?? []);
    await clearContent(db, recordingId);
    // Whoever read a salt or a header a moment before may have kept it since.
    await release(recordingId);
    const left = (await remainsOf(paths, ours)).get(recordingId) ?? [];
    if (left.length > 0)
      throw new VerbatimError('conflict', `${left.length} files of ${recordingId} were written meanwhile`);
    return {
      cause,
      ...(removalId === null ? {} : { removal: removalId }),
      ...(days === null ? {} : { days }),
      absent: { folders: ['recordings', 'journals', 'quarantine'], files: 0 },
      cleared: ['report', 'hashes', 'timeline', 'events'],
    };
  }

  /** Step 8. */
  async #settle({ recordingId, cause, reason }: DestructionRow): Promise<void> {
    const { db, log, alarms, onChanged } = this.#parts;
    const to = cause === 'order' ? 'removed' : 'expired';
    const row = await changeRecording(db, recordingId, { to, reason });
    await noteDestroyed(db, recordingId);
    await alarms.clear('removal_fault', recordingId);
    log.info({ recordingId, state: to, cause }, 'a recording is gone');
    if (row !== null) onChanged(row);
  }

  async #covered(index: number): Promise<void> {
    if (index < 0) return;
    await inTime(this.#parts.ledger.covered(index), COVER_TIMEOUT_MS);
  }
}

const MAX_IDS = 1000;

export function subjectOf(recordingId: string): string {
  return `rec:${recordingId}`;
}

/** @throws VerbatimError `evidence_unavailable` */
async function inTime<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new VerbatimError('evidence_unavailable', 'no checkpoint covered the entry in time');
    timer = setTimeout(() => reject(error), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
