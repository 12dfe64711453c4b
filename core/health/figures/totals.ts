type Fields = Readonly<Record<string, number>>;

/**
 * By how much the totals of several processes have grown since the last look. A process that begins anew begins at
 * nothing, and one that is gone takes nothing back, so that their sum only ever grows.
 */
export class Totals {
  #last = new Map<string, Fields>();

  grown(rows: readonly (readonly [string, Fields])[]): Record<string, number> {
    const sums: Record<string, number> = {};
    const now = new Map<string, Fields>();
    for (const [key, fields] of rows) {
      const last = this.#last.get(key) ?? {};
      now.set(key, fields);
      for (const [name, value] of Object.entries(fields)) {
        const before = last[name] ?? 0;
        sums[name] = (sums[name] ?? 0) + (value >= before ? value - before : value);
      }
    }
    this.#last = now;
    return sums;
  }
}
