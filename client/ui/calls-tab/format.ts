import type { Recording } from '../../sdk/index.ts';
import { wholeSeconds } from '../state/clock.ts';

const KILOBYTE = 1_000;
const MEGABYTE = 1_000_000;

/** Date and time of the end of a call, or of its beginning while it lasts. */
export function dateOf({ endedAt, startedAt }: Recording, locale: string): string {
  return timeText(endedAt ?? startedAt, locale);
}

/** Making one takes longer than formatting a whole page of rows. */
const formatters = new Map<string, Intl.DateTimeFormat>();

/** A moment, as the rows show it. `at` is ISO 8601. */
export function timeText(at: string, locale: string): string {
  const known = formatters.get(locale);
  const made = known ?? new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' });
  formatters.set(locale, made);
  return made.format(new Date(at));
}

/** `12 min 5 sec`, in the language's own words. */
export function durationText(ms: number, locale: string): string {
  const seconds = wholeSeconds(ms);
  const parts: [number, string][] = [
    [Math.floor(seconds / 3_600), 'hour'],
    [Math.floor(seconds / 60) % 60, 'minute'],
    [seconds % 60, 'second'],
  ];
  const shown = parts.filter(([value]) => value > 0);
  return (shown.length > 0 ? shown : parts.slice(-1))
    .map(([value, unit]) => measure(value, unit, locale, 0))
    .join(' ');
}

/** In thousands of bytes, as file managers of phones and of macOS count. */
export function sizeText(bytes: number, locale: string): string {
  if (bytes < MEGABYTE) return measure(Math.max(1, Math.round(bytes / KILOBYTE)), 'kilobyte', locale, 0);
  return measure(bytes / MEGABYTE, 'megabyte', locale, 1);
}

/** `audio/webm; codecs=opus` as people call it: `WebM, Opus`. */
export function formatText(type: string): string {
  const [container = '', codecs = ''] = type.split(';');
  const name = container.split('/')[1]?.trim() ?? container;
  const codec = /codecs="?([\w.]+)/.exec(codecs)?.[1];
  const shownName = name === 'webm' ? 'WebM' : name.toUpperCase();
  return codec === undefined ? shownName : `${shownName}, ${codec.charAt(0).toUpperCase()}${codec.slice(1)}`;
}

/** `m:ss`, or `h:mm:ss` from an hour on. */
export function clockText(ms: number): string {
  const seconds = wholeSeconds(ms);
  const two = (value: number): string => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function measure(value: number, unit: string, locale: string, maximumFractionDigits: number): string {
  return new Intl.NumberFormat(locale, {
    style: 'unit',
    unit,
    unitDisplay: 'short',
    maximumFractionDigits,
  }).format(value);
}
