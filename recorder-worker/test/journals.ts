import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { CommitLog, FLAG_RTCP, JournalWriter, journalName } from '#store';
import { isRtcp } from '../rtp/packet.ts';
import type { GeneratedRecord } from './calls.ts';

/** Real journals, written by the recorder's own writer, out of generated calls. */
export interface Keys {
  identity: string;
  recipients: string[];
}

export async function createKeys(): Promise<Keys> {
  const identity = await generateX25519Identity();
  return { identity, recipients: [await identityToRecipient(identity)] };
}

export const CALL_ID = '018f0000-0000-7000-8000-0000000000cc';

/** Generated calls begin at this wall-clock time. */
const WALL_START_MS = 1_790_000_000_000;

/** A mark of the journal, at a time of the generated call. */
export interface GeneratedMark {
  mark: 'mute' | 'unmute' | 'reattach' | 'gap';
  leg?: 0 | 1;
  monotonicUs: number;
  /** How long before that it happened, by its own word; without it says nothing of the kind. */
  happenedMsBefore?: number;
}

export interface WrittenJournal {
  path: string;
  seq: number;
  head: string;
}

/**
 * Writes one epoch: a block for each second of the call, like a recorder. With `end` null the journal is left without
 * END, as by a recorder that was killed.
 */
export async function writeJournal(options: {
  dir: string;
  keys: Keys;
  recording: string;
  records: readonly GeneratedRecord[];
  epoch?: number;
  recorder?: string;
  prev?: string;
  end?: string | null;
  marks?: readonly GeneratedMark[];
  /** What this recorder's monotonic clock shows at the call's 0. */
  clockUs?: number;
  /** How much the wall clock is set forward at a time of the generated call. */
  wallStep?: { monotonicUs: number; ms: number };
}): Promise<WrittenJournal> {
  const { dir, keys, recording, records } = options;
  const epoch = options.epoch ?? 1;
  const recorder = options.recorder ?? 'recorder-1';
  const { marks = [], clockUs = 0, wallStep } = options;
  let nowUs = Math.min(records[0]?.monotonicUs ?? 0, ...marks.map(({ monotonicUs }) => monotonicUs));
  const clock = {
    monotonicUs: () => clockUs + nowUs,
    wallMs: () =>
      WALL_START_MS +
      Math.round(nowUs / 1000) +
      (wallStep !== undefined && nowUs >= wallStep.monotonicUs ? wallStep.ms : 0),
  };
  const waiting = [...marks].sort((a, b) => a.monotonicUs - b.monotonicUs);
  const walDir = join(dir, 'wal', `${recording}-${epoch}`);
  await mkdir(walDir, { recursive: true });
  const log = await CommitLog.open({ dir: walDir, journalsDir: dir, maxCommitsPerSecond: 1_000_000, clock });
  try {
    const writer = await JournalWriter.create({
      log,
      recording,
      call: CALL_ID,
      epoch,
      recorder,
      recipients: keys.recipients,
      ...(options.prev === undefined ? {} : { prev: options.prev }),
    });
    let blockUs = nowUs;
    const markUntil = (untilUs: number): void => {
      for (let next = waiting[0]; next !== undefined && next.monotonicUs <= untilUs; next = waiting[0]) {
        waiting.shift();
        nowUs = next.monotonicUs;
        const { mark, leg, happenedMsBefore } = next;
        writer.mark({
          mark,
          ...(leg === undefined ? {} : { leg }),
          ...(happenedMsBefore === undefined ? {} : { atMs: clock.wallMs() - happenedMsBefore }),
        });
      }
    };
    for (const { leg, packet, monotonicUs } of records) {
      markUntil(monotonicUs);
      if (monotonicUs - blockUs >= 1_000_000) {
        await writer.flush({ urgent: true });
        blockUs = monotonicUs;
      }
      nowUs = monotonicUs;
      writer.append(leg, isRtcp(packet) ? FLAG_RTCP : 0, packet, clockUs + monotonicUs);
    }
    markUntil(Number.POSITIVE_INFINITY);
    await writer.flush({ urgent: true });
    if (options.end === null) await writer.close();
    else await writer.end(options.end ?? 'hangup');
    const { seq, head } = writer.acknowledged;
    return { path: join(dir, journalName(recording, epoch)), seq, head };
  } finally {
    await log.close();
  }
}
