/** Something that should be a part of a log is not: `problem` says what was expected and what came. */
export class LedgerError extends Error {
  readonly problem: string;

  constructor(problem: string, options?: { cause?: unknown }) {
    super(problem, options);
    this.name = 'LedgerError';
    this.problem = problem;
  }
}
