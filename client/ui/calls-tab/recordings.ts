import type { ShallowRef } from 'vue';
import { onScopeDispose, ref, shallowRef, watch } from 'vue';
import type { Recording, VerbatimClient, VerbatimClientError } from '../../sdk/index.ts';
import { isClientError } from './errors.ts';

/** Rows of one page. */
const PAGE_SIZE = 20;

export interface RecordingList {
  /** Newest first; undefined before the first answer. */
  recordings: ShallowRef<readonly Recording[] | undefined>;
  /** A request for a page runs. */
  loading: Readonly<ShallowRef<boolean>>;
  /** Why the last page did not come. */
  error: ShallowRef<VerbatimClientError | undefined>;
  /** Older ones are to be had. */
  more: Readonly<ShallowRef<boolean>>;
  /** The recording that changed last, to be told to those who do not see it. */
  changed: ShallowRef<Recording | undefined>;
  loadMore(): Promise<void>;
  reload(): Promise<void>;
}

/**
 * The secure calls of a chat as the server lists them, and their changes as they happen. Another client or chat begins
 * anew; an answer that comes after that, or after the scope, is dropped.
 */
export function useRecordings(
  source: () => { client: VerbatimClient | undefined; chatId: string | undefined; online: boolean },
): RecordingList {
  const recordings = shallowRef<readonly Recording[]>();
  const loading = ref(false);
  const error = shallowRef<VerbatimClientError>();
  const more = ref(false);
  const changed = shallowRef<Recording>();
  let next: string | undefined;
  let round = 0;
  let off: (() => void) | undefined;

  async function load(cursor: string | undefined): Promise<void> {
    const { client, chatId } = source();
    if (client === undefined || chatId === undefined || loading.value) return;
    const mine = round;
    loading.value = true;
    error.value = undefined;
    try {
      const page = await client.listRecordings(chatId, {
        limit: PAGE_SIZE,
        ...(cursor === undefined ? {} : { cursor }),
      });
      if (mine !== round) return;
      const known = recordings.value ?? [];
      recordings.value = merged(known, page.recordings);
      // A first page that is loaded again says nothing of what follows the last row.
      if (cursor !== undefined || known.length === 0) {
        next = page.next;
        more.value = next !== undefined;
      }
    } catch (failure) {
      if (!isClientError(failure)) throw failure;
      if (mine === round) error.value = failure;
    } finally {
      if (mine === round) loading.value = false;
    }
  }

  /** The event tells the state alone; the row shows more than that. */
  async function refresh(client: VerbatimClient, recordingId: string): Promise<void> {
    const mine = round;
    try {
      const recording = await client.getRecording(recordingId);
      if (mine !== round || recording.mode !== 'secure') return;
      recordings.value = merged(recordings.value ?? [], [recording]);
      changed.value = recording;
    } catch (failure) {
      // The list is loaded again when the connection is back.
      if (!isClientError(failure)) throw failure;
    }
  }

  function begin(client: VerbatimClient | undefined, chatId: string | undefined): void {
    off?.();
    off = undefined;
    round += 1;
    recordings.value = undefined;
    error.value = undefined;
    changed.value = undefined;
    loading.value = false;
    more.value = false;
    next = undefined;
    if (client === undefined || chatId === undefined) return;
    off = client.on('recording', (change) => {
      if (change.chatId === chatId) void refresh(client, change.recordingId);
    });
  }

  watch(
    () => [source().client, source().chatId, source().online] as const,
    ([client, chatId, online], before) => {
      if (client !== before?.[0] || chatId !== before?.[1]) begin(client, chatId);
      if (online) void load(undefined);
    },
    { immediate: true },
  );
  onScopeDispose(() => begin(undefined, undefined));

  return {
    recordings,
    loading,
    error,
    more,
    changed,
    loadMore: async () => {
      if (next !== undefined) await load(next);
    },
    reload: () => load(recordings.value === undefined ? undefined : next),
  };
}

/** Both lists as one, newest first; of the same recording the newer word counts. */
function merged(known: readonly Recording[], news: readonly Recording[]): Recording[] {
  const all = new Map(known.map((recording) => [recording.id, recording]));
  for (const recording of news) all.set(recording.id, recording);
  return [...all.values()].sort((a, b) => b.startedAt.localeCompare(a.startedAt) || b.id.localeCompare(a.id));
}
