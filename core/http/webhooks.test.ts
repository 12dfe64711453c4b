import { randomUUID } from 'node:crypto';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);

t.test('F50 an app keeps its webhooks by its key, and sees no other app’s', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const acme = await addApp('acme');
  const other = await addApp('other');
  const send = async (authorization: string, method: string, url: string, payload?: object) => {
    const answer = await http.inject({
      method: method as 'GET',
      url,
      headers: { authorization },
      ...(payload && { payload }),
    });
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() };
  };
  const url = 'https://chat.example/verbatim';
  const made = await send(acme.server, 'POST', '/v1/webhooks', {
    url,
    events: ['call.missed', 'call.missed'],
  });
  t.match(made, {
    status: 201,
    body: { webhook: { url, events: ['call.missed'], enabled: true }, secret: /^whsec_[A-Za-z0-9+/]{43}=$/ },
  });
  const { id } = made.body.webhook;
  const listed = await send(acme.server, 'GET', '/v1/webhooks');
  t.match(listed, { status: 200, body: { webhooks: [{ id, url }] } });
  t.notMatch(JSON.stringify(listed.body), /whsec_/, 'the secret is told once');
  t.match(await send(acme.server, 'PATCH', `/v1/webhooks/${id}`, { enabled: false }), {
    status: 200,
    body: { enabled: false, events: ['call.missed'] },
  });
  t.match(await send(acme.server, 'POST', `/v1/webhooks/${id}/secret`), {
    status: 200,
    body: { secret: /^whsec_/ },
  });
  const tested = await send(acme.server, 'POST', `/v1/webhooks/${id}/test`);
  t.match(tested, { status: 202, body: { type: 'webhook.test' } });
  const deliveryId = tested.body.id;
  t.match(await send(acme.server, 'GET', `/v1/webhooks/${id}/deliveries`), {
    status: 200,
    body: { deliveries: [{ id: deliveryId }] },
  });
  t.match(await send(acme.server, 'POST', `/v1/webhooks/${id}/deliveries/${deliveryId}/replay`), {
    status: 202,
  });

  const rows: [string, string, object?][] = [
    ['PATCH', `/v1/webhooks/${id}`, { enabled: true }],
    ['DELETE', `/v1/webhooks/${id}`],
    ['POST', `/v1/webhooks/${id}/secret`],
    ['POST', `/v1/webhooks/${id}/test`],
    ['GET', `/v1/webhooks/${id}/deliveries`],
    ['POST', `/v1/webhooks/${id}/deliveries/${deliveryId}/replay`],
  ];
  const user = await acme.user('alice');
  for (const [method, path, body] of rows) {
    const foreign = await send(other.server, method, path, body);
    t.equal(foreign.status, 404, `${method} ${path}: another app`);
    const unknown = await send(other.server, method, path.replace(id, randomUUID()), body);
    t.strictSame(foreign, unknown, 'as if there were none');
    t.equal((await send(user, method, path, body)).status, 401, `${method} ${path}: a user`);
  }
  t.strictSame((await send(other.server, 'GET', '/v1/webhooks')).body, { webhooks: [] });
  t.equal((await send(acme.server, 'DELETE', `/v1/webhooks/${id}`)).status, 204);
  t.equal((await send(acme.server, 'DELETE', `/v1/webhooks/${id}`)).status, 404);
});

t.test('addresses that are none are refused, and so is an eleventh webhook', async (t) => {
  const { http, addApp } = await httpFixture(t, db);
  const app = await addApp('many');
  const add = async (payload: object) => {
    const headers = { authorization: app.server };
    const answer = await http.inject({ method: 'POST', url: '/v1/webhooks', headers, payload });
    return answer.statusCode;
  };
  for (const url of [
    'ftp://chat.example/',
    'https://',
    'https://user:pass@chat.example/',
    'javascript:1',
    'x',
  ])
    t.equal(await add({ url }), 400, url);
  t.equal(await add({ url: 'https://chat.example/', events: ['call.everything'] }), 400, 'an unknown event');
  for (let made = 0; made < 10; made += 1) t.equal(await add({ url: `https://chat.example/${made}` }), 201);
  t.equal(await add({ url: 'https://chat.example/11' }), 409);
});
