import { createHash } from 'node:crypto';
import { VerbatimError } from '#protocol';
import type { DataPaths } from '#store';
import { isErrno, openSealed, readIdentity, readRecipients, sealFile } from '#store';

/** A scanned order of some pages. */
export const MAX_ORDER_BYTES = 20 * 1024 * 1024;

/** Documents of legal orders, sealed like recordings: for the server's identity and the operator's recovery key. */
export class OrderFiles {
  readonly #paths: DataPaths;

  constructor(paths: DataPaths) {
    this.#paths = paths;
  }

  /** Durable on return; replaces one of the same id. @throws VerbatimError `bad_request`, `too_large`; what the disk says */
  async keep(removalId: string, bytes: Uint8Array): Promise<void> {
    await sealFile({
      plaintext: bytes,
      ...this.#paths.order(removalId),
      recipients: await readRecipients(this.#paths.keys),
    });
  }

  /** @throws VerbatimError `not_found`, `corrupt` */
  async read(removalId: string): Promise<Buffer> {
    const identity = await readIdentity(this.#paths.secrets);
    const file = await openSealed({ ...this.#paths.order(removalId), identity });
    try {
      return await file.read(0, file.sizeBytes);
    } finally {
      await file.close();
    }
  }

  /** Hex; undefined when there is no document that can be opened. */
  async sha256(removalId: string): Promise<string | undefined> {
    try {
      return sha256Of(await this.read(removalId));
    } catch (error) {
      if (error instanceof VerbatimError && (error.code === 'not_found' || error.code === 'corrupt'))
        return undefined;
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** @throws VerbatimError `bad_request`, `too_large` */
export function assertOrder(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new VerbatimError('bad_request', 'order: expected a document, got no bytes');
  if (bytes.length > MAX_ORDER_BYTES)
    throw new VerbatimError('too_large', `order: expected at most ${MAX_ORDER_BYTES} bytes`);
}
