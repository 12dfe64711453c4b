import type { ComputedRef } from 'vue';
import { computed, shallowRef } from 'vue';
import type { ClientOptions } from '../../sdk/index.ts';
import { VerbatimClient } from '../../sdk/index.ts';
import type { CallState } from './call-state.ts';
import { callStateOf } from './call-state.ts';

/** The client that every element uses that was not given one of its own. */
const pageClient = shallowRef<VerbatimClient>();

/**
 * Makes the page's client and connects it: all elements use it. Why it cannot connect is what the elements show, and
 * what the client's `connection` event tells; `connect()` of the client, asked again, rejects with it.
 */
export function connectVerbatim(options: ClientOptions): VerbatimClient {
  const client = new VerbatimClient(options);
  useClient(client);
  client.connect().catch(() => {});
  return client;
}

/** Lets all elements use a client that the page made and connects itself; undefined takes it away again. */
export function useClient(client: VerbatimClient | undefined): void {
  pageClient.value = client;
}

/** The state that an element shows: of its own client, else of the page's. */
export function useCallState(props: {
  readonly client?: VerbatimClient | undefined;
}): ComputedRef<CallState | undefined> {
  return computed(() => {
    const client = props.client ?? pageClient.value;
    return client && callStateOf(client);
  });
}
