import { errors } from 'mediasoup';
import { VerbatimError } from '#protocol';

/**
 * Runs one request to a media worker and gives its failure a code of ours. mediasoup answers wrong parameters with a
 * TypeError or UnsupportedError; everything else is a failure of the media path.
 */
export async function mediaRequest<T>(doing: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof VerbatimError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof TypeError || error instanceof errors.UnsupportedError) {
      throw new VerbatimError('bad_request', `${doing}: ${reason}`, { cause: error });
    }
    throw new VerbatimError('media_failed', `${doing}: ${reason}`, { cause: error });
  }
}
