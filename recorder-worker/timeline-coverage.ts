import type { LegReport } from '#protocol';
import type { BuiltTimeline } from './timeline.ts';
import { MISSING } from './timeline-slots.ts';

/** Shorter spans are DTX, which sends a packet every 400 ms, or loss, which is counted. */
const GAP_SAMPLES = 48_000;
const SAMPLES_PER_MS = 48;
/** Gaps that are listed of one leg; past it there is no audio to speak of, and the counts still tell. */
const MAX_GAPS = 1_000;

/** What was heard of each leg, caller first: packets, loss and the spans of the file without audio (F37). */
export function coverageOf(timeline: BuiltTimeline): [LegReport, LegReport] {
  return [legReport(timeline, 0), legReport(timeline, 1)];
}

function legReport({ legs, slots }: BuiltTimeline, index: 0 | 1): LegReport {
  const leg = legs[index];
  const gaps: LegReport['gaps'] = [];
  const gap = (from: number, to: number): void => {
    if (to - from <= GAP_SAMPLES || gaps.length >= MAX_GAPS) return;
    gaps.push({
      atMs: Math.round(from / SAMPLES_PER_MS),
      lengthMs: Math.round((to - from) / SAMPLES_PER_MS),
    });
  };
  let heardUntil = 0;
  let position = 0;
  for (let slot = 0; slot < slots.count; slot += 1) {
    const next = position + (slots.samples[slot] as number);
    if ((slots.content[index][slot] as number) !== MISSING) {
      gap(heardUntil, position);
      heardUntil = next;
    }
    position = next;
  }
  gap(heardUntil, position);
  return {
    side: index === 0 ? 'caller' : 'callee',
    packets: leg.count - leg.duplicates,
    lost: leg.runs.reduce((sum, run) => sum + run.lost, 0),
    duplicates: leg.duplicates,
    unusable: leg.unusable + leg.malformed,
    gaps,
  };
}
