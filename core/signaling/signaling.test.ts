import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import WebSocket from 'ws';
import { CLOSE_CODES } from '#protocol';
import type { TestClient } from './fixture.ts';
import { CALL_ID, startServer, view } from './fixture.ts';

t.test('signing in answers with who one is, the media capabilities and the grace period', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const client = await server.client();
  const { result } = await client.signIn('alice');
  t.match(result, {
    appId: 'app',
    userId: 'alice',
    graceMs: 15_000,
    routerRtpCapabilities: { codecs: [{ mimeType: 'audio/opus' }] },
    tokenExpiresAt: /^\d{4}-.*Z$/,
  });
  t.strictSame(server.devices.devicesOf('app', 'alice'), ['device-of-alice']);
});

t.test('every method reaches its one place in the call service, with who asks', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const client = await server.client();
  await client.signIn('alice');
  const capabilities = { codecs: [] };
  const consent = { disclosureSha256: 'a'.repeat(64), disclosureVersion: 1, locale: 'en' };
  const answers = [
    await client.request('session.ping', {}),
    await client.request('disclosure.get', { locale: 'de' }),
    await client.request('call.start', { chatId: 'chat-1', mode: 'secure', consent }),
    await client.request('call.accept', { callId: CALL_ID, consent }),
    await client.request('call.decline', { callId: CALL_ID }),
    await client.request('call.cancel', { callId: CALL_ID }),
    await client.request('call.hangup', { callId: CALL_ID }),
    await client.request('call.mute', { callId: CALL_ID, muted: true }),
    await client.request('media.open', { callId: CALL_ID, rtpCapabilities: capabilities }),
    await client.request('media.connect', { callId: CALL_ID, direction: 'recv', dtlsParameters: {} }),
    await client.request('media.produce', { callId: CALL_ID, rtpParameters: {} }),
    await client.request('media.restartIce', { callId: CALL_ID, direction: 'send' }),
  ];
  t.strictSame(
    answers.filter((answer) => answer.error),
    [],
  );
  t.match(answers[1]?.result, { locale: 'de', sha256: 'a'.repeat(64) });
  t.match(answers[2]?.result, { callId: CALL_ID, state: 'ringing' });
  t.match(answers[8]?.result, { send: { id: 's' }, recv: { id: 'r' } });
  t.strictSame(
    server.calls.notes.map((note) => note.replace('alice/device-of-alice ', '')),
    [
      'signedIn',
      'start chat-1 secure',
      `accept ${CALL_ID}`,
      'decline',
      'cancel',
      'hangup',
      'mute true',
      'openMedia',
      'connectMedia recv',
      'produce',
      'restartIce send',
    ],
  );
});

t.test('bad input over the socket', async (t) => {
  const server = await startServer({ limits: { signInMs: 60_000, requestBurst: 30, maxRefusedInRow: 5 } });
  t.teardown(() => server.close());
  let devices = 0;
  const signedIn = async (): Promise<TestClient> => {
    const client = await server.client();
    await client.signIn('alice', `device-${String(++devices).padStart(4, '0')}`);
    return client;
  };
  const rpc = (body: object): object => ({ jsonrpc: '2.0', ...body });
  const start = (params: object, id: unknown = 7): object => rpc({ id, method: 'session.start', params });

  // Signed in: the answer says what is wrong, and the connection stays.
  const answered: [name: string, frame: unknown, id: string | number | null, code: string, text: RegExp][] = [
    ['text that is not JSON', '{"jsonrpc":', null, 'parse_error', /not valid JSON/],
    ['a batch', [rpc({ id: 1, method: 'session.ping' })], null, 'invalid_message', /batches are not/],
    ['an empty batch', [], null, 'invalid_message', /batches are not/],
    ['a bare string', '"hello"', null, 'invalid_message', /expected a JSON object, got a string/],
    ['no version', { id: 7, method: 'session.ping' }, 7, 'invalid_message', /"jsonrpc" must be "2.0"/],
    ['version 1.0', { jsonrpc: '1.0', id: 7, method: 'session.ping' }, 7, 'invalid_message', /"2.0"/],
    ['a null id', rpc({ id: null, method: 'session.ping' }), null, 'invalid_message', /"id" must be/],
    ['a fractional id', rpc({ id: 1.5, method: 'session.ping' }), null, 'invalid_message', /"id" must be/],
    ['an id of 65 characters', rpc({ id: 'x'.repeat(65), method: 'a' }), null, 'invalid_message', /1-64/],
    ['an object as id', rpc({ id: {}, method: 'session.ping' }), null, 'invalid_message', /"id" must be/],
    ['a method that is a number', rpc({ id: 7, method: 3 }), 7, 'invalid_message', /"method" must be/],
    ['an unknown method', rpc({ id: 7, method: 'call.record' }), 7, 'unknown_method', /"call.record"/],
    ['a name of Object', rpc({ id: 7, method: 'constructor' }), 7, 'unknown_method', /"constructor"/],
    ['positional params', rpc({ id: 7, method: 'session.ping', params: [] }), 7, 'bad_request', /an array/],
    [
      'a chat id with a slash',
      rpc({ id: 7, method: 'call.start', params: { chatId: '../x', mode: 'voice' } }),
      7,
      'bad_request',
      /params\.chatId must match pattern/,
    ],
    [
      'an unknown mode',
      rpc({ id: 7, method: 'call.start', params: { chatId: 'c', mode: 'video' } }),
      7,
      'bad_request',
      /params\.mode must be "voice"; params\.mode must be "secure"/,
    ],
    [
      'a hash that is too short',
      rpc({
        id: 7,
        method: 'call.accept',
        params: {
          callId: CALL_ID,
          consent: { disclosureSha256: 'ab', disclosureVersion: 1, locale: 'en' },
        },
      }),
      7,
      'bad_request',
      /params\.consent\.disclosureSha256 must match/,
    ],
    [
      'a description of more than 16 KiB',
      rpc({
        id: 7,
        method: 'peer.description',
        params: { callId: CALL_ID, kind: 'offer', round: 1, sdp: 'x'.repeat(16_385) },
      }),
      7,
      'bad_request',
      /params\.sdp must not have more than 16384 characters/,
    ],
    [
      'a description that is neither offer nor answer',
      rpc({
        id: 7,
        method: 'peer.description',
        params: { callId: CALL_ID, kind: 'rollback', round: 1, sdp: 'x' },
      }),
      7,
      'bad_request',
      /params\.kind must be "offer"/,
    ],
    [
      'more candidates at once than a message may have',
      rpc({
        id: 7,
        method: 'peer.candidates',
        params: {
          callId: CALL_ID,
          round: 1,
          candidates: Array(17).fill({ candidate: 'x', sdpMid: '0', sdpMLineIndex: 0 }),
        },
      }),
      7,
      'bad_request',
      /params\.candidates must not have more than 16 items/,
    ],
    [
      'a candidate with a key of its own',
      rpc({
        id: 7,
        method: 'peer.candidates',
        params: {
          callId: CALL_ID,
          round: 1,
          candidates: [{ candidate: 'x', sdpMid: '0', sdpMLineIndex: 0, password: 'y' }],
        },
      }),
      7,
      'bad_request',
      /must not have additional properties: password/,
    ],
    [
      'an extra key',
      rpc({ id: 7, method: 'call.hangup', params: { callId: CALL_ID, force: true } }),
      7,
      'bad_request',
      /params must not have additional properties: force/,
    ],
    [
      'no params where some are needed',
      rpc({ id: 7, method: 'call.hangup' }),
      7,
      'bad_request',
      /params must have required properties callId/,
    ],
    [
      '101 users asked for at once',
      rpc({
        id: 7,
        method: 'presence.get',
        params: { userIds: Array.from({ length: 101 }, (_, i) => `u${i}`) },
      }),
      7,
      'bad_request',
      /params\.userIds must not have more than 100 items/,
    ],
    [
      'the token of a second user',
      start({ token: 'bob', device: 'device-9999' }),
      7,
      'forbidden',
      /another user/,
    ],
    [
      'a token that does not verify',
      start({ token: 'bad', device: 'device-9999' }),
      7,
      'unauthorized',
      /sign/,
    ],
    [
      'a busy user',
      rpc({ id: 7, method: 'call.start', params: { chatId: 'busy', mode: 'voice' } }),
      7,
      'user_busy',
      /in another call/,
    ],
    [
      'something that breaks inside the server, whose words stay there',
      rpc({ id: 7, method: 'call.start', params: { chatId: 'broken', mode: 'voice' } }),
      7,
      'internal',
      /^Something failed on the server$/,
    ],
  ];
  for (const [name, frame, id, code, text] of answered) {
    t.test(`signed in, ${name}: ${code}, and the connection stays`, async (t) => {
      const client = await signedIn();
      client.send(frame);
      const { error } = await client.answer(id);
      t.equal(error?.data.code, code);
      t.match(error?.message, text);
      t.strictSame((await client.request('session.ping', {})).result, {});
      client.socket.terminate();
    });
  }

  // Not signed in: the answer says what is wrong, and the connection ends with the code for it.
  const ended: [name: string, frame: unknown, code: string, close: keyof typeof CLOSE_CODES][] = [
    ['a request before session.start', rpc({ id: 7, method: 'session.end' }), 'unauthorized', 'unauthorized'],
    ['a batch', [start({ token: 'alice', device: 'device-1234' })], 'invalid_message', 'unauthorized'],
    ['no token', start({ device: 'device-1234' }), 'bad_request', 'unauthorized'],
    ['an empty token', start({ token: '', device: 'device-1234' }), 'bad_request', 'unauthorized'],
    ['a device id that is too short', start({ token: 'alice', device: 'd' }), 'bad_request', 'unauthorized'],
    [
      'a token that does not verify',
      start({ token: 'bad', device: 'device-1234' }),
      'unauthorized',
      'unauthorized',
    ],
    [
      'a token that ran out',
      start({ token: 'late', device: 'device-1234' }),
      'token_expired',
      'token_expired',
    ],
    [
      'a database that is down',
      start({ token: 'down', device: 'device-1234' }),
      'unavailable',
      'unavailable',
    ],
  ];
  for (const [name, frame, code, close] of ended) {
    t.test(`not signed in, ${name}: ${code}, and the connection ends`, async (t) => {
      const client = await server.client();
      client.send(frame);
      const { error } = await client.frame((message) => (message.error ? message : undefined));
      t.equal(error?.data.code, code);
      t.strictSame(await client.closed, { code: CLOSE_CODES[close].code, reason: close });
      t.equal((await client.notification('session.closing')).code, close);
    });
  }

  t.test('a binary frame ends the connection with 1003', async (t) => {
    const client = await signedIn();
    client.socket.send(Buffer.from('{"jsonrpc":"2.0","id":1,"method":"session.ping"}'));
    t.equal((await client.closed).code, 1003);
  });

  t.test('a frame over 64 KiB ends the connection with 1009, one of exactly 64 KiB is read', async (t) => {
    const client = await signedIn();
    const frame = JSON.stringify(rpc({ id: 7, method: 'session.ping', params: {} }));
    client.send(frame.padEnd(64 * 1024));
    t.strictSame((await client.answer(7)).result, {});
    client.send(frame.padEnd(64 * 1024 + 1));
    t.equal((await client.closed).code, 1009);
  });

  t.test('text that is not UTF-8 ends the connection with 1007', async (t) => {
    const client = await signedIn();
    client.socket.send(Buffer.from([0xc3, 0x28]), { binary: false });
    t.equal((await client.closed).code, 1007);
  });

  t.test('notifications are not answered and do nothing', async (t) => {
    const client = await signedIn();
    client.send(rpc({ method: 'call.hangup', params: { callId: CALL_ID } }));
    client.send(rpc({ method: 'no.such' }));
    await client.request('session.ping', {});
    t.equal(client.frames.length, 2);
    t.notOk(server.calls.notes.some((note) => note.endsWith('hangup')));
  });

  t.test('the same id twice at once is refused, and again allowed afterwards', async (t) => {
    const client = await signedIn();
    server.calls.hold = [];
    const call = rpc({ id: 'x', method: 'call.start', params: { chatId: 'c', mode: 'voice' } });
    client.send(call);
    client.send(call);
    t.equal((await client.answer('x')).error?.data.code, 'invalid_message');
    for (const go of server.calls.hold) go();
    server.calls.hold = undefined;
    await client.frame((message) => (message.id === 'x' && message.result ? message : undefined));
    client.frames.length = 0;
    client.send(call);
    t.ok((await client.answer('x')).result);
  });

  t.test('a flood is refused first and then ends the connection with 4006', async (t) => {
    const client = await signedIn();
    for (let id = 100; id < 200; id += 1) client.send(rpc({ id, method: 'session.ping' }));
    t.equal((await client.closed).code, CLOSE_CODES.rate_limited.code);
    const codes = client.frames.flatMap((frame) => JSON.parse(frame).error?.data.code ?? []);
    t.strictSame(codes, Array(5).fill('rate_limited'), 'no more answers than allowed');
  });
});

t.test('a connection that does not sign in in time is closed', async (t) => {
  const server = await startServer({ limits: { signInMs: 30 } });
  t.teardown(() => server.close());
  const client = await server.client();
  t.strictSame(await client.closed, { code: 4001, reason: 'unauthorized' });
  t.match(await client.notification('session.closing'), { message: /within 30 ms/ });
});

t.test('more connections without a sign-in than allowed are refused with 503', async (t) => {
  const server = await startServer({ limits: { maxUnsignedConnections: 2 } });
  t.teardown(() => server.close());
  await server.client();
  const second = await server.client();
  const refused = new WebSocket(`ws://127.0.0.1:${server.port}/v1/signaling`);
  const [error] = await once(refused, 'error');
  t.match(error.message, /503/);
  await second.signIn('alice');
  t.ok((await (await server.client()).signIn('bob')).result, 'a sign-in makes room');
});

t.test('more than the allowed requests at once are refused, the others are answered', async (t) => {
  const server = await startServer({ limits: { maxRequestsInFlight: 2 } });
  t.teardown(() => server.close());
  const client = await server.client();
  await client.signIn('alice');
  server.calls.hold = [];
  const first = client.request('call.start', { chatId: 'c', mode: 'voice' });
  const second = client.request('media.open', { callId: CALL_ID, rtpCapabilities: {} });
  const third = await client.request('session.ping', {});
  t.equal(third.error?.data.code, 'rate_limited');
  for (const go of server.calls.hold) go();
  t.ok((await first).result);
  t.ok((await second).result);
});

t.test('requests of a call are worked on in order, but its end never waits behind them', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const client = await server.client();
  await client.signIn('alice');
  server.calls.hold = [];
  const start = client.request('call.start', { chatId: 'slow', mode: 'voice' });
  const open = client.request('media.open', { callId: CALL_ID, rtpCapabilities: {} });
  const mute = client.request('call.mute', { callId: CALL_ID, muted: true });
  const unmute = client.request('call.mute', { callId: CALL_ID, muted: false });
  await server.calls.noted('alice/device-of-alice start slow voice');
  t.ok((await client.request('call.hangup', { callId: CALL_ID })).result);
  for (const go of server.calls.hold) go();
  await Promise.all([start, open, mute, unmute]);
  t.strictSame(
    server.calls.notes.map((note) => note.replace('alice/device-of-alice ', '')),
    ['signedIn', 'start slow voice', 'hangup', 'openMedia', 'mute true', 'mute false'],
  );
});

t.test('origins', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const host = `127.0.0.1:${server.port}`;
  const table: [name: string, headers: Record<string, string>, ok: boolean][] = [
    ['no origin (not a browser)', {}, true],
    ['the server itself', { origin: `http://${host}` }, true],
    ['the server behind TLS', { origin: 'https://calls.example', host: 'calls.example:443' }, true],
    ['an origin of the app', { origin: 'https://chat.example' }, true],
    ['another port of the app', { origin: 'https://chat.example:8443' }, false],
    ['the app without TLS', { origin: 'http://chat.example' }, false],
    ['a foreign origin', { origin: 'https://evil.example' }, false],
    ['an opaque origin', { origin: 'null' }, false],
    ['a name that only starts like ours', { origin: `http://${host}.evil.example` }, false],
  ];
  for (const [name, headers, ok] of table) {
    t.test(`${name} is ${ok ? 'let in' : 'refused with 4003'}`, async (t) => {
      const client = await server.client({ headers });
      const answer = await client.signIn('alice', 'device-origin');
      t.equal(answer.error?.data.code, ok ? undefined : 'origin_refused');
      if (!ok) t.equal((await client.closed).code, 4003);
    });
  }
});

t.test('presence', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const alice = await server.client();
  await alice.signIn('alice');
  const online = async (): Promise<unknown> =>
    (await alice.request('presence.get', { userIds: ['alice', 'bob', 'carol', 'bob'] })).result;
  t.strictSame(await online(), { online: ['alice'] });
  const phone = await server.client();
  await phone.signIn('bob', 'bob-phone');
  const laptop = await server.client();
  await laptop.signIn('bob', 'bob-laptop');
  t.strictSame(await online(), { online: ['alice', 'bob'] });
  t.strictSame(server.devices.devicesOf('app', 'bob'), ['bob-phone', 'bob-laptop']);
  t.strictSame(server.devices.size, { users: 2, connections: 3 });

  phone.socket.terminate();
  await server.calls.noted('bob/bob-phone left lost');
  t.strictSame(await online(), { online: ['alice', 'bob'] }, 'one device is left');
  t.strictSame((await laptop.request('session.end', {})).result, {});
  t.strictSame(await laptop.closed, { code: 1000, reason: 'signed_off' });
  t.strictSame(await online(), { online: ['alice'] });
  t.ok(server.calls.notes.includes('bob/bob-laptop left goodbye'));
  t.equal(server.calls.notes.filter((note) => note.includes(' left ')).length, 2, 'each left once');
});

t.test('F16 a page that a browser closes has left, whatever became of its goodbye', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const ways: [how: string, (socket: WebSocket) => void, expected: 'goodbye' | 'lost'][] = [
    ['the browser goes away', (socket) => socket.close(1001), 'goodbye'],
    ['a script closes', (socket) => socket.close(), 'lost'],
    ['a script closes with a code', (socket) => socket.close(1000), 'lost'],
    ['the network breaks', (socket) => socket.terminate(), 'lost'],
  ];
  for (const [index, [how, close, expected]] of ways.entries()) {
    const client = await server.client();
    await client.signIn('bob', `bob-phone-${index}`);
    close(client.socket);
    await server.calls.noted(`bob/bob-phone-${index} left ${expected}`);
    t.pass(`${how}: ${expected}`);
  }
  t.equal(server.calls.notes.filter((note) => note.includes(' left ')).length, ways.length, 'each once');

  const client = await server.client();
  await client.signIn('bob', 'bob-laptop');
  await server.app.close();
  t.strictSame(await client.closed, { code: 1001, reason: 'shutting_down' });
  t.ok(
    server.calls.notes.includes('bob/bob-laptop left lost'),
    'a server that goes says nothing of the page',
  );
});

t.test('F11 a notification reaches one device, or every device of the user, and nobody else', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const alice = await server.client();
  const phone = await server.client();
  const laptop = await server.client();
  await alice.signIn('alice');
  await phone.signIn('bob', 'bob-phone');
  await laptop.signIn('bob', 'bob-laptop');
  const call = view({ userId: 'bob' }, 'ringing');
  server.devices.notify('app', 'bob', 'all', 'call.incoming', { call });
  server.devices.notify('app', 'bob', 'bob-laptop', 'call.ended', { call: { ...call, state: 'ended' } });
  server.devices.notify('app', 'bob', 'gone', 'call.changed', { call });
  server.devices.notify('other-app', 'bob', 'all', 'call.changed', { call });
  t.strictSame(await phone.notification('call.incoming'), { call });
  t.strictSame(await laptop.notification('call.incoming'), { call });
  t.match(await laptop.notification('call.ended'), { call: { state: 'ended' } });
  for (const client of [alice, phone, laptop]) await client.request('session.ping', {});
  t.strictSame(
    [alice.frames.length, phone.frames.length, laptop.frames.length],
    [2, 3, 4],
    'sign-in, ping and no more than was sent to them',
  );
});

t.test(
  'F16 a device that comes back resumes its call, and is told about it before anything else',
  async (t) => {
    const server = await startServer();
    t.teardown(() => server.close());
    const before = await server.client();
    await before.signIn('alice');
    before.socket.terminate();
    await server.calls.noted('alice/device-of-alice left lost');
    t.notOk(server.devices.online('app', 'alice'));

    const call = view({ userId: 'alice' }, 'active');
    server.calls.resume = { call };
    server.calls.onSignedIn = (who) =>
      server.devices.notify(who.appId, who.userId, who.device, 'call.changed', { call });
    const after = await server.client();
    t.match(await after.signIn('alice'), { result: { call } });
    await after.notification('call.changed');
    t.match(
      after.frames.map((frame) => JSON.parse(frame)),
      [{ id: 1 }, { method: 'call.changed' }],
    );
  },
);

t.test(
  'F16 a device that comes back while its old socket still stands replaces it and never left',
  async (t) => {
    const server = await startServer();
    t.teardown(() => server.close());
    const old = await server.client();
    await old.signIn('alice');
    const next = await server.client();
    await next.signIn('alice');
    t.strictSame(await old.closed, { code: 4004, reason: 'replaced' });
    t.ok(server.devices.online('app', 'alice'));
    t.strictSame(server.calls.notes, ['alice/device-of-alice signedIn', 'alice/device-of-alice signedIn']);
  },
);

t.test(
  'requests that are sent without waiting for the sign-in are answered after it, in order',
  async (t) => {
    const server = await startServer();
    t.teardown(() => server.close());
    const client = await server.client();
    const signIn = client.signIn('alice');
    const presence = client.request('presence.get', { userIds: ['alice'] });
    t.ok((await signIn).result);
    t.strictSame((await presence).result, { online: ['alice'] });
    t.strictSame(
      client.frames.map((frame) => JSON.parse(frame).id),
      [1, 2],
    );
  },
);

t.test('a token that runs out ends the connection, unless a newer one came on it', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const renewing = await server.client();
  const idle = await server.client();
  const soon = Date.now() + 150;
  await renewing.signIn(`alice:${soon}`);
  await idle.signIn(`bob:${soon}`);
  t.match((await renewing.signIn('alice')).result, { userId: 'alice' });
  t.strictSame(await idle.closed, { code: 4002, reason: 'token_expired' });
  t.match(await idle.notification('session.closing'), { code: 'token_expired' });
  t.ok(Date.now() >= soon);
  t.strictSame((await renewing.request('session.ping', {})).result, {}, 'the renewed one stays');
  t.ok(server.calls.notes.includes('bob/device-of-bob left lost'));
});

t.test('renewing never turns a connection into another device', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const client = await server.client();
  await client.signIn('alice', 'device-one');
  const { error } = await client.signIn('alice', 'device-two');
  t.equal(error?.data.code, 'forbidden');
  t.strictSame(server.devices.devicesOf('app', 'alice'), ['device-one']);
});

t.test('a user has no more connections than allowed; the devices that are in stay', async (t) => {
  const server = await startServer({ limits: { maxConnectionsPerUser: 2 } });
  t.teardown(() => server.close());
  for (const device of ['device-one', 'device-two']) await (await server.client()).signIn('alice', device);
  const third = await server.client();
  t.equal((await third.signIn('alice', 'device-three')).error?.data.code, 'rate_limited');
  t.equal((await third.closed).code, 4005);
  t.ok((await (await server.client()).signIn('alice', 'device-two')).result, 'a device in place may return');
  t.strictSame(server.devices.devicesOf('app', 'alice'), ['device-one', 'device-two']);
});

t.test('F16 a peer that answers no ping is found dead, a live one is kept', async (t) => {
  const server = await startServer({ limits: { pingIntervalMs: 25 } });
  t.teardown(() => server.close());
  const live = await server.client();
  const dead = await server.client({ autoPong: false });
  await live.signIn('alice');
  await dead.signIn('bob');
  t.equal((await dead.closed).code, 1006);
  await server.calls.noted('bob/device-of-bob left lost');
  t.strictSame((await live.request('session.ping', {})).result, {});
});

t.test('a reader that is too slow is cut at the cap, and counts as lost', async (t) => {
  const server = await startServer({ limits: { maxBufferedBytes: 256 * 1024 } });
  t.teardown(() => server.close());
  const slow = await server.client();
  await slow.signIn('bob');
  slow.socket.pause();
  const text = 'x'.repeat(60_000);
  // The kernel takes some megabytes of it before anything waits in this process.
  let sent = 0;
  while (server.devices.online('app', 'bob') && sent < 2_000) {
    sent += 1;
    server.devices.notify('app', 'bob', 'all', 'session.closing', { code: 'test', message: text });
  }
  t.ok(sent < 2_000, `cut after ${sent} messages`);
  await server.calls.noted('bob/device-of-bob left lost');
});

t.test(
  'F52 closing the server tells every client and does not wait for one that never answers',
  async (t) => {
    const server = await startServer();
    const polite = await server.client();
    await polite.signIn('alice');
    const silent = await server.client();
    await silent.signIn('bob');
    silent.socket.pause();
    await server.app.close();
    t.strictSame(await polite.closed, { code: 1001, reason: 'shutting_down' });
    t.match(await polite.notification('session.closing'), { code: 'shutting_down' });
    t.strictSame(server.devices.size, { users: 0, connections: 0 });
    silent.socket.terminate();
  },
);

t.test('an upgrade request to any other address is answered and its socket released', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  for (const path of ['/elsewhere', '/nowhere', '/v1/signaling/more']) {
    const socket = connect(server.port, '127.0.0.1');
    socket.setEncoding('utf8');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    await once(socket, 'close');
    t.match(answer, /^HTTP\/1.1 404/, path);
  }
});

t.test('a plain GET of the socket address is not found', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  t.equal((await fetch(`http://127.0.0.1:${server.port}/v1/signaling`)).status, 404);
});

t.test(
  'F50 a revoked key closes the sockets that it let in, and a device with a token of another key stays',
  async (t) => {
    const server = await startServer({
      verifyUserToken: async (token) => {
        const [userId = '', kid = ''] = token.split(':');
        return { appId: 'app', userId, name: userId, expiresAtMs: Date.now() + 3_600_000, kid };
      },
    });
    t.teardown(() => server.close());
    const [alice, bob, carol, dora] = [
      await server.client(),
      await server.client(),
      await server.client(),
      await server.client(),
    ];
    await alice.signIn('alice:old');
    await bob.signIn('bob:new');
    await carol.signIn('carol:old');
    t.strictSame(server.devices.kidsInUse().sort(), ['new', 'old']);
    await carol.signIn('carol:new');
    server.devices.revokeKey('old');
    t.match(await alice.notification('session.closing'), { code: 'token_expired', message: /revoked/ });
    t.equal((await alice.closed).code, CLOSE_CODES.token_expired.code);
    await server.calls.noted('alice/device-of-alice left lost');
    t.notOk(server.devices.online('app', 'alice'));
    t.strictSame(await bob.request('session.ping', {}), { jsonrpc: '2.0', id: 2, result: {} });
    t.match(await carol.request('session.ping', {}), { result: {} }, 'who renewed the token in time stays');
    // Its token was read before the key was revoked, and it arrives after it.
    await dora.signIn('dora:old').catch(() => undefined);
    t.equal((await dora.closed).code, CLOSE_CODES.token_expired.code);
    t.notOk(server.devices.online('app', 'dora'));
    await bob.signIn('bob:old').catch(() => undefined);
    t.equal((await bob.closed).code, CLOSE_CODES.token_expired.code, 'nor does it renew anything');
  },
);
