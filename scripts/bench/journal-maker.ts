import { once } from 'node:events';
import { CommitLog, FLAG_RTCP, JournalWriter } from '#store';
import { isRtcp } from '../../recorder-worker/rtp/packet.ts';
import { generatedRecords } from './generated-call.ts';

/**
 * A process that writes the journals of long calls with the recorder's own writer: the same generated packets for all
 * of them, a block for each second, END, everything synced. Started by a benchmark with an IPC channel, so that what
 * it needs of memory is gone before anything is measured.
 */
export interface JournalOrder {
  /** Where the journals go, under the names that a recorder gives them. */
  journalsDir: string;
  logDir: string;
  recipients: string[];
  recordings: { recordingId: string; callId: string }[];
  minutes: number;
}

export interface JournalReport {
  packetsPerCall: number;
}

const BLOCK_US = 1_000_000;

const [order] = (await once(process, 'message')) as [JournalOrder];
const report: JournalReport = { packetsPerCall: await write(order) };
process.send?.(report, () => process.disconnect());

async function write(order: JournalOrder): Promise<number> {
  const records = generatedRecords(order.minutes);
  const startUs = records[0]?.monotonicUs ?? 0;
  const startMs = Date.now() - order.minutes * 60_000;
  let nowUs = startUs;
  const clock = {
    monotonicUs: () => nowUs,
    wallMs: () => startMs + Math.round((nowUs - startUs) / 1000),
  };
  const log = await CommitLog.open({
    dir: order.logDir,
    journalsDir: order.journalsDir,
    maxCommitsPerSecond: 1_000_000,
    clock,
  });
  try {
    const writers: JournalWriter[] = [];
    for (const { recordingId: recording, callId: call } of order.recordings)
      writers.push(
        await JournalWriter.create({
          log,
          recording,
          call,
          epoch: 1,
          recorder: 'generated',
          recipients: order.recipients,
        }),
      );
    let blockUs = nowUs;
    for (const { leg, packet, monotonicUs } of records) {
      if (monotonicUs - blockUs >= BLOCK_US) {
        await Promise.all(writers.map((writer) => writer.flush({ urgent: true })));
        blockUs = monotonicUs;
      }
      nowUs = monotonicUs;
      const flags = isRtcp(packet) ? FLAG_RTCP : 0;
      for (const writer of writers) writer.append(leg, flags, packet, monotonicUs);
    }
    await Promise.all(writers.map((writer) => writer.end('hangup')));
  } finally {
    await log.close();
  }
  return records.length;
}
