const FORM = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/** A time of the server, in the reader's zone and manner. */
export function timeText(iso: string): string {
  return FORM.format(new Date(iso));
}
