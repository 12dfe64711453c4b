import type { Ref } from 'vue';
import { onBeforeUnmount, onMounted, watch } from 'vue';
import type { View } from './view.ts';

/**
 * Where the focus goes. Nothing that happens by itself takes it from where a person works: a call that rings is only
 * announced, with the keys that lead to it. Who starts a call gets its controls; who was in the popup stays in it when its
 * content changes; and when it goes, the focus goes back to where it was.
 */
export function usePopupFocus(
  host: HTMLElement | null,
  box: Readonly<Ref<HTMLElement | null>>,
  view: () => View | undefined,
): void {
  let before: HTMLElement | undefined;

  const inside = (): boolean => host !== null && deepActive() !== null && document.activeElement === host;
  const enter = (): void => {
    if (!inside()) before = deepActive() ?? undefined;
    box.value?.focus();
  };
  const onKey = (event: KeyboardEvent): void => {
    // By its place on the keyboard: with Alt, many layouts type another letter there.
    if (!event.altKey || !event.shiftKey || event.ctrlKey || event.metaKey || event.code !== 'KeyC') return;
    if (view() === undefined) return;
    event.preventDefault();
    enter();
  };

  onMounted(() => window.addEventListener('keydown', onKey, { capture: true }));
  onBeforeUnmount(() => window.removeEventListener('keydown', onKey, { capture: true }));

  let wasInside = false;
  watch(
    () => [view()?.kind, view()],
    () => {
      wasInside = inside();
    },
    { flush: 'pre' },
  );
  watch(
    () => view(),
    (now, was) => {
      const startedHere = now?.kind === 'call' && now.call === undefined && was?.kind !== 'call';
      if (now && (startedHere || (wasInside && !inside()))) enter();
      else if (!now && (wasInside || deepActive() === null)) {
        const back = before;
        before = undefined;
        if (back?.isConnected) back.focus();
      }
    },
    { flush: 'post' },
  );
}

/** The element that really has the focus, in whatever shadow tree; null when it is nowhere. */
function deepActive(): HTMLElement | null {
  let active: Element | null = document.activeElement;
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return active instanceof HTMLElement && active !== document.body ? active : null;
}
