/** What a report is made of: no fractions, so that there is one way only to write each value. */
export type CanonicalValue =
  | null
  | boolean
  | number
  | string
  | readonly CanonicalValue[]
  | { readonly [key: string]: CanonicalValue | undefined };

/**
 * The one way to write a value as JSON: keys in the order of their UTF-16 code units, nothing between tokens, whole
 * numbers only, keys without a value left out. For such values this is RFC 8785.
 * @throws RangeError for a number that is not a safe integer
 */
export function canonicalJson(value: CanonicalValue): string {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`expected a whole number, got ${value}`);
    return String(value);
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const member = value[key];
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${canonicalJson(member)}`);
  }
  return `{${members.join(',')}}`;
}

/** `Array.isArray` does not tell a read-only list from an object. */
function isList(value: object): value is readonly CanonicalValue[] {
  return Array.isArray(value);
}
