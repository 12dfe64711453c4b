/** Which bytes of a file were handed out, as stretches that neither touch nor overlap; a named number at most. */
export class Spans {
  readonly #most: number;
  /** Rising. */
  #spans: { start: number; end: number }[] = [];

  /** @param most past it the two nearest stretches count as one, with what lies between */
  constructor(most = 256) {
    this.#most = most;
  }

  add(start: number, end: number): void {
    const before = this.#spans.filter((span) => span.end < start);
    const behind = this.#spans.filter((span) => span.start > end);
    const touched = this.#spans.slice(before.length, this.#spans.length - behind.length);
    const one = {
      start: Math.min(start, ...touched.map((span) => span.start)),
      end: Math.max(end, ...touched.map((span) => span.end)),
    };
    this.#spans = [...before, one, ...behind];
    if (this.#spans.length > this.#most) this.#joinNearest();
  }

  get bytes(): number {
    return this.#spans.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  #joinNearest(): void {
    let nearest = 1;
    const gapBefore = (at: number): number =>
      (this.#spans[at]?.start ?? Number.POSITIVE_INFINITY) - (this.#spans[at - 1]?.end ?? 0);
    for (let at = 2; at < this.#spans.length; at += 1) if (gapBefore(at) < gapBefore(nearest)) nearest = at;
    const [left, right] = [this.#spans[nearest - 1], this.#spans[nearest]];
    if (left === undefined || right === undefined) return;
    this.#spans.splice(nearest - 1, 2, { start: left.start, end: right.end });
  }
}
