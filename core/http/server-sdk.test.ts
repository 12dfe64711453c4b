import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { VerbatimServer, VerbatimServerError, verifyWebhook } from '../../client/server/index.ts';
import { createPublicKey } from '../auth/index.ts';
import { testDatabase } from '../db/fixture.ts';
import { insertAppKey } from '../db/index.ts';
import { httpFixture } from './fixture.ts';

const db = await testDatabase(t);
const fixture = await httpFixture(t, db);
const { url, addApp, addRecording } = fixture;
const app = await addApp('sdk');
const verbatim = new VerbatimServer({ url: `${url}/`, key: { kid: app.kid, secret: app.secret } });

t.test(
  'F50 the server SDK puts people and chats and reads them back, with ids of every letter',
  async (t) => {
    const ann = { name: 'Ann', role: 'staff' };
    t.strictSame(await verbatim.putUser('ann@chat.example', ann), { id: 'ann@chat.example', ...ann });
    t.match(await verbatim.getUser('ann@chat.example'), ann);
    await verbatim.putUser('ben', { name: 'Ben' });
    const chat = { kind: 'direct', members: ['ann@chat.example', 'ben'] } as const;
    await verbatim.putChat('a+b', { ...chat, members: [...chat.members] });
    t.match(await verbatim.getChat('a+b'), chat);
    await verbatim.putChat('gone', { kind: 'group', members: ['ben'] });
    t.equal(await verbatim.deleteChat('gone'), undefined);
    await t.rejects(verbatim.getChat('gone'), {
      name: 'VerbatimServerError',
      status: 404,
      code: 'not_found',
    });
    const all = { voice: true, secure: true, recordings: true };
    t.strictSame(await verbatim.putPolicy({ default: all, roles: {} }), await verbatim.getPolicy());
    t.equal((await verbatim.putDisclosure('en', 'It is recorded.')).version, 1);
    t.equal((await verbatim.getDisclosure('en')).text, 'It is recorded.');
  },
);

t.test(
  'F50 the server SDK signs user tokens that the server takes, with a secret and with a private key',
  async (t) => {
    const pair = await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify']);
    const ec = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
      'verify',
    ]);
    const servers = [verbatim];
    for (const one of [pair, ec]) {
      if (!('publicKey' in one)) throw new Error('no pair of keys');
      const { publicKey, privateKey } = one;
      const jwk = await crypto.subtle.exportKey('jwk', publicKey);
      const { row } = createPublicKey('sdk', { ...jwk, kty: String(jwk.kty) });
      await insertAppKey(db, row);
      servers.push(new VerbatimServer({ url, key: { kid: row.kid, privateKey } }));
    }
    for (const server of servers) {
      t.equal((await server.getUser('ben')).name, 'Ben', 'the server itself is taken for the app');
      const token = await server.signUserToken({ userId: 'ben', name: 'Ben B.', role: 'staff' });
      const answer = await fetch(`${url}/v1/chats/a+b/recordings`, {
        headers: { authorization: `Bearer ${token}` },
      });
      t.equal(answer.status, 200);
    }
    await t.rejects(verbatim.signUserToken({ userId: 'ben' }, { lifetimeSeconds: 100_000 }), RangeError);
  },
);

t.test(
  'F27 F39 the server SDK lists calls, recordings and listeners, and keeps transcripts and messages',
  async (t) => {
    const { id, callId } = await addRecording({
      appId: 'sdk',
      chatId: 'a+b',
      callerId: 'ann@chat.example',
      calleeId: 'ben',
    });
    t.match((await verbatim.listRecordings('a+b', { limit: 1 })).recordings, [{ id, state: 'available' }]);
    t.match((await verbatim.listCalls('a+b')).calls, [{ callId, mode: 'secure' }]);
    t.equal((await verbatim.getRecording(id)).callId, callId);
    t.match((await verbatim.listeners(id)).events, [{ action: 'view' }, { action: 'list' }]);
    const vtt = 'WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<v caller>Hello\n';
    t.equal((await verbatim.putTranscript(callId, vtt)).version, 1);
    const segments = [{ side: 'callee' as const, startMs: 0, text: 'Yes?' }];
    t.equal((await verbatim.putTranscript(callId, { segments }, { side: 'callee' })).version, 2);
    t.equal((await verbatim.getTranscript(callId)).segments.length, 2);
    t.equal(await verbatim.getTranscriptVtt(callId, { version: 1 }), vtt);
    t.equal(await verbatim.putMessages(callId, { messages: [{ userId: 'ben', text: 'a link' }] }), undefined);
    t.match(await verbatim.timeline(id), {
      segments: [{ text: 'Yes?' }, { text: 'Hello' }],
      messages: [{ text: 'a link' }],
    });
  },
);

t.test('F50 the server SDK adds a webhook and checks what the server sends there', async (t) => {
  const received: { headers: Record<string, string | string[] | undefined>; body: string }[] = [];
  const receiver = createServer(async (request, response) => {
    received.push({ headers: request.headers, body: await text(request) });
    response.end();
    receiver.emit('received');
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  t.teardown(() => receiver.close());
  const address = receiver.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const { webhook, secret } = await verbatim.addWebhook({ url: `http://127.0.0.1:${port}/hook` });
  t.strictSame(await verbatim.listWebhooks(), { webhooks: [webhook] });
  const heard = once(receiver, 'received');
  const delivery = await verbatim.testWebhook(webhook.id);
  await heard;
  const [message] = received;
  if (message === undefined) throw new Error('nothing came');
  const { headers, body } = message;
  t.match(await verifyWebhook(secret, headers, body), { id: delivery.eventId, type: 'webhook.test' });
  t.match(await verifyWebhook(secret, headers, Buffer.from(body)), { data: { webhookId: webhook.id } });
  const refused = { name: 'VerbatimServerError', code: 'webhook_invalid' };
  await t.rejects(verifyWebhook(secret, headers, body.replace('test', 'TEST')), refused);
  await t.rejects(verifyWebhook(secret, { ...headers, 'webhook-id': 'another' }, body), refused);
  await t.rejects(verifyWebhook(secret, { ...headers, 'webhook-signature': 'v1,' }, body), refused);
  await t.rejects(verifyWebhook(secret, headers, body, { nowMs: Date.now() + 301_000 }), refused);
  const rotated = await verbatim.rotateWebhookSecret(webhook.id);
  await t.rejects(verifyWebhook(rotated.secret, headers, body), refused);
  t.match((await verbatim.webhookDeliveries(webhook.id)).deliveries, [{ id: delivery.id }]);
  t.match(await verbatim.replayWebhook(webhook.id, delivery.id), { id: delivery.id });
  t.equal((await verbatim.changeWebhook(webhook.id, { enabled: false })).enabled, false);
  await verbatim.deleteWebhook(webhook.id);
  t.strictSame(await verbatim.listWebhooks(), { webhooks: [] });
});

t.test(
  'F50 the server SDK tells errors by their codes, also when nobody answers, and follows no redirect',
  async (t) => {
    const stranger = new VerbatimServer({ url, key: { kid: app.kid, secret: 'wrong' } });
    await t.rejects(stranger.getUser('ben'), { status: 401, code: 'unauthorized' });
    await t.rejects(verbatim.putUser('ben', { name: '' }), {
      status: 400,
      code: 'bad_request',
      message: /body\/name/,
    });
    const elsewhere = createServer((_request, response) => response.writeHead(307, { location: url }).end());
    elsewhere.listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    const address = elsewhere.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { key } = { key: { kid: app.kid, secret: app.secret } };
    const moved = new VerbatimServer({ url: `http://127.0.0.1:${port}`, key });
    await t.rejects(moved.getUser('ben'), VerbatimServerError);
    await t.rejects(moved.getUser('ben'), { status: 0, code: 'no_answer' });
    elsewhere.close();
  },
);
