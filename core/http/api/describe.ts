import type { ErrorCode } from '#protocol';
import { ERRORS, problemOf, VerbatimError } from '#protocol';
import { APP_TEXTS } from './app-texts.ts';
import { MESSENGER_TEXTS } from './messenger-texts.ts';
import { RECORDING_TEXTS } from './recording-texts.ts';
import type { RouteText, RouteTexts } from './route-text.ts';
import { commonErrors } from './route-text.ts';
import { TIMELINE_TEXTS } from './timeline-texts.ts';

export const ROUTE_TEXTS: RouteTexts = {
  ...APP_TEXTS,
  ...MESSENGER_TEXTS,
  ...RECORDING_TEXTS,
  ...TIMELINE_TEXTS,
};

interface MediaObject {
  schema?: unknown;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}
interface AnswerObject {
  description?: string;
  content?: Record<string, MediaObject>;
}
interface Operation {
  description?: string;
  parameters?: { name: string; description?: string }[];
  requestBody?: { content?: Record<string, MediaObject> };
  responses?: Record<string, AnswerObject>;
}

const JSON_TYPE = 'application/json';
const PROBLEM_TYPE = 'application/problem+json';

const PARAMETERS: Readonly<Record<string, string>> = {
  id: 'The id of what the path names.',
  kid: 'The id of a key; it is no secret.',
  limit: 'At most so many.',
  cursor: 'The `next` of the page before.',
  locale: 'BCP 47, such as `en` or `pt-BR`.',
  epoch:
    'Which journal of the recording, from 1; a second one is there when a recorder was lost in mid-call.',
  after: 'The last block that the client has the head of.',
  from: 'The smaller size.',
  to: 'The greater size.',
  deliveryId: 'The `id` of a message in the delivery log.',
  grantId: 'Part of an address that a grant gave; the address is used as it is.',
  e: 'Part of that address.',
  k: 'Part of that address.',
  s: 'Part of that address.',
  version: 'Which version of the transcript.',
  side: 'Only of this side of the call.',
  '*': 'The path of a tile, such as `0/x001/234`.',
};

/** Every code that a route may answer with; undefined for a route that is not described here. */
export function declaredErrors(route: {
  method: string;
  url: string;
  auth: string;
  hasBody: boolean;
  hasInput: boolean;
}): readonly ErrorCode[] | undefined {
  const text = ROUTE_TEXTS[`${route.method} ${route.url}`];
  return text && [...new Set([...commonErrors(route), ...text.errors])];
}

/** Puts description, examples and errors into one operation of the OpenAPI object. */
export function describeOperation(operation: object, method: string, url: string, auth: string): void {
  const one = operation as Operation;
  for (const parameter of one.parameters ?? []) parameter.description ??= PARAMETERS[parameter.name] ?? '';
  const text = ROUTE_TEXTS[`${method} ${url}`];
  if (text === undefined) return;
  one.description = text.description;
  const body = one.requestBody?.content?.[JSON_TYPE];
  if (body !== undefined && text.body !== undefined) body.example = text.body;
  one.responses = { ...goodAnswers(one, text), ...errorAnswers(one, method, url, auth) };
}

function goodAnswers(operation: Operation, text: RouteText): Record<string, AnswerObject> {
  const answers = Object.entries(operation.responses ?? {}).filter(([status]) => status !== 'default');
  for (const [status, answer] of answers) {
    if (answer.description === undefined || answer.description === 'Default Response')
      answer.description = status === '204' ? 'Done; there is nothing to tell' : 'The answer';
    const media = answer.content?.[JSON_TYPE];
    if (media !== undefined && text.answer !== undefined && status.startsWith('2'))
      media.example = text.answer;
  }
  return Object.fromEntries(answers);
}

/** One answer for each status, with an example for each of its codes. */
function errorAnswers(
  operation: Operation,
  method: string,
  url: string,
  auth: string,
): Record<string, AnswerObject> {
  const hasBody = operation.requestBody !== undefined;
  const hasInput = (operation.parameters ?? []).length > 0;
  const answers: Record<string, AnswerObject> = {};
  for (const code of declaredErrors({ method, url, auth, hasBody, hasInput }) ?? []) {
    const { status, title } = ERRORS[code];
    const answer = answers[status] ?? {
      description: '',
      content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/ProblemDetails' }, examples: {} } },
    };
    answer.description = [answer.description, `\`${code}\`: ${title}.`].filter(Boolean).join(' ');
    const examples = answer.content?.[PROBLEM_TYPE]?.examples;
    if (examples !== undefined) examples[code] = { value: problemOf(new VerbatimError(code)) };
    answers[status] = answer;
  }
  return answers;
}
