import type { FoundSegment } from './write-ahead.ts';
import { endOf } from './write-ahead.ts';

export interface WaitingEntry {
  bytes: Buffer;
  /** The segment and where in it the entry's commit starts. */
  path: string;
  commitOffsetBytes: number;
}

export interface Replayed {
  /** Entries by index, without a hole from `from` on. */
  from: number;
  entries: WaitingEntry[];
  /** Roots that the commits claim, by size, in the order of the commits. */
  roots: { size: number; root: Buffer; path: string; offsetBytes: number }[];
  problem?: { path: string; entry?: number; problem: string };
}

/**
 * The entries that the write-ahead segments hold, each once. A commit is found twice where a disk failed and the
 * same entries went to a new segment; then both must say the same. What contradicts itself is a problem, and nothing
 * after it counts.
 */
export function replaySegments(segments: readonly FoundSegment[]): Replayed {
  const out: Replayed = { from: 0, entries: [], roots: [] };
  for (const [n, { path, content }] of segments.entries()) {
    for (const commit of content.commits) {
      if (out.entries.length === 0) out.from = commit.firstIndex;
      const end = out.from + out.entries.length;
      if (commit.firstIndex > end || commit.firstIndex < out.from) {
        const problem = `a commit begins with entry ${commit.firstIndex}, expected ${end}`;
        return { ...out, problem: { path, entry: end, problem } };
      }
      for (const [offset, bytes] of commit.entries.entries()) {
        const index = commit.firstIndex + offset;
        const known = out.entries[index - out.from];
        if (known === undefined) out.entries.push({ bytes, path, commitOffsetBytes: commit.offsetBytes });
        else if (!known.bytes.equals(bytes)) {
          const problem = `differs from the same entry in ${known.path}`;
          return { ...out, problem: { path, entry: index, problem } };
        }
      }
      const { offsetBytes } = commit;
      out.roots.push({ size: commit.firstIndex, root: commit.rootBefore, path, offsetBytes });
      const after = commit.firstIndex + commit.entries.length;
      out.roots.push({ size: after, root: commit.rootAfter, path, offsetBytes });
    }
    if (content.problem !== undefined && !wasRepeated(content.commits.length, segments, n)) {
      return { ...out, problem: { path, problem: content.problem } };
    }
  }
  return out;
}

/** What a failing disk left of a commit says nothing when the next segment begins with the very same entries. */
function wasRepeated(commits: number, segments: readonly FoundSegment[], n: number): boolean {
  const broken = segments[n];
  if (broken === undefined) return false;
  const next = segments.slice(n + 1).find(({ content }) => content.commits.length > 0);
  const first = next?.content.commits[0];
  if (first === undefined) return false;
  return commits === 0
    ? n > 0 && first.firstIndex <= lastEnd(segments, n)
    : first.firstIndex === endOf(broken.content);
}

function lastEnd(segments: readonly FoundSegment[], before: number): number {
  let end = 0;
  for (const { content } of segments.slice(0, before)) end = Math.max(end, endOf(content));
  return end;
}
