import type { FastifySchema } from 'fastify';
import Fastify from 'fastify';
import type { Test } from 'tap';
import t from 'tap';
import Type from 'typebox';
import { Check, Errors } from 'typebox/value';
import { ERRORS } from '#protocol';
import { testDatabase } from '../db/fixture.ts';
import { ROUTE_TEXTS } from './api/describe.ts';
import { httpFixture } from './fixture.ts';
import { watchAnswers } from './testing.ts';

const db = await testDatabase(t);
const { http } = await httpFixture(t, db);
const spec = (await http.inject('/v1/openapi.json')).json();

interface Media {
  schema?: object;
  example?: unknown;
  examples?: Record<string, { value: { code: string; status: number } }>;
}
interface Operation {
  summary?: string;
  description?: string;
  parameters?: { name: string; description?: string }[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description?: string; content?: Record<string, Media> }>;
}

const operations = Object.entries(spec.paths as Record<string, Record<string, Operation>>).flatMap(
  ([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operation,
    })),
);

t.test(
  'F50 every route of the description says what it does, what it takes and what it answers',
  async (t) => {
    t.ok(operations.length > 35);
    for (const { name, operation } of operations) {
      t.ok(operation.summary, `${name} has a summary`);
      t.ok(operation.description, `${name} has a description`);
      for (const parameter of operation.parameters ?? [])
        t.ok(parameter.description, `${name} says what ${parameter.name} is`);
      const body = operation.requestBody?.content['application/json'];
      if (body !== undefined) {
        t.not(body.example, undefined, `${name} shows a body`);
        fits(t, body, `${name}: the body that it shows`);
      }
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        t.ok(description, `${name} says what ${status} is`);
        const answer = content?.['application/json'];
        if (!status.startsWith('2') || answer === undefined) continue;
        t.not(answer.example, undefined, `${name} shows an answer`);
        fits(t, answer, `${name}: the answer that it shows`);
      }
    }
  },
);

t.test('F50 every error that a route may answer is declared, with its status and an example', async (t) => {
  for (const { name, operation } of operations) {
    t.notOk(operation.responses.default, `${name} names each of its errors`);
    for (const [status, { content }] of Object.entries(operation.responses)) {
      if (status < '400') continue;
      for (const [code, { value }] of Object.entries(content?.['application/problem+json']?.examples ?? {})) {
        const row = Object.entries(ERRORS).find(([known]) => known === code)?.[1];
        t.equal(String(row?.status), status, `${name}: ${code} is ${status}`);
        t.match(value, { code, status: Number(status) });
      }
    }
    t.ok(
      operation.responses['500'] && operation.responses['429'],
      `${name} names what every route may answer`,
    );
  }
  t.equal(spec.components.schemas.ProblemDetails.type, 'object');
});

t.test('F50 no text is about a route that is not there', async (t) => {
  const routes = http.routes.map(({ method, url }) => `${method} ${url}`);
  for (const name of Object.keys(ROUTE_TEXTS)) t.ok(routes.includes(name), name);
});

t.test('F50 an answer that is not as it is described does not get past the tests', async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  const faults = watchAnswers(app);
  const config = { auth: 'none' } as const;
  const answer = { type: 'object', required: ['a'], properties: { a: { type: 'integer' } } };
  const schema: FastifySchema = { tags: ['test'], response: { 200: answer } };
  const send = (url: string, status: number, body: string, type = 'application/json') =>
    app.get(url, { config, schema }, async (_request, reply) =>
      reply.code(status).type(type).serializer(String).send(body),
    );
  const problem = { type: 'x', title: 'x', status: 404, code: 'not_found', detail: 'x' };
  send('/good', 200, '{"a":1}');
  send('/status', 202, '{"a":1}');
  send('/body', 200, '{"b":1}');
  send('/problem', 404, JSON.stringify(problem), 'application/problem+json');
  send('/wrong-status', 409, JSON.stringify(problem), 'application/problem+json');
  for (const url of ['/good', '/status', '/body', '/problem', '/wrong-status', '/nowhere'])
    await app.inject(url);
  t.strictSame(faults, [
    'GET /status answered 202: the status is not declared',
    'GET /body answered 200: the body does not fit its schema',
    'GET /wrong-status answered 409: the code not_found has another status',
  ]);
});

function fits(t: Test, { schema, example }: Media, what: string): void {
  const one = Type.Unsafe(schema ?? {});
  t.ok(Check(one, example), `${what} fits its schema: ${JSON.stringify(Errors(one, example)).slice(0, 300)}`);
}
