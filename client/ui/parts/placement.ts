/** Between the anchor and what hangs on it, and between that and the edge of the window. */
const GAP_PX = 6;
const EDGE_PX = 8;

/**
 * Puts a fixed element below its anchor, with their inner edges in line, or above it where there is no room below; always
 * inside the window. Left and right follow the anchor's writing direction.
 */
export function placeBelow(element: HTMLElement, anchor: HTMLElement): void {
  const { innerWidth, innerHeight } = window;
  const at = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = element;
  const rtl = getComputedStyle(anchor).direction === 'rtl';
  // Towards the middle of the page: the button mostly stands at the end of a header.
  const towardsStart = rtl ? at.left < innerWidth / 2 : at.left > innerWidth / 2;
  const endAligned = rtl ? at.left : at.right - width;
  const startAligned = rtl ? at.right - width : at.left;
  const wanted = towardsStart ? endAligned : startAligned;
  const left = Math.max(EDGE_PX, Math.min(wanted, innerWidth - width - EDGE_PX));
  const below = at.bottom + GAP_PX;
  const above = at.top - GAP_PX - height;
  const top = below + height + EDGE_PX > innerHeight && above >= EDGE_PX ? above : below;
  element.style.left = `${left}px`;
  element.style.top = `${top}px`;
}
