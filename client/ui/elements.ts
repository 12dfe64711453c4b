import { defineCustomElement } from 'vue';
import CallButton from './call-button/call-button.vue';
import CallPopup from './call-popup/call-popup.vue';
import CallsTab from './calls-tab/calls-tab.vue';

/** Their styles are adopted by the components: see parts/sheets.ts. */
const ELEMENTS: Readonly<Record<string, () => CustomElementConstructor>> = {
  'verbatim-call-button': () => defineCustomElement(CallButton),
  'verbatim-call-popup': () => defineCustomElement(CallPopup),
  'verbatim-calls-tab': () => defineCustomElement(CallsTab),
};

/** Defines the elements; a tag that is defined already stays as it is, so a page may load the module twice. */
export function defineElements(): void {
  for (const [tag, made] of Object.entries(ELEMENTS)) {
    if (!customElements.get(tag)) customElements.define(tag, made());
  }
}
