import { Type } from 'typebox';

/** Ids that a messenger chooses (users, chats): 1-128 characters of a URL- and log-safe alphabet. */
export const ExternalId = Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z0-9._~@:+-]+$' });

/** Ids that Verbatim chooses (calls, recordings, grants): UUID version 4 or 7, lower case (RFC 9562). */
export const Uuid = Type.String({
  pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
});

/** The two sides of a call. The caller is always on the left channel of a recording. */
export const Side = Type.Union([Type.Literal('caller'), Type.Literal('callee')]);
export type Side = Type.Static<typeof Side>;

/** The leg number of a side in a journal: the caller is 0, the callee is 1 (formats, journal DATA records). */
export const LEG_OF_SIDE: Readonly<Record<Side, 0 | 1>> = { caller: 0, callee: 1 };

/** The mode of a call, chosen at its start and fixed for its whole life (F1). */
export const CallMode = Type.Union([Type.Literal('voice'), Type.Literal('secure')]);
export type CallMode = Type.Static<typeof CallMode>;
