import type { ComputedRef, Ref, ShallowRef } from 'vue';
import { computed, onScopeDispose, ref, shallowRef } from 'vue';
import type { Recording } from '../../sdk/index.ts';

/** What a messenger's own `loadTimeline` gives; what the server gives has this shape, too. Times are ms from the beginning. */
export interface SuppliedTimeline {
  segments: readonly {
    side: 'caller' | 'callee';
    startMs?: number;
    endMs?: number;
    text: string;
  }[];
  messages: readonly {
    atMs?: number;
    side?: 'caller' | 'callee';
    name?: string;
    text: string;
  }[];
}

export type LoadTimeline = (recording: Recording) => Promise<SuppliedTimeline>;

/** One line: something said, or a message. */
export interface TimelineItem {
  kind: 'speech' | 'message';
  side?: 'caller' | 'callee';
  name?: string;
  text: string;
  /** Absent without timing data. */
  atMs?: number;
  /** Speech is over then; without it, when the next begins. */
  endMs?: number;
}

export interface TimelineState {
  /** In the order of time, what has none last; undefined before the answer. */
  items: ShallowRef<readonly TimelineItem[] | undefined>;
  failed: Ref<boolean>;
  /** What is heard or was written last at this position; -1 before the first. */
  current: ComputedRef<number>;
  load(): Promise<void>;
}

/** Transcript and messages in step with a position (F27). */
export function useTimeline(deps: {
  recording: () => Recording;
  load: () => LoadTimeline;
  positionMs: Ref<number>;
}): TimelineState {
  const items = shallowRef<readonly TimelineItem[]>();
  const failed = ref(false);
  let closed = false;
  onScopeDispose(() => {
    closed = true;
  });
  const times = computed(() => (items.value ?? []).flatMap(({ atMs }) => (atMs === undefined ? [] : [atMs])));
  return {
    items,
    failed,
    current: computed(() => lastAtOrBefore(times.value, deps.positionMs.value)),
    async load() {
      failed.value = false;
      items.value = undefined;
      try {
        const supplied = await deps.load()(deps.recording());
        if (!closed) items.value = inOrder(supplied);
      } catch (error) {
        if (closed) return;
        failed.value = true;
        // The messenger's own function may fail with anything: its author finds it here.
        console.warn('verbatim-calls-tab: loadTimeline failed', error);
      }
    },
  };
}

/** The index of the last of these ascending times that is not after `ms`, or -1. */
export function lastAtOrBefore(times: readonly number[], ms: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? Number.POSITIVE_INFINITY) <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function inOrder({ segments, messages }: SuppliedTimeline): TimelineItem[] {
  const items: TimelineItem[] = [
    ...segments.map(({ side, startMs, endMs, text }) => ({
      kind: 'speech' as const,
      side,
      text,
      ...timed(startMs),
      ...(timeOf(endMs) === undefined ? {} : { endMs: timeOf(endMs) ?? 0 }),
    })),
    ...messages.map(({ atMs, side, name, text }) => ({
      kind: 'message' as const,
      text,
      ...(side === undefined ? {} : { side }),
      ...(name === undefined ? {} : { name }),
      ...timed(atMs),
    })),
  ];
  const last = Number.MAX_SAFE_INTEGER;
  return items.sort((a, b) => (a.atMs ?? last) - (b.atMs ?? last));
}

function timed(ms: number | undefined): { atMs?: number } {
  const at = timeOf(ms);
  return at === undefined ? {} : { atMs: at };
}

/** What a messenger hands over may be anything. */
function timeOf(ms: number | undefined): number | undefined {
  return typeof ms === 'number' && Number.isFinite(ms) ? ms : undefined;
}
