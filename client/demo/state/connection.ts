import type { Ref } from 'vue';
import { onScopeDispose, ref } from 'vue';
import type { VerbatimClient } from '../../sdk/index.ts';

export interface Connection {
  state: Ref<VerbatimClient['state']>;
  /** Why it is closed for good. */
  problem: Ref<string>;
}

/** The signaling connection of this page, for the line that says so. */
export function useConnection(client: VerbatimClient): Connection {
  const state = ref(client.state);
  const problem = ref('');
  onScopeDispose(
    client.on('connection', (event) => {
      state.value = event.state;
      problem.value = event.error?.message ?? '';
    }),
  );
  return { state, problem };
}
