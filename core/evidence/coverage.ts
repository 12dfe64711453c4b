import { createHash } from 'node:crypto';
import type { FinaliseResult, Span } from '#protocol';
import type { RecordingRow } from '../db/recordings.ts';
import { canonicalJson } from './canonical.ts';

export type FinaliseReport = Extract<FinaliseResult, { ok: true }>;

/** Spans of one kind and one leg that fit into the entry; the report has them all. */
export const MAX_ENTRY_SPANS = 32;

/** What of a call is in its recording and what is not (F37). Names no person: sides only. Offsets are from its start. */
export interface Coverage {
  v: 1;
  recording: string;
  call: string;
  startedAt: string;
  endedAt: string;
  durationMs: number;
  legs: {
    side: 'caller' | 'callee';
    packets: number;
    lost: number;
    duplicates: number;
    unusable: number;
    gaps: Span[];
    mutes: Span[];
    reconnects: number;
  }[];
  /** Nothing was recorded of either side: a recorder was lost and another one took over. */
  holes: Span[];
  /** Why the call ended, as the server knew it. */
  reason: string | null;
  /** The reason in the journal's END; null when a crash left it without one. */
  endReason: string | null;
  /** The audio ends before the call did. */
  truncated: boolean;
  /** False when the two sides could not be put into one file without touching their frames. */
  combined: boolean;
  format: string;
  journals: { epoch: number; seq: number; head: string }[];
}

export function coverageOf(row: RecordingRow, report: FinaliseReport): Coverage {
  return {
    v: 1,
    recording: row.recordingId,
    call: row.callId,
    startedAt: row.startedAt.toISOString(),
    endedAt: (row.endedAt ?? row.startedAt).toISOString(),
    durationMs: report.durationMs,
    legs: report.legs.map((leg) => ({
      side: leg.side,
      packets: leg.packets,
      lost: leg.lost,
      duplicates: leg.duplicates,
      unusable: leg.unusable ?? 0,
      gaps: leg.gaps.map(span),
      mutes: (leg.mutes ?? []).map(span),
      reconnects: leg.reconnects ?? 0,
    })),
    holes: (report.holes ?? []).map(span),
    reason: row.reason,
    endReason: report.endReason ?? null,
    truncated: report.truncated,
    combined: report.combined,
    format: report.format,
    journals: report.journals.map(({ epoch, seq, head }) => ({ epoch, seq, head })),
  };
}

/** The bytes that `coverageSha256` hashes, and that an evidence bundle carries as they are. */
export function coverageBytes(coverage: Coverage): Buffer {
  return Buffer.from(canonicalJson({ ...coverage }));
}

/** Hex. */
export function coverageSha256(coverage: Coverage): string {
  return createHash('sha256').update(coverageBytes(coverage)).digest('hex');
}

/** Many spans in few bytes: how many, how long together, and the first of them. */
export type SpanSummary = { count: number; totalMs: number; spans: Span[] };

export function summaryOf(spans: readonly Span[]): SpanSummary {
  return {
    count: spans.length,
    totalMs: spans.reduce((sum, { lengthMs }) => sum + lengthMs, 0),
    spans: spans.slice(0, MAX_ENTRY_SPANS).map(span),
  };
}

const span = ({ atMs, lengthMs }: Span): Span => ({ atMs, lengthMs });
