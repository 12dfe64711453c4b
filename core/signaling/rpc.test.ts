import fc from 'fast-check';
import t from 'tap';
import { ERRORS, METHODS, VerbatimError } from '#protocol';
import { errorMessage, parseMessage } from './rpc.ts';
import { isMethod, validateParams } from './validate.ts';

t.test(
  'no text makes the parser throw, and what it lets through is a request with an id to answer',
  async (t) => {
    const almost = fc.record(
      {
        jsonrpc: fc.oneof(fc.constant('2.0'), fc.jsonValue()),
        id: fc.oneof(fc.integer(), fc.string(), fc.jsonValue()),
        method: fc.oneof(fc.constantFrom(...Object.keys(METHODS)), fc.jsonValue()),
        params: fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue()),
      },
      { requiredKeys: [] },
    );
    const texts = fc.oneof(
      fc.string(),
      fc.json(),
      almost.map((value) => JSON.stringify(value)),
    );
    let requests = 0;
    fc.assert(
      fc.property(texts, (text) => {
        const incoming = parseMessage(text);
        if (incoming.kind === 'invalid') return incoming.error instanceof VerbatimError;
        if (incoming.kind === 'notification') return !('id' in JSON.parse(text));
        requests += 1;
        const { id, method, params } = incoming;
        const idFits = typeof id === 'string' ? id.length > 0 && id.length <= 64 : Number.isSafeInteger(id);
        return idFits && typeof method === 'string' && typeof params === 'object' && !Array.isArray(params);
      }),
      { numRuns: 2_000, seed: 7 },
    );
    t.ok(requests > 0, `${requests} of them were requests`);
  },
);

t.test('random parameters are refused with bad_request, for every method', async (t) => {
  for (const method of Object.keys(METHODS)) {
    if (!isMethod(method)) throw new Error('a method of the table is a method');
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), fc.jsonValue(), { minKeys: 1 }), (params) => {
        try {
          validateParams(method, params);
          return false;
        } catch (error) {
          return (
            error instanceof VerbatimError && error.code === 'bad_request' && error.message.length < 1_000
          );
        }
      }),
      { numRuns: 100, seed: 7 },
    );
  }
  t.pass();
});

t.test('a refused token is not repeated in the answer', async (t) => {
  const token = 'eyJhbGciOiJIUzI1NiJ9.secret';
  try {
    validateParams('session.start', { token, device: token, extra: token });
    t.fail('the device id has a dot');
  } catch (error) {
    t.notMatch(String(error), /secret/);
    t.match(String(error), /params\.device must match pattern/);
  }
});

t.test(
  'each code of the table of errors goes out with its number; our own faults keep their words inside',
  async (t) => {
    for (const [code, row] of Object.entries(ERRORS)) {
      const error = new VerbatimError(code as keyof typeof ERRORS, 'the disk of host-7 is full');
      const { error: sent } = JSON.parse(errorMessage('x', error));
      t.strictSame(sent, {
        code: row.rpc,
        message: row.fault === 'us' ? row.title : 'the disk of host-7 is full',
        data: { code },
      });
    }
    t.equal(
      new Set(Object.values(ERRORS).map((row) => row.rpc)).size,
      Object.keys(ERRORS).length,
      'no number twice',
    );
  },
);
