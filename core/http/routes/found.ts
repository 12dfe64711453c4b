import { Type } from 'typebox';
import { ExternalId, VerbatimError } from '#protocol';

/** The path of a thing that an app's server keeps here under an id of its own. */
export const idParams = Type.Object({ id: ExternalId });

/** What was looked up. @throws VerbatimError `not_found` when there is none */
export function found<T>(thing: T | undefined): T {
  if (thing === undefined) throw new VerbatimError('not_found');
  return thing;
}
