/**
 * Packet buffers of the writers, in four sizes. A call of ordinary speech settles at 16 KiB; only a fuller one
 * grows to 32 KiB, so a thousand writers stay far below 0.1 MB each.
 */
const SIZES = [4096, 8192, 16384, 32768];
/** Free buffers kept of each size. */
const MAX_FREE = 64;

export class BufferPool {
  readonly #free = new Map<number, Buffer[]>(SIZES.map((size) => [size, []]));

  /** At least `bytes` long; the content is arbitrary. */
  take(bytes: number): Buffer {
    const size = SIZES.find((candidate) => candidate >= bytes);
    return (
      (size === undefined ? undefined : this.#free.get(size)?.pop()) ?? Buffer.allocUnsafeSlow(size ?? bytes)
    );
  }

  /** Gives back a buffer that nobody uses any more; sizes that are not ours are left to the collector. */
  give(buffer: Buffer): void {
    const free = this.#free.get(buffer.length);
    // A slice of something larger can have one of our lengths by chance.
    if (free !== undefined && free.length < MAX_FREE && buffer.buffer.byteLength === buffer.length) {
      free.push(buffer);
    }
  }
}
