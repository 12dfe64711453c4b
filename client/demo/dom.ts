/** The element with this `data-testid`; the page cannot work without it. */
export function part<T extends HTMLElement = HTMLElement>(
  testid: string,
  type: new () => T = HTMLElement as new () => T,
): T {
  const element = document.querySelector(`[data-testid="${testid}"]`);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} "${testid}"`);
  return element;
}

export function onClick(testid: string, run: () => void | Promise<void>): void {
  part(testid).addEventListener('click', () => void run());
}

/** `mm:ss`, or `h:mm:ss` from an hour on. */
export function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const pad = (n: number): string => String(n).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  const rest = `${pad(minutes % 60)}:${pad(seconds % 60)}`;
  return minutes < 60 ? rest : `${Math.floor(minutes / 60)}:${rest}`;
}

export function fileSize(bytes: number): string {
  return bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
