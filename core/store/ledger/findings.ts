/** One thing that is wrong with a log. */
export interface LedgerFinding {
  /** Relative to the data folder, or the absolute path of a file outside it. */
  file: string;
  /** Number of the entry, from 0, where it is one entry's fault. */
  entry?: number;
  problem: string;
}

/** More is only counted: a log that was overwritten as a whole would name each of its entries. */
export const MAX_FINDINGS = 1000;

export class Findings {
  readonly list: LedgerFinding[] = [];
  count = 0;

  add(file: string, problem: string, entry?: number): void {
    this.count += 1;
    if (this.list.length >= MAX_FINDINGS) return;
    this.list.push(entry === undefined ? { file, problem } : { file, entry, problem });
  }

  get first(): LedgerFinding | undefined {
    return this.list[0];
  }
}

/** One sentence: the file, the entry, what is wrong. */
export function findingText({ file, entry, problem }: LedgerFinding): string {
  return entry === undefined ? `${file}: ${problem}` : `${file}, entry ${entry}: ${problem}`;
}
