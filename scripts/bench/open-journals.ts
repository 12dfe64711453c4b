import { once } from 'node:events';
import { CommitLog, FLAG_RTCP, JournalWriter } from '#store';
import { isRtcp } from '../../recorder-worker/rtp/packet.ts';
import { generatedRecords } from './generated-call.ts';

/**
 * A recorder to be killed: writes so many recordings at once with the recorder's own commit log and writers, the same
 * generated packets for all of them and a block for each second, reports what was acknowledged, and stays. Started by
 * a benchmark with an IPC channel.
 */
export interface OpenJournalsOrder {
  journalsDir: string;
  logDir: string;
  recorderId: string;
  recipients: string[];
  recordings: { recordingId: string; callId: string }[];
  seconds: number;
}

export interface OpenJournalsReport {
  /** The newest acknowledged block of each recording. */
  acknowledged: { recordingId: string; seq: number; head: string }[];
}

const BLOCK_US = 1_000_000;

const [order] = (await once(process, 'message')) as [OpenJournalsOrder];
process.send?.(await write(order));

async function write(order: OpenJournalsOrder): Promise<OpenJournalsReport> {
  const endUs = order.seconds * BLOCK_US;
  const records = generatedRecords(Math.ceil(order.seconds / 60));
  const startUs = records[0]?.monotonicUs ?? 0;
  const startMs = Date.now() - order.seconds * 1000;
  let nowUs = startUs;
  const log = await CommitLog.open({
    dir: order.logDir,
    journalsDir: order.journalsDir,
    maxCommitsPerSecond: 1_000_000,
    clock: {
      monotonicUs: () => nowUs,
      wallMs: () => startMs + Math.round((nowUs - startUs) / 1000),
    },
  });
  const writers: JournalWriter[] = [];
  for (const { recordingId: recording, callId: call } of order.recordings) {
    const { recorderId: recorder, recipients } = order;
    writers.push(await JournalWriter.create({ log, recording, call, epoch: 1, recorder, recipients }));
  }
  const commit = () => Promise.all(writers.map((writer) => writer.flush({ urgent: true })));
  let blockUs = nowUs;
  for (const { leg, packet, monotonicUs } of records) {
    if (monotonicUs - startUs >= endUs) break;
    if (monotonicUs - blockUs >= BLOCK_US) {
      await commit();
      blockUs = monotonicUs;
    }
    nowUs = monotonicUs;
    for (const writer of writers) writer.append(leg, isRtcp(packet) ? FLAG_RTCP : 0, packet, monotonicUs);
  }
  await commit();
  return {
    acknowledged: writers.map(({ recording: recordingId, acknowledged: { seq, head } }) => ({
      recordingId,
      seq,
      head,
    })),
  };
}
