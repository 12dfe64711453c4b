import { VerbatimClientError } from '../../sdk/index.ts';

/** The SDK rejects with nothing but its own errors; everything else is a fault of this code, or of the page's. */
export function isClientError(error: unknown): error is VerbatimClientError {
  return error instanceof VerbatimClientError;
}
