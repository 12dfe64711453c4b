import { onScopeDispose, watch } from 'vue';
import type { ToneName } from './tones.ts';
import { Ringing } from './tones.ts';

/** Who rings for a client at present: two popups on one page must not ring in two voices. */
const ringing = new WeakMap<object, symbol>();

/** Rings for a client while `tone` names a tone; closed with its scope. */
export function useRinging(client: () => object | undefined, tone: () => ToneName | undefined): void {
  const me = Symbol('popup');
  let playing: { of: object; sound: Ringing } | undefined;
  const stop = (): void => {
    playing?.sound.close();
    if (playing && ringing.get(playing.of) === me) ringing.delete(playing.of);
    playing = undefined;
  };
  watch(
    [client, tone],
    ([of, name]) => {
      stop();
      if (of === undefined || name === undefined || ringing.has(of)) return;
      ringing.set(of, me);
      playing = { of, sound: new Ringing(name) };
    },
    { immediate: true },
  );
  onScopeDispose(stop);
}
