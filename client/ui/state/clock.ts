/**
 * The one rule of every duration and position: a second counts when it is over. So the timer of a call, its card, the
 * list and the player never show two numbers for one time.
 */
export function wholeSeconds(ms: number): number {
  return Math.max(0, Math.floor(ms / 1_000));
}

/** `mm:ss`, and `h:mm:ss` from an hour on. */
export function clock(seconds: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  const rest = two(seconds % 60);
  return minutes < 60
    ? `${two(minutes)}:${rest}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
}
