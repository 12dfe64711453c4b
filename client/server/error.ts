/** What Verbatim answered in place of what was asked for. `code` is one of the table in its documentation. */
export class VerbatimServerError extends Error {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'VerbatimServerError';
    this.status = status;
    this.code = code;
  }
}
