import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { VerbatimError } from '#protocol';

/** More would only repeat the first ones in other words. */
const MAX_SHOWN_ERRORS = 3;
const MAX_SHOWN_KEYS = 5;

interface SchemaError {
  keyword: string;
  schemaPath: string;
  instancePath: string;
  params: object;
  message: string;
}

/**
 * Compiles the TypeBox schemas of routes. Nothing is removed or corrected: an unknown key is an error. Only the
 * query and the path, which are text, are converted to the numbers that their schemas ask for. An absent body counts as `{}`.
 */
export const compileSchema: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  return (given: unknown) => {
    const value = takenValue(schema, httpPart, given);
    if (validator.Check(value)) return { value };
    const list = overlongList(schema, value);
    if (list !== undefined) return { error: new InvalidInput(httpPart ?? 'request', [list]) };
    return { error: new InvalidInput(httpPart ?? 'request', validator.Errors(value)) };
  };
};

/** What the compiled schemas answer; the framework hands it on as it is. */
export class InvalidInput extends Error {
  readonly errors: readonly SchemaError[];
  readonly part: string;

  constructor(part: string, errors: readonly SchemaError[]) {
    super('the request does not fit its schema');
    this.part = part;
    this.errors = errors;
  }
}

/** The path of each wrong value and what was expected there. The value itself is not repeated: it may be secret. */
export function validationErrorOf(error: InvalidInput): VerbatimError {
  const lines = new Set<string>();
  for (const one of error.errors) {
    // Its parent says the same with the name of the key; and the choices of a union follow as `const`.
    if (one.schemaPath.endsWith('/additionalProperties') || one.keyword === 'anyOf') continue;
    lines.add(`${error.part}${one.instancePath.slice(0, 200)}: ${messageOf(one)}`);
    if (lines.size === MAX_SHOWN_ERRORS) break;
  }
  return new VerbatimError('bad_request', [...lines].join('; '));
}

function takenValue(schema: TSchema, part: string | undefined, given: unknown): unknown {
  // The framework hands an absent body over as null.
  if (part === 'body') return given ?? {};
  return part === 'querystring' || part === 'params' ? withNumbers(schema, given) : given;
}

/** Query and path are text: plain decimal digits become a number where the schema asks for an integer. Nothing else does. */
function withNumbers(schema: TSchema, query: unknown): unknown {
  if (!Type.IsObject(schema) || typeof query !== 'object' || query === null) return query;
  const converted = Object.entries(query).map(([name, text]): [string, unknown] => {
    const member = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    const isCount = Type.IsInteger(member) && typeof text === 'string' && /^(0|[1-9]\d{0,8})$/.test(text);
    return [name, isCount ? Number(text) : text];
  });
  return Object.fromEntries(converted);
}

/**
 * The list among the members of a body that has more items than its schema allows. It is looked for first because
 * the search for errors goes through every item of it, however many there are.
 */
function overlongList(schema: TSchema, value: unknown): SchemaError | undefined {
  if (!Type.IsObject(schema) || typeof value !== 'object' || value === null) return undefined;
  for (const [name, list] of Object.entries(value)) {
    const member = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    const max =
      member !== undefined && 'maxItems' in member ? Number(member.maxItems) : Number.POSITIVE_INFINITY;
    if (!Array.isArray(list) || list.length <= max) continue;
    const message = `expected at most ${max} items, got ${list.length}`;
    return {
      keyword: 'maxItems',
      schemaPath: `#/properties/${name}`,
      instancePath: `/${name}`,
      params: {},
      message,
    };
  }
  return undefined;
}

function messageOf({ keyword, params, message }: SchemaError): string {
  if (keyword === 'const' && 'allowedValue' in params)
    return `must be ${JSON.stringify(params.allowedValue)}`;
  if (keyword === 'additionalProperties' && 'additionalProperties' in params) {
    const keys = params.additionalProperties;
    const named = Array.isArray(keys) ? keys.slice(0, MAX_SHOWN_KEYS).join(', ').slice(0, 200) : '';
    return `unknown key ${named}`;
  }
  return message;
}
