import { readFile } from 'node:fs/promises';
import type { JournalBlock, JournalResult } from '#store';
import { readJournal } from '#store';
import type { BuiltTimeline } from './timeline.ts';
import { TimelineBuilder } from './timeline.ts';
import { at } from './timeline-leg.ts';

/** How far a journal was read: its last verified block. */
export interface ReadEpoch {
  epoch: number;
  seq: number;
  head: string;
}

export type ReadRecording =
  | {
      ok: true;
      timeline: BuiltTimeline;
      journals: ReadEpoch[];
      /** The last journal has no END: what was said after its last block is not there. */
      truncated: boolean;
    }
  | { ok: false; reason: 'missing_journal' | 'corrupt_journal' | 'rollback_journal'; detail: string };

/**
 * Reads the journals of one recording from disk, verifies and decrypts them, and builds their common timeline.
 * Journals may be given in any order; they are read oldest epoch first. Throws only for what may go away by
 * itself: a file that cannot be read, an identity that does not fit.
 */
export async function readRecording(options: {
  recordingId: string;
  journals: readonly string[];
  identity: string;
}): Promise<ReadRecording> {
  const { recordingId, identity } = options;
  const opened: { path: string; bytes: Buffer; epoch: number }[] = [];
  for (const path of options.journals) {
    const bytes = await readIfThere(path);
    if (bytes === undefined) return failed('missing_journal', `${path} is not there`);
    const { header } = await readJournal(bytes);
    if (header !== undefined && header.recording !== recordingId) {
      return failed('corrupt_journal', `${path} belongs to recording ${header.recording}`);
    }
    // Without a whole header nothing was ever acknowledged: it was created and the power went.
    opened.push({ path, bytes, epoch: header?.epoch ?? 0 });
  }
  opened.sort((a, b) => a.epoch - b.epoch);
  const builder = new TimelineBuilder(opened.reduce((sum, { bytes }) => sum + bytes.length, 0));
  const journals: ReadEpoch[] = [];
  let truncated = false;
  let heads = new Set<string>();
  for (const { path, bytes, epoch } of opened) {
    const { result, heads: own, prev } = await readEpoch(builder, bytes, identity);
    if (result.status === 'corrupt' || result.status === 'rollback') {
      return failed('corrupt_journal', `${path}: ${result.problem ?? result.status}`);
    }
    if (prev !== null && journals.length > 0 && !heads.has(prev)) {
      return failed(
        'rollback_journal',
        `epoch ${epoch} continues a block that the epoch before it does not have`,
      );
    }
    heads = own;
    if (epoch > 0) journals.push({ epoch, seq: result.seq, head: result.head });
    truncated = result.status !== 'complete';
  }
  return { ok: true, timeline: builder.build(), journals, truncated };
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
  const recording = await readRecording({ recordingId, journals: paths, identity });
  if (!recording.ok) throw new Error(`${recording.reason}: ${recording.detail}`);
  const { legs, placed, bytes } = recording.timeline;
  const payloads = ([0, 1] as const).map((leg) =>
    Array.from(placed[leg].packets, (packet) => {
      const start = at(legs[leg].start, packet);
      return bytes.subarray(start, start + at(legs[leg].length, packet));
    }),
  );
  return { caller: payloads[0] ?? [], callee: payloads[1] ?? [] };
}

async function readEpoch(
  builder: TimelineBuilder,
  bytes: Buffer,
  identity: string,
): Promise<{ result: JournalResult; heads: Set<string>; prev: string | null }> {
  const reader = await readJournal(bytes, { identity });
  const heads = new Set<string>();
  let begun = false;
  for await (const block of reader) {
    heads.add(block.head);
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

function takeBlock(builder: TimelineBuilder, { type, plaintext, monotonicUs, mark }: JournalBlock): void {
  if (type === 'data' && plaintext !== undefined) builder.addDataBlock(plaintext, monotonicUs);
  if (mark?.leg !== undefined && 'audioLevelExtId' in mark && typeof mark.audioLevelExtId === 'number') {
    builder.audioLevelId(mark.leg, mark.audioLevelExtId);
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function failed(
  reason: 'missing_journal' | 'corrupt_journal' | 'rollback_journal',
  detail: string,
): ReadRecording {
  return { ok: false, reason, detail };
}
