import type { TSchema } from 'typebox';
import type { Validator } from 'typebox/compile';
import { Compile } from 'typebox/compile';
import type { Method, Params } from '#protocol';
import { METHODS, VerbatimError } from '#protocol';

type ValidationError = ReturnType<Validator['Errors']>[number];

/** One error is enough to act on; the rest of the list would only repeat it in other words. */
const MAX_SHOWN_ERRORS = 3;

const VALIDATORS = new Map<string, Validator>(
  Object.entries(METHODS).map(([name, shape]) => [name, Compile<TSchema>(shape.params)]),
);

export function isMethod(name: string): name is Method {
  return VALIDATORS.has(name);
}

/**
 * Checks parameters against the schema of their method.
 * @throws VerbatimError `bad_request`, naming the path of each offending value; the value itself is never
 * repeated, since it may be a token.
 */
export function validateParams<M extends Method>(method: M, params: unknown): Params<M> {
  const validator = VALIDATORS.get(method);
  if (validator === undefined)
    throw new VerbatimError('unknown_method', `there is no method "${method.slice(0, 64)}"`);
  // The validator was compiled from exactly this method's schema.
  if (validator.Check(params)) return params as Params<M>;
  const lines: string[] = [];
  for (const error of validator.Errors(params)) {
    // Its parent says the same with the name of the key.
    if (error.schemaPath.endsWith('/additionalProperties') || error.keyword === 'anyOf') continue;
    lines.push(`params${error.instancePath.replaceAll('/', '.')} ${messageOf(error)}`);
    if (lines.length === MAX_SHOWN_ERRORS) break;
  }
  throw new VerbatimError('bad_request', `${method}: ${lines.join('; ')}`);
}

function messageOf(error: ValidationError): string {
  if (error.keyword === 'const') return `must be ${JSON.stringify(error.params.allowedValue)}`;
  if (error.keyword === 'additionalProperties') {
    return `${error.message}: ${error.params.additionalProperties.join(', ').slice(0, 200)}`;
  }
  return error.message;
}
