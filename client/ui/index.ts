// ui: call button, call popup and Calls tab as custom elements, for a page of any framework or of none.
// Not here: what a call does (client/sdk); the messenger around the elements (client/demo, or the messenger itself).
// Imported by: client/demo, and messengers, as dist/ui/verbatim-ui.js.
import { defineElements } from './elements.ts';

export { connectVerbatim, useClient } from './state/page-client.ts';
export { setLocale, setTexts } from './texts/locale.ts';
export type { ErrorText, Texts } from './texts/texts.ts';

defineElements();
