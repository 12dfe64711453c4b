import type { Ref } from 'vue';
import { nextTick, onBeforeUnmount, onMounted, watch } from 'vue';
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
  /** Of one view, what else changes its content. */
  form: () => unknown,
): void {
  let before: HTMLElement | undefined;

  // Not `:focus-within`, which Chromium does not give a host whose focus lies in its shadow tree.
  const inside = (): boolean => Boolean(host?.shadowRoot?.activeElement);
  const enter = (from: HTMLElement | undefined): void => {
    if (from) before = from;
    box.value?.focus();
  };
  const onKey = (event: KeyboardEvent): void => {
    // By its place on the keyboard: with Alt, many layouts type another letter there.
    if (!event.altKey || !event.shiftKey || event.ctrlKey || event.metaKey || event.code !== 'KeyC') return;
    if (view() === undefined) return;
    event.preventDefault();
    enter(inside() ? undefined : deepActive());
  };
  onMounted(() => window.addEventListener('keydown', onKey, { capture: true }));
  onBeforeUnmount(() => window.removeEventListener('keydown', onKey, { capture: true }));

  // Before the page is changed: what has the focus then may be gone or disabled afterwards.
  watch(
    [view, form] as const,
    async ([now], [was]) => {
      const wasInside = inside();
      const outside = wasInside ? undefined : deepActive();
      const startedHere = now?.kind === 'call' && now.call === undefined && was?.kind !== 'call';
      await nextTick();
      if (now) {
        if (startedHere || (wasInside && !inside())) enter(outside);
      } else if (wasInside) {
        const back = before;
        before = undefined;
        if (back?.isConnected) back.focus();
      }
    },
    { flush: 'pre' },
  );
}

/** The element that really has the focus, in whatever shadow tree; undefined when it is nowhere. */
function deepActive(): HTMLElement | undefined {
  let active: Element | null = document.activeElement;
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return active instanceof HTMLElement && active !== document.body ? active : undefined;
}
