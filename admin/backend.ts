import type { Problem } from '#protocol';

/** The server refused something, in its own words. */
export class Refused extends Error {
  readonly code: string;

  constructor({ code, title, detail }: Pick<Problem, 'title' | 'detail'> & { code: string }) {
    super(detail === title ? title : `${title}: ${detail}`);
    this.name = 'Refused';
    this.code = code;
  }
}

const TIMEOUT_MS = 20_000;

/**
 * Asks the server. The cookie goes along by itself.
 * @throws Refused with the code of the problem; `unreachable` when no answer came
 */
export async function ask<T = undefined>(
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: object,
): Promise<T> {
  const answer = await fetch(path.startsWith('/') ? path : `/admin/api/${path}`, {
    method,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  }).catch(() => undefined);
  if (answer === undefined) {
    throw new Refused({
      code: 'unreachable',
      title: 'The server does not answer',
      detail: 'check that it runs and that this machine reaches it, then try again',
    });
  }
  const told: unknown = answer.status === 204 ? undefined : await answer.json().catch(() => undefined);
  // The health report says 503 when the server is not well, and is an answer all the same.
  if (answer.ok || isHealth(told)) return told as T;
  throw new Refused(problemOf(told, answer.status));
}

function isHealth(told: unknown): boolean {
  return typeof told === 'object' && told !== null && 'checks' in told;
}

function problemOf(told: unknown, status: number): { code: string; title: string; detail: string } {
  const { code, title, detail }: Record<string, unknown> = Object(told);
  if (typeof code === 'string' && typeof title === 'string' && typeof detail === 'string')
    return { code, title, detail };
  return { code: 'internal', title: `The server answered ${status}`, detail: 'look into its log' };
}

/** What went wrong, for a person. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? `${error.message}.`.replace(/([.!?])\.$/, '$1') : String(error);
}
