import { open, readFile } from 'node:fs/promises';
import type { JournalState } from '#protocol';
import type { JournalBlock, JournalResult } from '#store';
import { readJournal } from '#store';
import type { BufferLease } from './buffers.ts';
import { BufferPool } from './buffers.ts';
import type { BuiltTimeline } from './timeline.ts';
import { TimelineBuilder } from './timeline.ts';

export type ReadRecording =
  | {
      ok: true;
      timeline: BuiltTimeline;
      /** How far each journal was read, oldest first: its last verified block, and what lies behind it. */
      journals: JournalState[];
      /** The last journal has no END: what was said after its last block is not there. */
      truncated: boolean;
      /** The reason in the last journal's END; null when it has none. */
      endReason: string | null;
    }
  | { ok: false; reason: ReadFailure; detail: string; journals: JournalState[] };

/** A head that left the server while the recording ran. */
export interface AcknowledgedHead {
  epoch: number;
  seq: number;
  head: string;
}

/** `too_large`: longer than any call may be, and than the positions in memory can tell. */
type ReadFailure = 'missing_journal' | 'corrupt_journal' | 'rollback_journal' | 'too_large';

/** All journals of one recording together: about 40 hours of two legs. */
const MAX_JOURNAL_BYTES = 1_500_000_000;

/**
 * Reads the journals of one recording from disk, verifies and decrypts them, and builds their common timeline.
 * Journals may be given in any order; they are read oldest epoch first. Throws only for what may go away by
 * itself: a file that cannot be read, an identity that does not fit.
 */
export async function readRecording(options: {
  recordingId: string;
  journals: readonly string[];
  identity: string;
  /** The journals must hold these: one that does not was rolled back or replaced. */
  acknowledged?: readonly AcknowledgedHead[] | undefined;
  /** Where large buffers come from; the timeline is valid until it is released. */
  lease: BufferLease;
}): Promise<ReadRecording> {
  const { recordingId, identity, lease, acknowledged = [] } = options;
  const journals: JournalState[] = [];
  const failed = (reason: ReadFailure, detail: string): ReadRecording => ({
    ok: false,
    reason,
    detail,
    journals,
  });
  const opened: { path: string; bytes: Buffer; memory: Buffer; epoch: number }[] = [];
  let capacity = 0;
  for (const path of options.journals) {
    const file = await readIfThere(path, lease, MAX_JOURNAL_BYTES - capacity);
    if (file === undefined) return failed('missing_journal', `${path} is not there`);
    if (file === 'too_large') {
      return failed('too_large', `${path}: the journals have more than ${MAX_JOURNAL_BYTES} bytes`);
    }
    const { bytes, memory } = file;
    capacity += bytes.length;
    const { header } = await readJournal(bytes);
    if (header !== undefined && header.recording !== recordingId) {
      return failed('corrupt_journal', `${path} belongs to recording ${header.recording}`);
    }
    // Without a whole header nothing was ever acknowledged: it was created and the power went.
    opened.push({ path, bytes, memory, epoch: header?.epoch ?? 0 });
  }
  opened.sort((a, b) => a.epoch - b.epoch);
  const builder = new TimelineBuilder(capacity, lease.take(capacity));
  let truncated = false;
  let endReason: string | null = null;
  /** Every head of the epochs so far: between an epoch and the one that it continues others may lie, empty. */
  const heads = new Set<string>();
  for (const { path, bytes, memory, epoch } of opened) {
    const { result, heads: own, prev } = await readEpoch(builder, bytes, identity);
    if (epoch > 0) journals.push(stateOf(epoch, result));
    if (result.status === 'corrupt' || result.status === 'rollback') {
      return failed('corrupt_journal', `${path}: ${result.problem ?? result.status}`);
    }
    if (prev !== null && !heads.has(prev)) {
      return failed('rollback_journal', `epoch ${epoch} continues a block that no epoch before it has`);
    }
    for (const { seq, head } of acknowledged.filter((promised) => promised.epoch === epoch)) {
      if (own.get(head) === seq) continue;
      const found = `it has ${result.seq} blocks`;
      return failed(
        'rollback_journal',
        `epoch ${epoch} lacks its acknowledged block ${seq}, or has another: ${found}`,
      );
    }
    for (const head of own.keys()) heads.add(head);
    lease.give(memory);
    truncated = result.status !== 'complete';
    endReason = result.endReason ?? null;
  }
  const lacking = acknowledged.find(({ epoch }) => !journals.some((journal) => journal.epoch === epoch));
  if (lacking !== undefined) {
    const { epoch, seq } = lacking;
    return failed('rollback_journal', `epoch ${epoch} is gone, of which block ${seq} was acknowledged`);
  }
  return { ok: true, timeline: builder.build(), journals, truncated, endReason };
}

function stateOf(epoch: number, { status, seq, head, goodBytes, sizeBytes }: JournalResult): JournalState {
  return { epoch, seq, head, status, goodBytes, tailBytes: sizeBytes - goodBytes };
}

/**
 * The Opus payloads of a journal, or of all journals of a recording, exactly as the browsers sent them: per leg in the
 * order in which they were sent, each once. For comparing a finished file with what was captured.
 */
export async function framesOfJournal(
  path: string | readonly string[],
  identity: string,
): Promise<{ caller: Uint8Array[]; callee: Uint8Array[] }> {
  const paths = typeof path === 'string' ? [path] : path;
  const [first] = paths;
  const header = first === undefined ? undefined : (await readJournal(await readFile(first))).header;
  const recordingId = header?.recording ?? '';
  // The lease is never released: the payloads that are returned point into it.
  const lease = new BufferPool().lease();
  const recording = await readRecording({ recordingId, journals: paths, identity, lease });
  if (!recording.ok) throw new Error(`${recording.reason}: ${recording.detail}`);
  const { legs, placed, bytes } = recording.timeline;
  const payloads = ([0, 1] as const).map((leg) =>
    Array.from(placed[leg].packets, (packet) => {
      const start = legs[leg].start[packet] as number;
      return bytes.subarray(start, start + (legs[leg].length[packet] as number));
    }),
  );
  return { caller: payloads[0] ?? [], callee: payloads[1] ?? [] };
}

async function readEpoch(
  builder: TimelineBuilder,
  bytes: Buffer,
  identity: string,
): Promise<{ result: JournalResult; heads: Map<string, number>; prev: string | null }> {
  const reader = await readJournal(bytes, { identity });
  // An epoch may break before anything in it is acknowledged: the next one then names its c[0].
  const heads = new Map([[reader.startHead, 0]]);
  let begun = false;
  for await (const block of reader) {
    heads.set(block.head, block.seq);
    if (!begun) {
      builder.epoch(
        reader.header?.epoch ?? 0,
        reader.header?.recorder ?? '',
        block.monotonicUs,
        block.wallMs,
      );
      begun = true;
    }
    takeBlock(builder, block);
  }
  return { result: reader.result, heads, prev: reader.header?.prev ?? null };
}

function takeBlock(builder: TimelineBuilder, block: JournalBlock): void {
  const { type, plaintext, monotonicUs, wallMs, mark } = block;
  builder.block(monotonicUs, wallMs);
  if (mark !== undefined) builder.mark(mark);
  if (type === 'data' && plaintext !== undefined) builder.addDataBlock(plaintext, monotonicUs);
  if (mark?.leg !== undefined && mark.audioLevelExtId !== undefined) {
    builder.audioLevelId(mark.leg, mark.audioLevelExtId);
  }
}

/** The whole file in leased memory, which may be larger than the file. */
async function readIfThere(
  path: string,
  lease: BufferLease,
  maxBytes: number,
): Promise<{ bytes: Buffer; memory: Buffer } | 'too_large' | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) return 'too_large';
    const memory = lease.take(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await handle.read(memory, filled, size - filled, filled);
      // Cut while it is read: what is there is judged like any torn journal.
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return { bytes: memory.subarray(0, filled), memory };
  } finally {
    await handle.close();
  }
}
