import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { testDatabase } from '../db/fixture.ts';
import { GRANT_LIMITS } from '../library/index.ts';
import { httpFixture } from './fixture.ts';
import { idle, playbackScene } from './playback-fixture.ts';

const db = await testDatabase(t);

t.test('F25 a stream in progress ends when its grant ends', async (t) => {
  const fixture = await httpFixture(t, db);
  const { recording, grant, app } = await playbackScene(fixture);
  const opened: { closed: boolean; destroyed: () => boolean }[] = [];
  // A file that never comes to its end: what ends the stream is the grant and nothing else.
  fixture.store.open = async () => {
    const stream = new Readable({ read() {} });
    stream.push(Buffer.alloc(1_000));
    const source = { closed: false, destroyed: () => stream.destroyed };
    opened.push(source);
    return {
      sizeBytes: recording.bytes.length,
      stream: () => stream,
      close: async () => {
        source.closed = true;
      },
    };
  };
  const ways: [string, (grant: { grantId: string; cookie: string }) => Promise<unknown>][] = [
    [
      'signing out',
      async ({ cookie }) =>
        fetch(`${fixture.url}/v1/session`, {
          method: 'DELETE',
          headers: { authorization: await app.user('alice'), cookie },
        }),
    ],
    ['removal', async () => fixture.library.endRecording(recording.id)],
    [
      'an end that another process wrote',
      ({ grantId }) => db.sql`update grants set ended_at = now() where id = ${grantId}`,
    ],
    ['its time', async () => undefined],
  ];
  for (const [what, end] of ways) {
    const given = await grant('alice');
    // The server counts the rest of the time from its clock: half a second is left.
    if (what === 'its time') {
      await fetch(fixture.url + given.url, { method: 'HEAD', headers: { cookie: given.cookie } });
      fixture.clock.nowMs = Date.parse(given.endsAt) - 500;
    }
    const answer = await fetch(fixture.url + given.url, { headers: { cookie: given.cookie } });
    t.equal(answer.status, 200, what);
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    t.equal((await reader.read()).value?.length, 1_000);
    const rest = reader.read();
    await end(given);
    await t.rejects(rest, `${what}: the client notices that the file was cut`);
    await idle(fixture);
    t.ok(opened.at(-1)?.closed && opened.at(-1)?.destroyed(), `${what}: the file is closed`);
  }
  t.equal(fixture.library.streams, 0);
});

t.test('a client that goes away stops the reading, and a slow one slows it down', async (t) => {
  const fixture = await httpFixture(t, db);
  const { recording, grant } = await playbackScene(fixture, { bytes: Buffer.alloc(64 * 1024 * 1024) });
  let pulled = 0;
  let closed = 0;
  const gone = Promise.withResolvers<void>();
  fixture.store.open = async () => ({
    sizeBytes: recording.bytes.length,
    stream: (offset, end) =>
      Readable.from(
        (async function* () {
          for (let at = offset; at < end; at += 65_536) {
            pulled += 65_536;
            yield recording.bytes.subarray(at, at + 65_536);
          }
        })(),
        { objectMode: false },
      ),
    close: async () => {
      closed += 1;
      gone.resolve();
    },
  });
  const { url, cookie } = await grant('alice');
  const request = get(fixture.url + url, { headers: { cookie } });
  const [response] = await once(request, 'response');
  response.pause();
  await once(response, 'readable');
  // Nothing is read here any more: what the server pulls from now on is only what fits into the buffers between.
  let before = -1;
  while (before !== pulled) {
    before = pulled;
    for (let i = 0; i < 200; i += 1) await turn();
  }
  t.ok(pulled < recording.bytes.length / 2, `${pulled} of ${recording.bytes.length} bytes were read ahead`);
  request.destroy();
  await gone.promise;
  t.equal(closed, 1);
  await idle(fixture);
  t.equal(fixture.library.streams, 0);
});

t.test('a client that goes away while its recording is opened leaves nothing open', async (t) => {
  const fixture = await httpFixture(t, db);
  const { grant } = await playbackScene(fixture);
  const given = await grant('alice');
  const { host, port, pathname, search } = new URL(given.url, fixture.url);
  const open = fixture.store.open;
  for (const method of ['HEAD', 'GET']) {
    // What a slow disk does: the answer comes when nobody waits for it any more.
    const asked = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    let closed = 0;
    fixture.store.open = async (id) => {
      asked.resolve();
      await held.promise;
      const source = await open(id);
      return {
        sizeBytes: source.sizeBytes,
        stream: (offset, end) => source.stream(offset, end),
        close: async () => {
          closed += 1;
          await source.close();
        },
      };
    };
    const connected = once(fixture.http.server, 'connection');
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `${method} ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nCookie: ${given.cookie}\r\n\r\n`,
    );
    const [serverSide] = await connected;
    const gone = once(serverSide, 'close');
    await asked.promise;
    t.equal(fixture.library.streams, 1, method);
    socket.destroy();
    await gone;
    held.resolve();
    await idle(fixture);
    t.equal(fixture.library.streams, 0, `${method}: the place is free again`);
    t.equal(closed, 1, `${method}: the file is closed, once`);
  }
});

t.test('a grant serves a bounded number of requests at a time', async (t) => {
  const fixture = await httpFixture(t, db);
  const { recording, grant } = await playbackScene(fixture);
  const streams: Readable[] = [];
  fixture.store.open = async () => ({
    sizeBytes: recording.bytes.length,
    stream: () => {
      const stream = new Readable({ read() {} });
      stream.push(Buffer.alloc(10));
      streams.push(stream);
      return stream;
    },
    close: async () => undefined,
  });
  const { url, cookie } = await grant('alice');
  const play = () => fetch(fixture.url + url, { headers: { cookie } });
  const open: Response[] = [];
  for (let i = 0; i < GRANT_LIMITS.maxStreamsPerGrant; i += 1) open.push(await play());
  t.equal((await play()).status, 429);
  await open[0]?.body?.cancel();
  await once(streams[0] as Readable, 'close');
  const next = await play();
  t.equal(next.status, 200, 'one has gone, one more fits');
  for (const answer of [...open.slice(1), next]) await answer.body?.cancel();
});

t.test('a file that is not what its row says is not served', async (t) => {
  const fixture = await httpFixture(t, db);
  const { grant } = await playbackScene(fixture);
  const { url, cookie } = await grant('alice');
  let closed = 0;
  const open = fixture.store.open;
  fixture.store.open = async (id) => {
    const source = await open(id);
    return {
      sizeBytes: source.sizeBytes - 1,
      stream: (offset, end) => source.stream(offset, end),
      close: async () => {
        closed += 1;
        await source.close();
      },
    };
  };
  const wrong = await fetch(fixture.url + url, { headers: { cookie } });
  t.equal(wrong.status, 500);
  t.match(await wrong.json(), { code: 'corrupt', detail: 'Stored data does not verify' });
  t.equal(closed, 1);
  fixture.store.open = async () => {
    throw new Error('EIO: /data/recordings/x.pay');
  };
  const broken = await fetch(fixture.url + url, { headers: { cookie } });
  t.equal(broken.status, 500);
  t.notMatch(await broken.text(), /EIO|\/data/, 'what went wrong inside stays inside');
  t.equal(fixture.library.streams, 0);
  fixture.store.open = open;
  t.equal((await fetch(fixture.url + url, { method: 'HEAD', headers: { cookie } })).status, 200);
});

t.test('closing the server ends the streams and comes to an end', async (t) => {
  const fixture = await httpFixture(t, db);
  const { recording, grant } = await playbackScene(fixture);
  fixture.store.open = async () => ({
    sizeBytes: recording.bytes.length,
    stream: () => {
      const stream = new Readable({ read() {} });
      stream.push(Buffer.alloc(10));
      return stream;
    },
    close: async () => undefined,
  });
  const { url, cookie } = await grant('alice');
  const answer = await fetch(fixture.url + url, { headers: { cookie } });
  const rest = answer.arrayBuffer();
  await Promise.all([t.rejects(rest), fixture.http.close()]);
  t.equal(fixture.library.streams, 0);
  await t.rejects(fixture.library.play(randomUUID(), { e: '', k: '', s: '' }, cookie), {
    code: 'shutting_down',
  });
});
