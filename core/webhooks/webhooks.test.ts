import { execFileSync } from 'node:child_process';
import { createHmac, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders, RequestListener } from 'node:http';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import { acceptCall, endCall, insertCall, insertEndedCall } from '../db/calls.ts';
import { testDatabase } from '../db/fixture.ts';
import { insertApp } from '../db/index.ts';
import { takeDue } from '../db/webhooks.ts';
import { isAllowedAddress, parseNetworks } from './guard.ts';
import type { WEBHOOK_LIMITS } from './webhooks.ts';
import { RETRY_DELAYS_MS, Webhooks } from './webhooks.ts';

const db = await testDatabase(t);
const CHECKPOINT = 'verbatim-test\n1\nAAAA\n\n— verbatim-test AAAA\n';
let apps = 0;

interface Received {
  headers: IncomingHttpHeaders;
  body: string;
}

/** An app with Alice, Bob and their chat. */
async function newApp(): Promise<string> {
  apps += 1;
  const appId = `app-${apps}`;
  await insertApp(db, { id: appId, name: appId, recordingEnabled: true });
  for (const id of ['alice', 'bob'])
    await db.sql`insert into users (app_id, id, name) values (${appId}, ${id}, ${id})`;
  await db.sql`insert into chats (app_id, id, kind) values (${appId}, 'c', 'direct')`;
  return appId;
}

async function open(
  t: Test,
  options: { limits?: Partial<typeof WEBHOOK_LIMITS>; allowed?: string[]; version?: string } = {},
) {
  const warnings: string[] = [];
  const webhooks = new Webhooks({
    db,
    sealKey: SEAL_KEY,
    checkpoint: () => CHECKPOINT,
    allowedNetworks: options.allowed ?? ['127.0.0.1/32'],
    version: '9.9.9',
    log: { info: () => {}, warn: (_fields, message) => warnings.push(message) },
    limits: { pollMs: 20, ...options.limits } as Partial<typeof WEBHOOK_LIMITS>,
  });
  webhooks.start();
  t.teardown(() => webhooks.close());
  return { webhooks, warnings };
}

const SEAL_KEY = randomBytes(32);

/** A messenger's server; it answers what `answer` says, 200 when left out. */
async function receiver(t: Test, answer: RequestListener = (_request, response) => void response.end()) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      answer(request, response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/hook`, received, server };
}

async function until(fits: () => unknown | Promise<unknown>, what: string): Promise<void> {
  const giveUpAtMs = Date.now() + 20_000;
  while (!(await fits()) && Date.now() < giveUpAtMs) await sleep(10);
  if (!(await fits())) throw new Error(`${what} did not happen`);
}

/** What was due for an endpoint before this is on its way or over afterwards: the longest due goes first. */
async function settle(webhooks: Webhooks, appId: string, id: string): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    await webhooks.test(appId, id);
    const pending = async () =>
      ((await webhooks.deliveries(appId, id, { limit: 100 }))?.deliveries ?? []).some(
        ({ type, state }) => type === 'webhook.test' && state === 'pending',
      );
    await until(async () => !(await pending()), 'the test message');
  }
}

/** As a receiver checks it by the specification, with nothing of ours. */
function isSigned({ headers, body }: Received, secret: string): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const expected = createHmac('sha256', key).update(text).digest();
  return String(headers['webhook-signature'])
    .split(' ')
    .some((one) => {
      const [version, signature = ''] = one.split(',');
      const given = Buffer.from(signature, 'base64');
      return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
    });
}

async function startCall(
  appId: string,
  id = randomUUID(),
  mode: 'voice' | 'secure' = 'voice',
): Promise<string> {
  const call = { id, appId, chatId: 'c', mode, callerId: 'alice', calleeId: 'bob' };
  await insertCall(db, { ...call, startedAt: new Date(), recordingId: null }, null);
  return id;
}

t.test('F50 calls and recordings are told of, signed, with the head of the ledger', async (t) => {
  const { webhooks } = await open(t);
  const appId = await newApp();
  const foreign = await newApp();
  const everything = await receiver(t);
  const missedOnly = await receiver(t);
  const elsewhere = await receiver(t);
  const { secret, webhook } = await webhooks.add(appId, { url: everything.url });
  const missed = await webhooks.add(appId, { url: missedOnly.url, events: ['call.missed'] });
  const others = await webhooks.add(foreign, { url: elsewhere.url });

  const answered = await startCall(appId);
  await acceptCall(db, answered, appId, new Date(), null);
  await endCall(db, answered, 'hangup', new Date());
  await endCall(db, answered, 'hangup', new Date());
  const declined = await startCall(appId);
  await endCall(db, declined, 'declined', new Date());
  const unanswered = await startCall(appId);
  await endCall(db, unanswered, 'no_answer', new Date());
  const busy = randomUUID();
  await insertEndedCall(
    db,
    {
      id: busy,
      appId,
      chatId: 'c',
      mode: 'voice',
      callerId: 'alice',
      calleeId: 'bob',
      startedAt: new Date(),
      recordingId: null,
    },
    'busy',
  );
  const recordings: Record<string, string> = {};
  for (const state of ['available', 'failed', 'removed', 'expired']) {
    const callId = await startCall(appId, randomUUID(), 'secure');
    const id = randomUUID();
    recordings[state] = id;
    await db.sql`
      insert into recordings (id, call_id, app_id, chat_id, caller_id, callee_id, state, started_at)
      values (${id}, ${callId}, ${appId}, 'c', 'alice', 'bob', 'processing', now())`;
    await db.sql`update recordings set state = ${state}, reason = 'why' where id = ${id}`;
    // The same state again is no news.
    await db.sql`update recordings set state = ${state} where id = ${id}`;
  }
  const expected = [
    ['call.started', answered],
    ['call.ended', answered],
    ['call.started', declined],
    ['call.ended', declined],
    ['call.started', unanswered],
    ['call.missed', unanswered],
    ['call.missed', busy],
    ...Object.entries(recordings).map(([state, id]) => [`recording.${state}`, id]),
  ];
  const told = () =>
    everything.received
      .map(({ body }) => JSON.parse(body) as { type: string; data: Record<string, string> })
      .map(({ type, data }) => [type, data.recordingId ?? data.callId])
      .filter(
        ([type, id]) => type !== 'webhook.test' && !(type === 'call.started' && secure.has(String(id))),
      );
  const secure = new Set(
    (await db.sql<{ id: string }[]>`select id from calls where app_id = ${appId} and mode = 'secure'`).map(
      ({ id }) => id,
    ),
  );
  await until(() => told().length >= expected.length, 'all messages');
  await until(() => missedOnly.received.length >= 2, 'the missed ones');
  await settle(webhooks, appId, webhook.id);
  await settle(webhooks, appId, missed.webhook.id);
  await settle(webhooks, foreign, others.webhook.id);
  const sorted = (rows: unknown[][]) => rows.map(String).sort();
  t.strictSame(sorted(told()), sorted(expected), 'each once');
  t.equal(missedOnly.received.length, 2 + 2, 'an endpoint hears what it asked for, and its tests');
  t.equal(elsewhere.received.length, 2, 'another app hears its tests only');
  t.ok(everything.received.every((one) => isSigned(one, secret)));
  t.notOk(everything.received.some((one) => isSigned(one, `whsec_${randomBytes(32).toString('base64')}`)));
  t.equal(
    new Set(everything.received.map(({ headers }) => headers['webhook-id'])).size,
    everything.received.length,
  );
  const ended = everything.received
    .map(({ body }) => JSON.parse(body))
    .find(({ type }) => type === 'call.ended');
  t.match(ended, {
    timestamp: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    checkpoint: CHECKPOINT,
    data: { chatId: 'c', mode: 'voice', callerId: 'alice', calleeId: 'bob', startedAt: /Z$/, endedAt: /Z$/ },
  });
  t.match(everything.received[0]?.headers, {
    'content-type': 'application/json',
    'user-agent': 'Verbatim/9.9.9',
  });
});

t.test('what did not come about is not told, and what was not sent is sent by the next server', async (t) => {
  const appId = await newApp();
  const { url, received } = await receiver(t);
  const first = await open(t);
  await first.webhooks.add(appId, { url });
  await first.webhooks.close();
  await t.rejects(
    db.sql.begin(async (sql) => {
      await sql`
        insert into calls (id, app_id, chat_id, mode, caller_id, callee_id, state, started_at)
        values (${randomUUID()}, ${appId}, 'c', 'voice', 'alice', 'bob', 'ringing', now())`;
      throw new Error('rolled back');
    }),
    /rolled back/,
  );
  const callId = await startCall(appId);
  await open(t);
  await until(() => received.length > 0, 'the message');
  t.match(JSON.parse(received[0]?.body ?? ''), { type: 'call.started', data: { callId } });
  t.equal(received.length, 1);
});

t.test('a message that a dead server had taken is due again', async (t) => {
  const appId = await newApp();
  const { webhooks } = await open(t);
  const { webhook } = await webhooks.add(appId, { url: 'http://127.0.0.1:9/hook' });
  await webhooks.close();
  await startCall(appId);
  const now = new Date();
  const until = new Date(now.getTime() + 60_000);
  const take = (at: Date) => takeDue(db, { limit: 10, except: [], now: at, until });
  t.match(await take(now), [{ endpointId: webhook.id, type: 'call.started', attempts: 0 }]);
  t.equal((await take(now)).length, 0, 'taken');
  t.equal(
    (await take(new Date(until.getTime() + 1))).length,
    1,
    'and due again, when nobody told what came of it',
  );
  await webhooks.remove(appId, webhook.id);
});

t.test('a message that is not heard is sent again by the table, and in the end given up', async (t) => {
  const appId = await newApp();
  const { webhooks, warnings } = await open(t);
  let status = 500;
  const { url, received } = await receiver(t, (_request, response) => {
    response.statusCode = status;
    response.end('what went wrong is none of our business');
  });
  const { webhook } = await webhooks.add(appId, { url });
  await startCall(appId);
  const delivery = async () => (await webhooks.deliveries(appId, webhook.id, {}))?.deliveries[0];
  const due = () =>
    db.sql`update webhook_deliveries set next_at = now() where endpoint_id = ${webhook.id} and state = 'pending'`;
  for (let tries = 1; tries < RETRY_DELAYS_MS.length; tries += 1) {
    await until(async () => (await delivery())?.attempts.length === tries, `try ${tries}`);
    const one = await delivery();
    const waitMs = Date.parse(one?.nextAt ?? '') - Date.parse(one?.attempts[0]?.at ?? '');
    const told = RETRY_DELAYS_MS[tries] ?? 0;
    t.ok(
      waitMs > told * 0.89 && waitMs < told * 1.11 + 5_000,
      `after try ${tries}: ${waitMs} ms, by the table ${told}`,
    );
    await due();
  }
  await until(async () => (await delivery())?.state === 'failed', 'the end');
  t.equal(received.length, RETRY_DELAYS_MS.length);
  t.equal(new Set(received.map(({ headers }) => headers['webhook-id'])).size, 1, 'always the same id');
  const last = await delivery();
  t.match(last?.attempts[0], { status: 500, error: 'the receiver answered 500' });
  t.equal(last?.nextAt, undefined);
  t.match(warnings, ['a webhook was not heard']);
  t.notMatch(JSON.stringify(last), /none of our business/, 'nothing of the answer is kept');

  status = 204;
  t.match(await webhooks.replay(appId, webhook.id, String(last?.id)), { state: 'pending' });
  await until(async () => (await delivery())?.state === 'delivered', 'the replay');
  t.equal(await webhooks.replay('another-app', webhook.id, String(last?.id)), undefined);
});

t.test('a slow, an endless and a redirecting receiver harm nobody', async (t) => {
  const appId = await newApp();
  const { webhooks } = await open(t, {
    limits: { timeoutMs: 400 as never, maxAnswerBytes: 10_000 as never },
  });
  const slow = await receiver(t, () => {});
  let cut = 0;
  const endless = await receiver(t, (_request, response) => {
    response.once('close', () => {
      cut += 1;
    });
    const more = (): void => {
      if (response.destroyed) return;
      response.write('x'.repeat(1_000));
      setTimeout(more, 1);
    };
    more();
  });
  const other = await receiver(t);
  const redirecting = await receiver(t, (_request, response) => {
    response.writeHead(302, { location: other.url }).end();
  });
  const ids: Record<string, string> = {};
  for (const [name, { url }] of Object.entries({ slow, endless, redirecting })) {
    ids[name] = (await webhooks.add(appId, { url })).webhook.id;
  }
  const swift = await receiver(t);
  await webhooks.add(appId, { url: swift.url });
  for (let call = 0; call < 20; call += 1) await startCall(appId);
  await until(() => swift.received.length === 20, 'all messages of the receiver that answers');
  const first = async (name: string) =>
    (await webhooks.deliveries(appId, ids[name] ?? '', {}))?.deliveries.at(-1);
  await until(async () => ((await first('slow'))?.attempts.length ?? 0) > 0, 'the slow one being given up');
  t.match((await first('slow'))?.attempts.at(-1), { error: 'no answer within 0.4 s' });
  t.ok(slow.received.length <= 2 * (1 + 20), 'two at a time');
  await until(async () => (await first('redirecting'))?.attempts.length, 'the redirecting one');
  t.match((await first('redirecting'))?.attempts.at(-1), { status: 302, error: /redirect/ });
  t.equal(other.received.length, 0, 'no redirect is followed');
  await until(async () => (await first('endless'))?.state === 'delivered', 'the endless one');
  await until(() => cut === endless.received.length, 'its connections being cut');
  t.pass('its connections were cut');
});

t.test('messages go to public addresses only, and without TLS to none of these', async (t) => {
  const allowed = parseNetworks([]);
  const rows: [string, boolean][] = [
    ['8.8.8.8', true],
    ['2606:4700:4700::1111', true],
    ['127.0.0.1', false],
    ['10.1.2.3', false],
    ['100.64.0.1', false],
    ['169.254.169.254', false],
    ['172.16.0.1', false],
    ['172.32.0.1', true],
    ['192.168.1.1', false],
    ['198.19.0.1', false],
    ['224.0.0.1', false],
    ['255.255.255.255', false],
    ['0.0.0.0', false],
    ['::', false],
    ['::1', false],
    ['fe80::1', false],
    ['fd00::1', false],
    ['fd00:ec2::254', false],
    ['ff02::1', false],
    ['64:ff9b::7f00:1', false],
    ['2002:7f00:1::', false],
    ['2001:db8::1', false],
    ['::ffff:127.0.0.1', false],
    ['::ffff:7f00:1', false],
    ['::ffff:8.8.8.8', true],
    ['no address', false],
  ];
  for (const [address, fits] of rows) t.equal(isAllowedAddress(address, allowed), fits, address);
  t.ok(isAllowedAddress('10.1.2.3', parseNetworks(['10.1.0.0/16'])), 'what the operator allows');
  t.notOk(isAllowedAddress('10.2.2.3', parseNetworks(['10.1.0.0/16'])));

  const appId = await newApp();
  const { webhooks } = await open(t, { allowed: [] });
  const { received, url } = await receiver(t);
  const { port } = new URL(url);
  const addresses = [
    url,
    `http://localhost:${port}/`,
    `http://2130706433:${port}/`,
    `http://0x7f.1:${port}/`,
    `http://[::ffff:127.0.0.1]:${port}/`,
    `https://127.0.0.1:${port}/`,
    `http://0.0.0.0:${port}/`,
  ];
  for (const address of addresses) {
    const { webhook } = await webhooks.add(appId, { url: address });
    await webhooks.test(appId, webhook.id);
    const seen = async () => (await webhooks.deliveries(appId, webhook.id, {}))?.deliveries[0];
    await until(async () => (await seen())?.state === 'failed', address);
    t.match(await seen(), { attempts: [{ error: /not a public one/ }] }, address);
    await webhooks.remove(appId, webhook.id);
  }
  t.equal(received.length, 0);
});

t.test('a certificate that does not hold is no receiver', async (t) => {
  const appId = await newApp();
  const { webhooks } = await open(t);
  const dir = t.testdir();
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ed25519',
      '-nodes',
      '-keyout',
      key,
      '-out',
      cert,
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
    ],
    { stdio: 'ignore' },
  );
  let requests = 0;
  const server = createTlsServer(
    { key: readFileSync(key), cert: readFileSync(cert) },
    (_request, response) => {
      requests += 1;
      response.end();
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { webhook } = await webhooks.add(appId, { url: `https://127.0.0.1:${port}/` });
  await webhooks.test(appId, webhook.id);
  const seen = async () => (await webhooks.deliveries(appId, webhook.id, {}))?.deliveries[0];
  await until(async () => (await seen())?.state === 'failed', 'the failure');
  t.match(await seen(), { attempts: [{ error: 'the certificate is signed by itself' }] });
  t.equal(requests, 0);
});

t.test('a new secret signs beside the old one until that has run out', async (t) => {
  const appId = await newApp();
  const { webhooks } = await open(t);
  const { url, received } = await receiver(t);
  const { webhook, secret: old } = await webhooks.add(appId, { url });
  const { secret } = (await webhooks.rotate(appId, webhook.id)) ?? { secret: '' };
  t.not(secret, old);
  await webhooks.test(appId, webhook.id);
  await until(() => received.length === 1, 'the first message');
  t.ok(received.every((one) => isSigned(one, secret) && isSigned(one, old)));
  await db.sql`update webhook_endpoints set old_secret_until = now() where id = ${webhook.id}`;
  await webhooks.test(appId, webhook.id);
  await until(() => received.length === 2, 'the second message');
  t.ok(received.slice(1).every((one) => isSigned(one, secret) && !isSigned(one, old)));
  const [row] = await db.sql<{ sealed: Buffer }[]>`
    select secret_sealed as sealed from webhook_endpoints where id = ${webhook.id}`;
  const bytes = Buffer.from(secret.replace('whsec_', ''), 'base64');
  t.notOk(row?.sealed.includes(bytes), 'the database holds it sealed');
});

t.test('a receiver that is gone is turned off, and hears the rest when it is turned on', async (t) => {
  const appId = await newApp();
  const { webhooks } = await open(t);
  let status = 410;
  const { url, received } = await receiver(t, (_request, response) => {
    response.statusCode = status;
    response.end();
  });
  const { webhook } = await webhooks.add(appId, { url });
  await startCall(appId);
  await until(async () => !(await webhooks.list(appId)).webhooks[0]?.enabled, 'being turned off');
  t.match((await webhooks.list(appId)).webhooks[0], { disabledReason: 'the receiver answered 410 Gone' });
  await startCall(appId);
  status = 200;
  await webhooks.test(appId, webhook.id);
  await until(() => received.length === 2, 'a test, which goes out all the same');
  t.match(JSON.parse(received[1]?.body ?? ''), { type: 'webhook.test' }, 'and nothing else');
  t.match(await webhooks.change(appId, webhook.id, { enabled: true }), { enabled: true });
  t.notOk((await webhooks.list(appId)).webhooks[0]?.disabledReason);
  await startCall(appId);
  await until(() => received.length === 3, 'the next call');
});

t.test('the delivery log comes in pages, and to its own app only', async (t) => {
  const appId = await newApp();
  const { webhooks } = await open(t);
  const { url, received } = await receiver(t);
  const { webhook } = await webhooks.add(appId, { url });
  for (let call = 0; call < 7; call += 1) await startCall(appId);
  await until(() => received.length === 7, 'the messages');
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await webhooks.deliveries(appId, webhook.id, { limit: 3, ...(cursor && { cursor }) });
    seen.push(...(page?.deliveries ?? []).map(({ id }) => id));
    cursor = page?.next;
  } while (cursor !== undefined);
  t.equal(new Set(seen).size, 7);
  t.equal(await webhooks.deliveries('another-app', webhook.id, {}), undefined);
  t.equal(await webhooks.test('another-app', webhook.id), undefined);
  t.equal(await webhooks.rotate('another-app', webhook.id), undefined);
  t.equal(await webhooks.change('another-app', webhook.id, { enabled: false }), undefined);
  t.equal(await webhooks.remove('another-app', webhook.id), false);
  t.equal(await webhooks.remove(appId, webhook.id), true);
  const other = await receiver(t);
  const left = await webhooks.add(appId, { url: other.url });
  await startCall(appId);
  await settle(webhooks, appId, left.webhook.id);
  t.equal(received.length, 7, 'what was removed hears nothing more');
});

t.test('a server that stops does not wait for a slow receiver, and sends the message again', async (t) => {
  const appId = await newApp();
  const { url, received } = await receiver(t, () => {});
  const first = await open(t, { limits: { closeMs: 50 as never } });
  const { webhook } = await first.webhooks.add(appId, { url });
  await startCall(appId);
  await until(() => received.length === 1, 'the message');
  await first.webhooks.close();
  const [left] = (await first.webhooks.deliveries(appId, webhook.id, {}))?.deliveries ?? [];
  t.match(left, { state: 'pending', attempts: [] }, 'nobody knows what came of it');
  t.ok(Date.parse(left?.nextAt ?? '') > Date.now(), 'and it is due again');
});
