import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { ERRORS, ProblemDetails } from '#protocol';
import { declaredErrors } from './api/describe.ts';

/**
 * Holds every answer of a test's server against what the description of the interface declares for its status. Answers
 * of pages and of the demo are not part of it, nor is what no route answers.
 * @returns what did not fit, so far
 */
export function watchAnswers(app: Pick<FastifyInstance, 'addHook'>): readonly string[] {
  const faults: string[] = [];
  app.addHook('onSend', async (request, reply, payload) => {
    const fault = faultOf(request, reply, payload);
    if (fault !== undefined)
      faults.push(`${request.method} ${request.routeOptions.url} answered ${reply.statusCode}: ${fault}`);
    return payload;
  });
  return faults;
}

function faultOf(request: FastifyRequest, reply: FastifyReply, payload: unknown): string | undefined {
  const { schema, config, url = '' } = request.routeOptions;
  if (request.is404 || schema?.tags === undefined) return undefined;
  const { statusCode } = reply;
  if (statusCode >= 400 && isProblem(reply)) {
    const route = {
      method: request.method,
      url,
      auth: String(config.auth),
      hasBody: schema.body !== undefined,
      hasInput: schema.params !== undefined || schema.querystring !== undefined,
    };
    return problemFault(payload, statusCode, declaredErrors(route));
  }
  const declared = declaredFor(schema.response, statusCode);
  if (declared === undefined) return 'the status is not declared';
  if (request.method === 'HEAD') return undefined;
  return bodyFault(reply, payload, declared);
}

function isProblem(reply: FastifyReply): boolean {
  return String(reply.getHeader('content-type')).startsWith('application/problem+json');
}

function problemFault(
  payload: unknown,
  status: number,
  declared: readonly string[] | undefined,
): string | undefined {
  const body: unknown = JSON.parse(String(payload));
  if (!Check(ProblemDetails, body)) return 'the body is no problem';
  const row = Object.entries(ERRORS).find(([code]) => code === body.code)?.[1];
  if (row?.status !== status || body.status !== status) return `the code ${body.code} has another status`;
  // A route that says nothing of its errors answers any of the table.
  if (declared !== undefined && !declared.includes(body.code)) return `the code ${body.code} is not declared`;
  return undefined;
}

function declaredFor(response: unknown, status: number): object | undefined {
  const found: unknown = Object.entries(Object(response)).find(([name]) => name === String(status))?.[1];
  return typeof found === 'object' && found !== null ? found : undefined;
}

function bodyFault(reply: FastifyReply, payload: unknown, declared: object): string | undefined {
  if ('content' in declared) {
    const type = String(reply.getHeader('content-type')).split(';', 1)[0] ?? '';
    const known = Object.keys(Object(declared.content));
    if (!known.includes(type)) return `the type ${type} is not declared`;
    return type === 'application/json'
      ? jsonFault(payload, Object(declared.content)[type].schema)
      : undefined;
  }
  if (reply.statusCode === 204 || reply.statusCode === 304)
    // The framework sends no body with these, whatever was written for it.
    return undefined;
  return jsonFault(payload, declared as TSchema);
}

function jsonFault(payload: unknown, schema: TSchema): string | undefined {
  return Check(schema, JSON.parse(String(payload))) ? undefined : 'the body does not fit its schema';
}
