import t from 'tap';
import type { Side } from '#protocol';
import type { CallMedia, MediaServer, Opaque } from './contract.ts';
import { FakeMediaServer } from './fake.ts';
import { createMediaServer } from './workers.ts';

// The fake stands in for the real server in the tests of other rooms, so both must keep the same promises.
const servers: Record<string, () => Promise<MediaServer>> = {
  real: () => createMediaServer({ workers: 1, listenIp: '127.0.0.1', basePort: 0, maxCpu: 100 }),
  fake: async () => new FakeMediaServer(),
};

const recorder = { recorderId: 'r1', ip: '127.0.0.1', port: 40_123 };

function microphone(ssrc: number): Opaque {
  return {
    mid: '0',
    codecs: [
      {
        mimeType: 'audio/opus',
        payloadType: 109,
        clockRate: 48_000,
        channels: 2,
        parameters: { useinbandfec: 1, usedtx: 1 },
        rtcpFeedback: [{ type: 'nack' }, { type: 'transport-cc' }],
      },
    ],
    headerExtensions: [{ uri: 'urn:ietf:params:rtp-hdrext:ssrc-audio-level', id: 1 }],
    encodings: [{ ssrc }],
    rtcp: { cname: `cname-${ssrc}` },
  };
}

async function openSide(call: CallMedia, side: Side): Promise<void> {
  const send = await call.createTransport(side, 'send');
  await call.createTransport(side, 'recv');
  await call.produce(side, send.id, microphone(side === 'caller' ? 1111 : 2222));
}

for (const [name, open] of Object.entries(servers)) {
  t.test(`${name} media server`, async (t) => {
    const server = await open();
    t.teardown(() => server.close());
    let calls = 0;
    const openCall = () => server.openCall(`call-${calls++}`);

    await t.test('offers Opus and nothing else', async (t) => {
      const { codecs } = server.routerRtpCapabilities();
      t.match(codecs, [{ mimeType: 'audio/opus', clockRate: 48_000, channels: 2 }]);
      t.equal(Array.isArray(codecs) && codecs.length, 1);
    });

    await t.test('carries a call from its transports to the recorder’s legs', async (t) => {
      const call = await openCall();
      await openSide(call, 'caller');
      t.equal(call.hasProducer('caller'), true);
      t.equal(call.hasProducer('callee'), false);
      await openSide(call, 'callee');
      const consumer = await call.consume('callee', call.routerRtpCapabilities());
      t.match(consumer, { id: String, producerId: String, kind: 'audio' });
      await call.consume('caller', call.routerRtpCapabilities());
      const { source, legs } = await call.attachRecorder(recorder);
      t.match(source, { ip: '127.0.0.1', port: Number });
      t.same(
        legs.map(({ side, payloadType, clockRate }) => ({ side, payloadType, clockRate })),
        [
          { side: 'caller', payloadType: 111, clockRate: 48_000 },
          { side: 'callee', payloadType: 111, clockRate: 48_000 },
        ],
      );
      t.not(legs[0]?.ssrc, legs[1]?.ssrc);
      t.type(legs[0]?.audioLevelExtId, 'number');
      await call.resumeRecorder();
      await call.resumeConsumers();
      call.close();
    });

    await t.test('silences both browsers and lets them hear each other again', async (t) => {
      const call = await openCall();
      await openSide(call, 'caller');
      await openSide(call, 'callee');
      await t.resolves(call.pauseConsumers(), 'before there is anything to silence');
      await call.consume('callee', call.routerRtpCapabilities());
      await call.resumeConsumers();
      await call.pauseConsumers();
      await t.resolves(call.pauseConsumers(), 'twice');
      await call.consume('caller', call.routerRtpCapabilities());
      await call.resumeConsumers();
      call.close();
      await t.rejects(call.pauseConsumers(), { code: 'conflict' });
    });

    await t.test('attaches a second recorder in place of the first', async (t) => {
      const call = await openCall();
      await openSide(call, 'caller');
      await openSide(call, 'callee');
      await call.attachRecorder(recorder);
      const { legs } = await call.attachRecorder({ ...recorder, recorderId: 'r2', port: 40_124 });
      t.equal(legs.length, 2);
      await call.resumeRecorder();
      server.forgetRecorder('r1');
      call.close();
    });

    await t.test('refuses what comes twice or too early', async (t) => {
      const call = await openCall();
      await t.rejects(server.openCall(call.callId), { code: 'conflict' }, 'the same call again');
      await t.rejects(
        call.consume('caller', call.routerRtpCapabilities()),
        { code: 'conflict' },
        'no transport',
      );
      await t.rejects(call.attachRecorder(recorder), { code: 'conflict' }, 'no producer');
      await t.rejects(call.resumeRecorder(), { code: 'conflict' }, 'no recorder');
      await openSide(call, 'caller');
      await t.rejects(call.createTransport('caller', 'send'), { code: 'conflict' }, 'a second transport');
      await t.rejects(call.attachRecorder(recorder), { code: 'conflict' }, 'one producer only');
      call.close();
    });

    await t.test('refuses a transport that is not the side’s own', async (t) => {
      const call = await openCall();
      const send = await call.createTransport('caller', 'send');
      const recv = await call.createTransport('caller', 'recv');
      await t.rejects(
        call.produce('callee', send.id, microphone(1)),
        { code: 'not_found' },
        'the other side’s',
      );
      await t.rejects(
        call.produce('caller', recv.id, microphone(1)),
        { code: 'not_found' },
        'the receiving one',
      );
      await t.rejects(call.restartIce('caller', 'nonsense'), { code: 'not_found' });
      await t.rejects(call.connectTransport('callee', send.id, { fingerprints: [] }), { code: 'not_found' });
      call.close();
    });

    await t.test('answers nothing but conflict once it is closed', async (t) => {
      const call = await openCall();
      const send = await call.createTransport('caller', 'send');
      call.close();
      call.close();
      t.equal(call.closed, true);
      await t.rejects(call.createTransport('caller', 'recv'), { code: 'conflict' });
      await t.rejects(call.connectTransport('caller', send.id, { fingerprints: [] }), { code: 'conflict' });
      await t.rejects(call.restartIce('caller', send.id), { code: 'conflict' });
      await t.rejects(call.produce('caller', send.id, microphone(1)), { code: 'conflict' });
      await t.rejects(call.consume('caller', {}), { code: 'conflict' });
      await t.rejects(call.resumeConsumers(), { code: 'conflict' });
      await t.rejects(call.attachRecorder(recorder), { code: 'conflict' });
      await t.rejects(call.resumeRecorder(), { code: 'conflict' });
    });

    await t.test('frees the call’s id when it closes', async (t) => {
      const call = await openCall();
      call.close();
      (await server.openCall(call.callId)).close();
      t.match(await server.stats(), [{ calls: 0 }]);
    });

    await t.test('tells its calls when it closes, and takes none afterwards', async (t) => {
      const call = await openCall();
      const told: unknown[] = [];
      call.on('closed', (reason) => told.push(reason));
      await server.close();
      await server.close();
      t.same(told, ['server_closed']);
      t.equal(call.closed, true);
      await t.rejects(openCall(), { code: 'shutting_down' });
    });
  });
}
