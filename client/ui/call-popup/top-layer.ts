import type { Ref } from 'vue';
import { onBeforeUnmount, watch } from 'vue';

/**
 * Shows the box above everything of the page, whatever the page's own layers, transforms and scrolling do, without taking
 * the page out of use. It comes to the front again with each new `what`.
 */
export function useTopLayer(
  box: Readonly<Ref<HTMLElement | null>>,
  shown: () => boolean,
  what: () => unknown,
): void {
  watch(
    [box, shown, what],
    ([element, show], [, showed]) => {
      if (!element?.isConnected) return;
      // What holds the focus must not lose it by being taken out of the layer and put back.
      const focus = element.getRootNode() instanceof ShadowRoot && element.matches(':focus-within');
      if (element.matches(':popover-open') && !(show && showed && focus)) element.hidePopover();
      if (show && !element.matches(':popover-open')) element.showPopover();
    },
    { flush: 'post', immediate: true },
  );
  onBeforeUnmount(() => {
    if (box.value?.matches(':popover-open')) box.value.hidePopover();
  });
}
