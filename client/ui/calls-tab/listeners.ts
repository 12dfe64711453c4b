import type { ComputedRef, Ref, ShallowRef } from 'vue';
import { computed, onScopeDispose, ref, shallowRef } from 'vue';
import type { AccessEvent, VerbatimClient, VerbatimClientError } from '../../sdk/index.ts';
import { isClientError } from './errors.ts';

/** The same person doing the same thing in a row. */
export interface AccessGroup {
  /** Of the newest. */
  at: string;
  action: AccessEvent['action'];
  actor: AccessEvent['actor'];
  count: number;
}

export interface Listeners {
  groups: ComputedRef<readonly AccessGroup[] | undefined>;
  loading: Ref<boolean>;
  more: ComputedRef<boolean>;
  error: ShallowRef<VerbatimClientError | undefined>;
  /** The next page. */
  load(): Promise<void>;
  /** The first page follows. */
  reset(): void;
}

/** Who listed, played and downloaded a recording (F39), page by page, newest first. */
export function useListeners(client: VerbatimClient, recordingId: string): Listeners {
  const events = shallowRef<readonly AccessEvent[]>();
  const next = ref<string>();
  const loading = ref(false);
  const error = shallowRef<VerbatimClientError>();
  let closed = false;
  onScopeDispose(() => {
    closed = true;
  });
  return {
    groups: computed(() => events.value && grouped(events.value)),
    loading,
    more: computed(() => next.value !== undefined),
    error,
    reset() {
      events.value = undefined;
      next.value = undefined;
      error.value = undefined;
    },
    async load() {
      if (loading.value) return;
      loading.value = true;
      error.value = undefined;
      try {
        const page = await client.accessLog(
          recordingId,
          next.value === undefined ? undefined : { cursor: next.value },
        );
        if (closed) return;
        events.value = [...(events.value ?? []), ...page.events];
        next.value = page.next;
      } catch (failure) {
        if (!isClientError(failure)) throw failure;
        if (!closed) error.value = failure;
      } finally {
        loading.value = false;
      }
    },
  };
}

function grouped(events: readonly AccessEvent[]): AccessGroup[] {
  const groups: AccessGroup[] = [];
  for (const { at, action, actor } of events) {
    const last = groups.at(-1);
    const same =
      last?.action === action && last.actor.kind === actor.kind && last.actor.userId === actor.userId;
    if (last && same) last.count += 1;
    else groups.push({ at, action, actor, count: 1 });
  }
  return groups;
}
