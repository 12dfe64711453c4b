import type { Ref } from 'vue';
import { onBeforeUnmount, watch } from 'vue';

/**
 * Shows the box above everything of the page, whatever the page's own layers, transforms and scrolling do, without taking
 * the page out of use. It comes to the front again with each new `what`; undefined hides it.
 */
export function useTopLayer(box: Readonly<Ref<HTMLElement | null>>, what: () => unknown): void {
  watch(
    [box, what],
    ([element, now]) => {
      if (!element?.isConnected) return;
      const open = element.matches(':popover-open');
      // Taken out of the layer and put back it would lose the focus.
      const again = open && now !== undefined && !holdsFocus(element);
      if (open && (now === undefined || again)) element.hidePopover();
      if (now !== undefined && (again || !open)) element.showPopover();
    },
    { flush: 'post', immediate: true },
  );
  onBeforeUnmount(() => {
    if (box.value?.matches(':popover-open')) box.value.hidePopover();
  });
}

function holdsFocus(element: HTMLElement): boolean {
  const root = element.getRootNode();
  return root instanceof ShadowRoot && element.contains(root.activeElement);
}
