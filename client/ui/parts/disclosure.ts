import type { ShallowRef } from 'vue';
import { onScopeDispose, shallowRef } from 'vue';
import type { Disclosure, VerbatimClient, VerbatimClientError } from '../../sdk/index.ts';

export interface DisclosureText {
  /** The text on the screen: consent is to this one and to no other. */
  shown: ShallowRef<Disclosure | undefined>;
  error: ShallowRef<VerbatimClientError | undefined>;
  load(client: VerbatimClient, locale: string): Promise<void>;
  clear(): void;
}

/** The text that a person has to agree to. An answer that comes after `clear`, or after the scope, is dropped. */
export function useDisclosure(): DisclosureText {
  const shown = shallowRef<Disclosure>();
  const error = shallowRef<VerbatimClientError>();
  let round = 0;
  const clear = (): void => {
    round += 1;
    shown.value = undefined;
    error.value = undefined;
  };
  onScopeDispose(clear);
  return {
    shown,
    error,
    clear,
    async load(client, locale) {
      clear();
      const mine = round;
      try {
        const disclosure = await client.disclosure(locale);
        if (mine === round) shown.value = disclosure;
      } catch (failure) {
        // The SDK rejects with nothing but its own errors.
        if (mine === round) error.value = failure as VerbatimClientError;
      }
    },
  };
}
