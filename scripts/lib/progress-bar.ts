const BAR_CHARACTERS = 30;
/** A bar for work that is over at once would only flicker. */
const SHOW_AFTER_MS = 1_000;
const MEBIBYTE = 1024 * 1024;

/** One line at the terminal that is written over; nothing at all where nobody looks. */
export class ProgressBar {
  readonly #out: NodeJS.WriteStream;
  readonly #startedMs = performance.now();
  #shown = false;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  show({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }): void {
    const elapsedMs = performance.now() - this.#startedMs;
    if (!this.#out.isTTY || elapsedMs < SHOW_AFTER_MS) return;
    const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
    const filled = Math.round(share * BAR_CHARACTERS);
    const bar = '#'.repeat(filled).padEnd(BAR_CHARACTERS, '.');
    const left = share > 0 ? Math.ceil((elapsedMs / share - elapsedMs) / 1000) : 0;
    const size = `${Math.floor(doneBytes / MEBIBYTE)} of ${Math.ceil(totalBytes / MEBIBYTE)} MiB`;
    this.#out.write(
      `\r[${bar}] ${String(Math.floor(share * 100)).padStart(3)} %  ${size}  ${left} s left \x1b[K`,
    );
    this.#shown = true;
  }

  /** The line goes. */
  end(): void {
    if (this.#shown) this.#out.write('\r\x1b[K');
    this.#shown = false;
  }
}
