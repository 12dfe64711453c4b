import { useHost } from 'vue';
import type { CallMode, CallView, VerbatimClientError } from '../../sdk/index.ts';

/** The DOM events of the elements, with their `detail`. They bubble and cross shadow trees. */
export interface ElementEvents {
  'verbatim-call-started': { call: CallView };
  'verbatim-call-failed': { chatId: string; mode: CallMode; error: VerbatimClientError };
  'verbatim-incoming': { call: CallView };
  'verbatim-call-ended': { call: CallView; error: VerbatimClientError | undefined };
}

/** Sends a DOM event from the element itself; it bubbles, and a page listens to it as to any other. */
export function useHostEvents(): <N extends keyof ElementEvents>(name: N, detail: ElementEvents[N]) => void {
  const host = useHost();
  return (name, detail) => {
    host?.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  };
}
