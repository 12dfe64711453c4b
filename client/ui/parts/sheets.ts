import { useShadowRoot } from 'vue';
import baseCss from '../style/base.css?inline';

/** One sheet for each text, shared by all elements of the page. */
const sheets = new Map<string, CSSStyleSheet>();

/**
 * Gives the element of this component the base sheet and its own. Adopted sheets, because Vue's own way makes `<style>`
 * tags, which a page's `style-src 'self'` refuses.
 */
export function useSheets(...css: readonly string[]): void {
  const root = useShadowRoot();
  if (root) root.adoptedStyleSheets = [baseCss, ...css].map(sheetOf);
}

function sheetOf(css: string): CSSStyleSheet {
  const known = sheets.get(css);
  if (known) return known;
  const made = new CSSStyleSheet();
  made.replaceSync(css);
  sheets.set(css, made);
  return made;
}
