import type { FinaliseResult, JournalState } from '#protocol';
import { VerbatimError } from '#protocol';
import type { Database } from '../db/index.ts';
import type { RecordingChange, RecordingRow } from '../db/recordings.ts';
import {
  changeRecording,
  keepReport,
  openRecordings,
  recordingById,
  reopenRecording,
} from '../db/recordings.ts';
import type { FinishEvidence } from '../evidence/index.ts';
import type { Chains } from './chains.ts';
import type { Log, RecorderQueue } from './queue.ts';
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
  /** A call still goes on with this recording. */
  runs: (recordingId: string) => boolean;
  onChanged: (row: RecordingRow) => void;
  /** Its job was lost, and it was taken up from the files. */
  onAbandoned: (row: RecordingRow) => void;
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
    for (const row of await openRecordings(this.#parts.db, OPEN_STATES, SWEEP_ROWS)) {
      const { recordingId } = row;
      if (this.#closed) return;
      if (this.#parts.runs(recordingId)) continue;
      // Work that is under way on it, or an event that is on its way, gets until the next look.
      if (this.#parts.chains.has(recordingId) || Date.now() - row.updatedAt.getTime() < this.#parts.sweepMs)
        continue;
      if (row.report !== null) {
        await this.#parts.chains.inOrder(recordingId, () => this.#finish(row));
        continue;
      }
      const job = await this.#parts.queue.finaliseState(recordingId);
      if (job.state === 'failed') {
        await this.#parts.chains.inOrder(recordingId, () =>
          this.finalised(recordingId, { ok: false, reason: 'finalise_failed', detail: job.reason }),
        );
      } else if (job.state === 'none') {
        // Once may be a result that is on its way here; twice in a row is a job that is gone.
        if (this.#absent.has(recordingId)) {
          await this.#requeue(row);
          this.#parts.onAbandoned(row);
        } else absent.add(recordingId);
      }
    }
    this.#absent = absent;
  }

  async #requeue(row: RecordingRow): Promise<void> {
    const { recordingId } = row;
    // Not `processing` yet: there never was a job, and its recorder may take as long as it needs to let go.
    if (row.state !== 'processing') return this.takeUp(row, 'recording_lost');
    const count = (this.#requeues.get(recordingId) ?? 0) + 1;
    this.#requeues.set(recordingId, count);
    this.#parts.log.warn({ recordingId, count }, 'a recording had no finalise job');
    if (count <= MAX_REQUEUES) return this.takeUp(row, 'recording_lost');
    const detail = `the finalise job was lost ${MAX_REQUEUES} times`;
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
