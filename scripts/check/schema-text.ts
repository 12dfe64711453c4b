/** The part of JSON Schema (2020-12) that the protocol uses. */
interface Schema {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  patternProperties?: Record<string, Schema>;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
}

/** A schema as a TypeScript-like type, with its bounds as comments. `depth` is the indentation, in steps of two. */
export function typeText(schema: unknown, depth = 0): string {
  const known = schema as Schema;
  if (known.const !== undefined) return `'${String(known.const)}'`;
  if (known.enum) return known.enum.map((one) => `'${String(one)}'`).join(' | ');
  if (known.anyOf) return known.anyOf.map((one) => typeText(one, depth)).join(' | ');
  switch (known.type) {
    case 'object':
      return objectText(known, depth);
    case 'array':
      return `${wrapped(typeText(known.items ?? {}, depth))}[]${bounds(known.minItems, known.maxItems, 'items')}`;
    case 'string':
      return `string${bounds(known.minLength, known.maxLength, 'characters')}`;
    case 'integer':
      return `integer${bounds(known.minimum, known.maximum, '')}`;
    case undefined:
      return 'unknown';
    default:
      return known.type;
  }
}

function objectText(schema: Schema, depth: number): string {
  const [values] = Object.values(schema.patternProperties ?? {});
  if (values) return `Record<string, ${typeText(values, depth)}>`;
  const entries = Object.entries(schema.properties ?? {});
  if (entries.length === 0) return '{}';
  const pad = '  '.repeat(depth + 1);
  const lines = entries.map(([name, value]) => {
    const mark = schema.required?.includes(name) ? '' : '?';
    return `${pad}${name}${mark}: ${typeText(value, depth + 1)};`;
  });
  return `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}`;
}

const wrapped = (text: string): string => (text.includes(' | ') ? `(${text})` : text);

function bounds(least: number | undefined, most: number | undefined, unit: string): string {
  if (least === undefined && most === undefined) return '';
  const range =
    most === undefined
      ? `at least ${least}`
      : least === undefined
        ? `at most ${most}`
        : `${least} to ${most}`;
  return ` /* ${range}${unit === '' ? '' : ` ${unit}`} */`;
}
