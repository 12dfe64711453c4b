/** What a request's `Range` means for a file of a known size. Both ends are inclusive, as in RFC 9110 §14. */
export type RangeAnswer =
  | { kind: 'whole' }
  | { kind: 'part'; firstByte: number; lastByte: number }
  | { kind: 'unsatisfiable' };

const INT_RANGE = /^(\d{1,15})-(\d{1,15})?$/;
const SUFFIX_RANGE = /^-(\d{1,15})$/;
/** A longer header is not a single range. */
const MAX_HEADER_LENGTH = 64;

/**
 * Reads a `Range` header (RFC 9110 §14.2). One range of bytes is served. A header that is malformed, has another
 * unit or asks for several ranges is passed over, which the RFC allows: the answer is then the whole file.
 * @param sizeBytes of the file, greater than zero
 */
export function answerRange(header: string | undefined, sizeBytes: number): RangeAnswer {
  if (header === undefined || header.length > MAX_HEADER_LENGTH) return { kind: 'whole' };
  const set = /^bytes=[ \t]*(.*?)[ \t]*$/i.exec(header)?.[1];
  if (set === undefined) return { kind: 'whole' };

  const suffix = SUFFIX_RANGE.exec(set)?.[1];
  if (suffix !== undefined) {
    const length = Number(suffix);
    if (length === 0) return { kind: 'unsatisfiable' };
    return { kind: 'part', firstByte: Math.max(0, sizeBytes - length), lastByte: sizeBytes - 1 };
  }

  const [, first, last] = INT_RANGE.exec(set) ?? [];
  if (first === undefined) return { kind: 'whole' };
  const firstByte = Number(first);
  const lastByte = last === undefined ? sizeBytes - 1 : Number(last);
  if (last !== undefined && lastByte < firstByte) return { kind: 'whole' };
  if (firstByte >= sizeBytes) return { kind: 'unsatisfiable' };
  return { kind: 'part', firstByte, lastByte: Math.min(lastByte, sizeBytes - 1) };
}
