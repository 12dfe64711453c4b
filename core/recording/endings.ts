import type { FinaliseResult, JournalState } from '#protocol';
import { VerbatimError } from '#protocol';
import type { Database } from '../db/index.ts';
import type { RecordingChange, RecordingRow } from '../db/recordings.ts';
import {
  changeRecording,
  keepReport,
  openRecordingsAfter,
  recordingById,
  reopenRecording,
} from '../db/recordings.ts';
import type { FinishEvidence } from '../evidence/index.ts';
import type { Chains } from './chains.ts';
import type { FinaliseState, Log, RecorderQueue } from './queue.ts';
import { brief } from './queue.ts';
import type { Recovery } from './recovery.ts';

export interface EndingsParts {
  db: Database;
  evidence: FinishEvidence;
  queue: RecorderQueue;
  recovery: Recovery;
  chains: Chains;
  log: Log;
  /** A row is left alone for as long as this after its last change. */
  sweepMs: number;
  /** How long one look waits for a recorder to let go of a journal. */
  releaseMs: number;
  /** So long one attempt at finalising may take, or be put off. */
  stuckMs: number;
  /** A call still goes on with this recording. */
  runs: (recordingId: string) => boolean;
  onChanged: (row: RecordingRow) => void;
  /** Its job was lost, and it was taken up from the files. */
  onAbandoned: (row: RecordingRow) => void;
  /** Whoever has its finalise job does not finish it. */
  onStuck: (row: RecordingRow) => void;
}

/** Verdicts of the finaliser on the journals themselves. */
const CONTRADICTORY: ReadonlySet<string> = new Set(['corrupt_journal', 'rollback_journal']);
/** Failures that say nothing against the journals. */
const RETRYABLE = ['finalise_failed', 'journal_missing', 'missing_journal', 'evidence_lost'] as const;
const SWEEP_ROWS = 500;
/** How often a finalise job that vanished from the queue is made again before the recording is given up. */
const MAX_REQUEUES = 3;
/** Recordings in these states owe an end. */
export const OPEN_STATES = ['armed', 'capturing', 'processing'] as const;

/**
 * The end of every recording, from the moment when its journals are closed: finalise job, sealed file, entries, Available;
 * or Failed with a reason. Every step may be asked for again, and the sweep asks for what a crash or the queue has lost.
 */
export class Endings {
  readonly #parts: EndingsParts;
  readonly #requeues = new Map<string, number>();
  #absent = new Set<string>();
  /** Recordings with a finalise job: which attempt it is at, and since when it is seen, on the monotonic clock. */
  #attempts = new Map<string, { attempt: string; sinceMs: number }>();
  /** When the newest result of a finaliser came, on the monotonic clock. */
  #finishedMs = Number.NEGATIVE_INFINITY;
  #sweeping: Promise<void> | undefined;
  #closed = false;

  constructor(parts: EndingsParts) {
    this.#parts = parts;
  }

  /**
   * Has a recording finalised again that failed although its capture is intact: the disk was full, the key was away.
   * @throws VerbatimError `conflict` when it did not fail, failed for another reason, has no journals any more, or its
   * failure is not entered yet.
   */
  async retry(recordingId: string): Promise<void> {
    if ((await this.#parts.recovery.epochsOf(recordingId)).length === 0)
      throw new VerbatimError('conflict', 'this recording has no journals to make it of');
    const row = await reopenRecording(this.#parts.db, recordingId, RETRYABLE);
    if (row === null) {
      const causes = RETRYABLE.join(' or ');
      throw new VerbatimError('conflict', `this recording is not one that failed for ${causes}`);
    }
    this.#parts.log.info({ recordingId, state: row.state }, 'a failed recording is finalised again');
    this.#parts.onChanged(row);
    // A crash before this is a recording in `processing` without a job: the sweep takes it up.
    await this.#parts.chains.inOrder(recordingId, async () => {
      await this.#parts.queue.clearFinalise(recordingId);
      await this.finalise(recordingId, row.callId);
    });
  }

  /** An unheard call: its journals may hold what either side said into its microphone, so they go. */
  async notArmed(recordingId: string, detail: string): Promise<void> {
    if (await this.change(recordingId, { to: 'failed', reason: 'not_armed', detail }))
      await this.#parts.recovery.discard(recordingId);
  }

  async finalise(recordingId: string, callId: string): Promise<void> {
    const epochs = await this.#parts.recovery.epochsOf(recordingId);
    if (epochs.length === 0) {
      const detail = 'no journal of this recording is on this disk';
      await this.#fail(recordingId, 'journal_missing', detail);
      return;
    }
    const problem = this.#parts.recovery.contradiction(recordingId);
    if (problem !== undefined) {
      const detail = `the commit log says otherwise: ${problem}`;
      await this.#fail(recordingId, 'corrupt_journal', detail);
      await this.#setAside(recordingId, `corrupt_journal: ${detail}`);
      return;
    }
    const acknowledged = await this.#parts.evidence.acknowledged(recordingId);
    await this.#parts.queue.addFinalise({ recordingId, callId, epochs, acknowledged });
  }

  async finalised(recordingId: string, result: FinaliseResult): Promise<void> {
    this.#finishedMs = performance.now();
    if (result.ok) {
      // From here on the sealed file is settled, and a daemon that dies goes on with it.
      const row = await keepReport(this.#parts.db, recordingId, result);
      await this.#parts.queue.clearFinalise(recordingId).catch(() => undefined);
      if (row !== null) await this.#finish(row);
      return;
    }
    const { reason, detail, journals } = result;
    await this.#fail(recordingId, reason, detail, journals);
    await this.#parts.queue.clearFinalise(recordingId).catch(() => undefined);
    if (CONTRADICTORY.has(reason)) await this.#setAside(recordingId, `${reason}: ${detail}`);
  }

  /**
   * Journals that contradict themselves, or what was promised of them, are never read as a recording again. A crash
   * before this leaves them where they were, with the row that says what they are.
   */
  async #setAside(recordingId: string, why: string): Promise<void> {
    const row = await recordingById(this.#parts.db, recordingId);
    if (row?.state === 'failed') await this.#parts.recovery.quarantine(recordingId, why);
  }

  /**
   * Sealed file -> entry, checkpoint and opening (core/evidence) -> Available. Does nothing twice. While the ledger
   * takes no entries the recording stays Processing, and the sweep comes back to it.
   */
  async #finish(row: RecordingRow): Promise<void> {
    const { recordingId, report } = row;
    if (row.state !== 'processing' || report === null) return;
    let entryIndex: number | null;
    try {
      entryIndex = await this.#parts.evidence.final(row);
    } catch (error) {
      if (!(error instanceof VerbatimError) || error.code !== 'corrupt') throw error;
      await this.#fail(recordingId, 'evidence_lost', error.message);
      return;
    }
    await this.change(recordingId, { to: 'available', result: report, entryIndex });
  }

  /** A failure is shown at once; the ledger may take its entry later. */
  async #fail(
    recordingId: string,
    reason: string,
    detail: string,
    journals?: readonly JournalState[],
  ): Promise<void> {
    if (!(await this.change(recordingId, { to: 'failed', reason, detail }))) return;
    const row = await recordingById(this.#parts.db, recordingId);
    if (row !== null) await this.#parts.evidence.failed(row, journals);
  }

  /** One recording whose daemon or finalise job is gone: brings it to where only finalising is missing, or to Failed. */
  async takeUp({ recordingId }: RecordingRow, reason: 'daemon_lost' | 'recording_lost'): Promise<void> {
    await this.#parts.chains.inOrder(recordingId, async () => {
      // What it was when somebody looked may be long ago.
      const row = await recordingById(this.#parts.db, recordingId);
      if (row === null || !OPEN_STATES.some((state) => state === row.state)) return;
      const { callId } = row;
      if (row.state !== 'processing') {
        await this.#tellWriters(row, reason);
        if (!(await this.#parts.recovery.released(recordingId, this.#parts.releaseMs))) return;
        const audio = await this.#parts.recovery.audioOf(recordingId);
        if (row.state === 'armed' || audio === undefined) {
          await this.notArmed(recordingId, 'the server stopped before both sides were recorded');
          return;
        }
        await this.change(recordingId, { to: 'processing', endedAt: audio.endedAt, reason });
      }
      // Sealed already: only its entry and what follows are missing.
      if (row.report !== null) await this.#finish(row);
      else await this.finalise(recordingId, callId);
    });
  }

  /** Every recorder that may still write a journal of this recording is told to end it. */
  async #tellWriters({ recordingId, epoch, recorderId }: RecordingRow, reason: string): Promise<void> {
    const writers = await this.#parts.recovery.writersOf(recordingId);
    if (recorderId !== null && !writers.some((writer) => writer.recorderId === recorderId))
      writers.push({ epoch, recorderId });
    for (const writer of writers)
      if (!(await this.#parts.recovery.isGone(writer.recorderId)))
        await this.#parts.queue.send(writer.recorderId, {
          type: 'stop',
          recordingId,
          epoch: writer.epoch,
          reason,
        });
  }

  /** Recordings in `processing` whose job the queue lost or gave up; also those whose settling failed half-way. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweepOnce()
      .catch((error: unknown) => this.#parts.log.warn(brief(error), 'looking after open recordings failed'))
      .finally(() => {
        this.#sweeping = undefined;
      });
    return this.#sweeping;
  }

  async #sweepOnce(): Promise<void> {
    const absent = new Set<string>();
    const attempts = new Map<string, { attempt: string; sinceMs: number }>();
    for await (const row of this.#openRows()) {
      const { recordingId } = row;
      if (this.#closed) return;
      if (this.#parts.runs(recordingId)) continue;
      // Work that is under way on it, or an event that is on its way, gets until the next look.
      // A time that is far ahead is of before the clock was set back, and gets no such grace.
      const ageMs = Math.abs(Date.now() - row.updatedAt.getTime());
      if (this.#parts.chains.has(recordingId) || ageMs < this.#parts.sweepMs) continue;
      if (row.report !== null) {
        await this.#parts.chains.inOrder(recordingId, () => this.#finish(row));
        continue;
      }
      const job = await this.#parts.queue.finaliseState(recordingId);
      if (job.state === 'failed') {
        await this.#parts.chains.inOrder(recordingId, () =>
          this.finalised(recordingId, { ok: false, reason: 'finalise_failed', detail: job.reason }),
        );
      } else if (job.state !== 'none') {
        const attempt = 'turn' in job ? `${job.state} ${job.turn}` : job.state;
        const before = this.#attempts.get(recordingId);
        const sinceMs = before?.attempt === attempt ? before.sinceMs : performance.now();
        if (!this.#isStuck(job, sinceMs)) attempts.set(recordingId, { attempt, sinceMs });
        else if (job.state === 'queued') this.#wake(row);
        else await this.#giveUpJob(row);
      } else {
        // Once may be a result that is on its way here; twice in a row is a job that is gone.
        if (this.#absent.has(recordingId)) {
          await this.#requeue(row);
          this.#parts.onAbandoned(row);
        } else absent.add(recordingId);
      }
    }
    this.#absent = absent;
    this.#attempts = attempts;
  }

  /** All of them, in parts: calls that go on must not hide those whose end is owed. */
  async *#openRows(): AsyncGenerator<RecordingRow> {
    for (let after: string | undefined; ; ) {
      const rows = await openRecordingsAfter(this.#parts.db, OPEN_STATES, after, SWEEP_ROWS);
      yield* rows;
      after = rows.at(-1)?.recordingId;
      if (rows.length < SWEEP_ROWS || this.#closed) return;
    }
  }

  #isStuck({ state }: FinaliseState, sinceMs: number): boolean {
    // A job that waits for its turn waits long when many calls have ended at once; not when none of them comes to its end.
    const fromMs = state === 'queued' ? Math.max(sinceMs, this.#finishedMs) : sinceMs;
    return performance.now() - fromMs > this.#parts.stuckMs;
  }

  /** Nobody takes its job: whoever should has stopped without dying, and another one takes the place. */
  #wake(row: RecordingRow): void {
    this.#parts.log.error({ recordingId: row.recordingId }, 'nobody takes a finalise job');
    this.#parts.onStuck(row);
    this.#finishedMs = performance.now();
  }

  /**
   * A finaliser that hangs keeps its lock for ever; one that died before the clock was set back leaves a lock that runs out
   * some day; and a job that was put off by then waits as long. So a job is judged by our own clock and given up.
   */
  async #giveUpJob(row: RecordingRow): Promise<void> {
    this.#parts.log.error({ recordingId: row.recordingId }, 'a finalise job does not come to its end');
    this.#parts.queue.replaceFinalise(row.recordingId);
    this.#parts.onStuck(row);
    await this.#requeue(row);
  }

  async #requeue(row: RecordingRow): Promise<void> {
    const { recordingId } = row;
    // Not `processing` yet: there never was a job, and its recorder may take as long as it needs to let go.
    if (row.state !== 'processing') return this.takeUp(row, 'recording_lost');
    const count = (this.#requeues.get(recordingId) ?? 0) + 1;
    this.#requeues.set(recordingId, count);
    this.#parts.log.warn({ recordingId, count }, 'a recording gets another finalise job');
    if (count <= MAX_REQUEUES) return this.takeUp(row, 'recording_lost');
    const detail = `the finalise job was lost or stood still more than ${MAX_REQUEUES} times`;
    await this.#parts.chains.inOrder(recordingId, () =>
      this.finalised(recordingId, { ok: false, reason: 'finalise_failed', detail }),
    );
  }

  /** False when the row is past this. */
  async change(recordingId: string, change: RecordingChange): Promise<boolean> {
    const row = await changeRecording(this.#parts.db, recordingId, change);
    if (row === null) return false;
    if (row.state === 'available' || row.state === 'failed') {
      this.#requeues.delete(recordingId);
      this.#parts.recovery.settled(recordingId);
    }
    this.#parts.log.info({ recordingId, state: row.state, reason: row.reason }, 'recording changed');
    this.#parts.onChanged(row);
    return true;
  }

  /** Ends the sweep that runs and begins no other. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#sweeping;
  }
}
