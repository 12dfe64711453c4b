import type { ComputedRef } from 'vue';
import { computed, shallowRef, triggerRef } from 'vue';
import { de } from './de.ts';
import { en } from './en.ts';
import { es } from './es.ts';
import type { PartialTexts, Texts } from './texts.ts';
import { zh } from './zh.ts';

/** Base language to texts; `setTexts` adds to it. */
const known = shallowRef(new Map<string, Texts>(Object.entries({ en, de, es, zh })));
const pageLocale = shallowRef<string>();

/** The language of all elements that have no `locale` of their own; undefined: the page's, then the browser's. */
export function setLocale(locale: string | undefined): void {
  pageLocale.value = locale;
}

/**
 * Replaces some or all texts of a language (`de`, or `de-CH` for that region only), or adds a language: what is not
 * given stays as it is, and is English in a language that was not there before.
 */
export function setTexts(locale: string, texts: PartialTexts): void {
  known.value.set(locale.toLowerCase(), merged(textsOf(locale), texts));
  triggerRef(known);
}

/** The texts of the first of these languages that is known, by its full name or its base; English otherwise. */
export function textsOf(...locales: readonly (string | undefined)[]): Texts {
  const key = keyOf(locales);
  return (key === undefined ? undefined : known.value.get(key)) ?? en;
}

export interface Words {
  texts: Texts;
  /** BCP 47, for dates and for the disclosure text. */
  locale: string;
  /** The language that the texts are in, for `lang`. */
  lang: string;
}

/** The texts for an element: its own `locale`, else the page's choice, else the document's language, else the browser's. */
export function useWords(props: { readonly locale?: string | undefined }): ComputedRef<Words> {
  return computed(() => {
    const wished = [props.locale, pageLocale.value, document.documentElement.lang, ...navigator.languages];
    const locales = wished.filter((locale) => locale !== undefined && locale !== '');
    const lang = keyOf(locales) ?? 'en';
    const locale = locales.find((wish) => wish?.toLowerCase().split('-')[0] === lang.split('-')[0]) ?? 'en';
    return { texts: textsOf(...locales), locale, lang };
  });
}

/** Puts values into the braces of a text. */
export function fill(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (braces, name: string) => values[name] ?? braces);
}

function keyOf(locales: readonly (string | undefined)[]): string | undefined {
  for (const locale of locales) {
    const full = locale?.toLowerCase();
    const base = full?.split('-')[0];
    for (const key of [full, base]) if (key !== undefined && known.value.has(key)) return key;
  }
  return undefined;
}

/** A copy of `base` in which everything that `changes` names is replaced. */
function merged<T extends object>(base: T, changes: object): T {
  const result: Record<string, unknown> = Object.fromEntries(Object.entries(base));
  for (const [key, value] of Object.entries(changes)) {
    const before = result[key];
    result[key] = isGroup(before) && isGroup(value) ? merged(before, value) : (value ?? before);
  }
  // Every key of `base` is there, with a value of its own kind.
  return result as T;
}

function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
