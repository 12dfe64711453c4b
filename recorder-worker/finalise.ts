import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { FinaliseResult } from '#protocol';
import { VerbatimError } from '#protocol';
import type { SealResult } from '#store';
import { fsyncDir, openSealed, removeSealingLeftovers, sealFile } from '#store';
import type { BufferLease } from './buffers.ts';
import { BufferPool } from './buffers.ts';
import type { AcknowledgedHead } from './finalise-read.ts';
import { readRecording } from './finalise-read.ts';
import { muxTimeline } from './mux.ts';
import { peaksOf } from './peaks.ts';
import { coverageOf } from './timeline-coverage.ts';

export { framesOfJournal } from './finalise-read.ts';

export interface FinaliseOptions {
  /** Paths of the recording's journals, of all epochs. */
  journals: readonly string[];
  recordingId: string;
  /** Heads that left the server: a journal that does not hold one was rolled back or replaced. */
  acknowledged?: readonly AcknowledgedHead[] | undefined;
  /** age identity that opens the journals and the sealed file. */
  identity: string;
  /** age recipients that the recording is sealed for. */
  recipients: readonly string[];
  /** Where payload and header go. */
  pay: string;
  hdr: string;
  /** Told how long each stage took, for the bench. */
  onStage?: (stage: FinaliseStage, ms: number) => void;
}

export type FinaliseStage = 'read' | 'mux' | 'seal' | 'compare' | 'rename';

export const RECORDING_FORMAT = 'audio/webm; codecs=opus';

/**
 * Makes the recording of one call out of its journals:
 *   verify and decrypt -> order and align -> mux -> seal to temporary files, fsync -> decrypt those and compare them with
 *   a second remux from the disk -> rename, fsync the directory.
 *
 * Nothing has its final name before it was read back and found equal, so a crash anywhere leaves temporary files and
 * the journals. Run again it removes those and does the same; a recording that stands already and holds the same bytes
 * is kept as it is, since its payload's hash may be in the ledger by then.
 *
 * `ok: false` is final (`no_audio`, `missing_journal`, `corrupt_journal`, `rollback_journal`, `too_large`); what may succeed later
 * throws. The journals are never changed.
 */
export async function finaliseRecording(options: FinaliseOptions): Promise<FinaliseResult> {
  const lease = pool.lease();
  try {
    return await finaliseWith(lease, options);
  } finally {
    lease.release();
  }
}

const pool = new BufferPool();

async function finaliseWith(lease: BufferLease, options: FinaliseOptions): Promise<FinaliseResult> {
  const timer = stageTimer(options.onStage);
  // Whatever becomes of this run, what a killed one left of the recording goes first.
  await removeSealingLeftovers(options);
  const recording = await readRecording({ ...options, lease });
  timer('read');
  if (!recording.ok) return recording;
  const { timeline, journals, truncated, endReason } = recording;
  if (timeline.slots.count === 0) {
    const detail = 'the journals hold no audio packet of either leg';
    return { ok: false, reason: 'no_audio', detail, journals };
  }
  const { bytes, durationSamples, combined } = muxTimeline(timeline, (size) => lease.take(size));
  const { legs, holes } = coverageOf(timeline);
  const peaks = peaksOf(timeline);
  const sums = { sha512: createHash('sha512').update(bytes).digest('hex'), crc32: crc32(bytes) };
  const recovered = journals.filter(({ status }) => status !== 'complete');
  timer('mux');
  const sealed = (await standing(options, bytes)) ?? (await seal(options, bytes, lease, timer));
  return {
    ok: true,
    durationMs: Math.round(durationSamples / 48),
    sizeBytes: sealed.sizeBytes,
    sha256: sealed.sha256,
    format: RECORDING_FORMAT,
    paySizeBytes: sealed.paySizeBytes,
    paySha256: sealed.paySha256,
    legs,
    journals: journals.map(({ epoch, seq, head }) => ({ epoch, seq, head })),
    peaks,
    combined,
    truncated,
    ...sums,
    hdr: { sizeBytes: sealed.hdrSizeBytes, sha256: sealed.hdrSha256 },
    holes,
    endReason,
    ...(recovered.length === 0 ? {} : { recovered }),
  };
}

/** `plaintext` is leased and is given back, with all else that is leased, once it has been written. */
async function seal(
  options: FinaliseOptions,
  plaintext: Uint8Array,
  lease: BufferLease,
  timer: StageTimer,
): Promise<SealResult> {
  const { pay, hdr, recipients, identity } = options;
  const result = await sealFile({
    plaintext,
    pay,
    hdr,
    recipients,
    verify: async (temporary) => {
      timer('seal');
      // From the disk again: what is wrong in memory now must not pass because it is wrong twice.
      lease.release();
      const again = await readRecording({ ...options, lease });
      if (!again.ok)
        throw new VerbatimError('corrupt', `on second reading: ${again.reason}, ${again.detail}`);
      const expected = muxTimeline(again.timeline, (size) => lease.take(size)).bytes;
      if (!(await holds({ ...temporary, identity }, expected))) {
        throw new VerbatimError('corrupt', 'the sealed file does not hold what the journals do');
      }
      timer('compare');
    },
  });
  timer('rename');
  return result;
}

/** The recording that an earlier run has left, if it holds these bytes. */
async function standing(options: FinaliseOptions, expected: Uint8Array): Promise<SealResult | undefined> {
  const { pay, hdr, identity } = options;
  try {
    if (!(await holds({ pay, hdr, identity }, expected))) return undefined;
  } catch (error) {
    // Not there, or cut off by a crash in the middle of two renames: it is made anew.
    if (error instanceof VerbatimError && (error.code === 'not_found' || error.code === 'corrupt'))
      return undefined;
    throw error;
  }
  // The run that wrote it may have died before its names were durable.
  for (const dir of new Set([dirname(pay), dirname(hdr)])) await fsyncDir(dir);
  const hash = createHash('sha256');
  let paySizeBytes = 0;
  for await (const chunk of createReadStream(pay)) {
    hash.update(chunk);
    paySizeBytes += chunk.length;
  }
  const header = await readFile(hdr);
  return {
    sizeBytes: expected.length,
    sha256: createHash('sha256').update(expected).digest('hex'),
    paySizeBytes,
    paySha256: hash.digest('hex'),
    hdrSizeBytes: header.length,
    hdrSha256: createHash('sha256').update(header).digest('hex'),
  };
}

/** Chunks of the sealed file that are decrypted at a time. */
const COMPARE_BYTES = 1024 * 1024;

/** Whether a sealed file decrypts to exactly these bytes. */
async function holds(
  file: { pay: string; hdr: string; identity: string },
  expected: Uint8Array,
): Promise<boolean> {
  const sealed = await openSealed(file);
  try {
    if (sealed.sizeBytes !== expected.length) return false;
    for (let offset = 0; offset < expected.length; offset += COMPARE_BYTES) {
      const piece = await sealed.read(offset, COMPARE_BYTES);
      if (!piece.equals(expected.subarray(offset, offset + piece.length))) return false;
    }
    return true;
  } finally {
    await sealed.close();
  }
}

type StageTimer = (stage: FinaliseStage) => void;

/** Each call tells how much time went by since the one before. */
function stageTimer(onStage: FinaliseOptions['onStage']): StageTimer {
  let last = performance.now();
  return (stage) => {
    const now = performance.now();
    onStage?.(stage, now - last);
    last = now;
  };
}
