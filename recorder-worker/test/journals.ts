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
}): Promise<WrittenJournal> {
  const { dir, keys, recording, records } = options;
  const epoch = options.epoch ?? 1;
  const recorder = options.recorder ?? 'recorder-1';
  let nowUs = records[0]?.monotonicUs ?? 0;
  const clock = {
    monotonicUs: () => nowUs,
    wallMs: () => WALL_START_MS + Math.round(nowUs / 1000),
  };
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
    for (const { leg, packet, monotonicUs } of records) {
      if (monotonicUs - blockUs >= 1_000_000) {
        await writer.flush({ urgent: true });
        blockUs = monotonicUs;
      }
      nowUs = monotonicUs;
      writer.append(leg, isRtcp(packet) ? FLAG_RTCP : 0, packet, monotonicUs);
    }
    await writer.flush({ urgent: true });
    if (options.end === null) await writer.close();
    else await writer.end(options.end ?? 'hangup');
    const { seq, head } = writer.acknowledged;
    return { path: join(dir, journalName(recording, epoch)), seq, head };
  } finally {
    await log.close();
  }
}
