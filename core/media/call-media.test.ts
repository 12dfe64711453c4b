import t from 'tap';
import type { Opaque } from './contract.ts';
import { createMediaServer } from './workers.ts';

const server = await createMediaServer({ workers: 1, listenIp: '127.0.0.1', basePort: 0, maxCpu: 100 });
t.teardown(() => server.close());

const opus = { mimeType: 'audio/opus', payloadType: 111, clockRate: 48_000, channels: 2 };
const pcmu = { mimeType: 'audio/PCMU', payloadType: 0, clockRate: 8_000 };

const wrongRtpParameters: Record<string, Opaque> = {
  nothing: {},
  'no codecs': { codecs: [], encodings: [{ ssrc: 1 }] },
  'codecs that are no list': { codecs: 'opus', encodings: [{ ssrc: 1 }] },
  'a codec that is null': { codecs: [null], encodings: [{ ssrc: 1 }] },
  'another codec': { codecs: [pcmu], encodings: [{ ssrc: 1 }] },
  'two codecs': { codecs: [opus, pcmu], encodings: [{ ssrc: 1 }] },
  'another clock rate': { codecs: [{ ...opus, clockRate: 16_000 }], encodings: [{ ssrc: 1 }] },
  'no payload type': { codecs: [{ ...opus, payloadType: undefined }], encodings: [{ ssrc: 1 }] },
  'a payload type that is text': { codecs: [{ ...opus, payloadType: '111' }], encodings: [{ ssrc: 1 }] },
  'no encodings': { codecs: [opus], encodings: [] },
  'two encodings': { codecs: [opus], encodings: [{ ssrc: 1 }, { ssrc: 2 }] },
  'an encoding that is text': { codecs: [opus], encodings: ['ssrc'] },
  'an encoding with nothing in it': { codecs: [opus], encodings: [{}] },
  'an SSRC beyond 32 bits': { codecs: [opus], encodings: [{ ssrc: 2 ** 32 }] },
  'an SSRC below zero': { codecs: [opus], encodings: [{ ssrc: -1 }] },
  'header extensions that are text': { codecs: [opus], encodings: [{ ssrc: 1 }], headerExtensions: 'all' },
  'a header extension without id': {
    codecs: [opus],
    encodings: [{ ssrc: 1 }],
    headerExtensions: [{ uri: 'urn:ietf:params:rtp-hdrext:sdes:mid' }],
  },
};

for (const [what, rtpParameters] of Object.entries(wrongRtpParameters)) {
  t.test(`producing is refused with ${what}, and can be done properly afterwards`, async (t) => {
    const call = await server.openCall(`produce ${what}`);
    const { id } = await call.createTransport('caller', 'send');
    await t.rejects(call.produce('caller', id, rtpParameters), { code: 'bad_request' });
    t.equal(call.hasProducer('caller'), false);
    await call.produce('caller', id, { codecs: [opus], encodings: [{ ssrc: 1 }] });
    call.close();
  });
}

const fingerprint = { algorithm: 'sha-256', value: Array(32).fill('AB').join(':') };
const wrongDtlsParameters: Record<string, Opaque> = {
  nothing: {},
  'fingerprints that are text': { fingerprints: 'AB:CD' },
  'no fingerprint': { fingerprints: [] },
  'a fingerprint that is null': { fingerprints: [null] },
  'an unknown algorithm': { fingerprints: [{ ...fingerprint, algorithm: 'md5' }] },
  'a fingerprint without value': { fingerprints: [{ algorithm: 'sha-256' }] },
  'an unknown role': { role: 'boss', fingerprints: [fingerprint] },
};

for (const [what, dtlsParameters] of Object.entries(wrongDtlsParameters)) {
  t.test(`connecting is refused with ${what}, and can be done properly afterwards`, async (t) => {
    const call = await server.openCall(`connect ${what}`);
    const { id } = await call.createTransport('caller', 'send');
    await t.rejects(call.connectTransport('caller', id, dtlsParameters), { code: 'bad_request' });
    await call.connectTransport('caller', id, { role: 'client', fingerprints: [fingerprint] });
    call.close();
  });
}

const wrongCapabilities: Record<string, Opaque> = {
  nothing: {},
  'codecs that are text': { codecs: 'opus' },
  'no Opus': { codecs: [{ ...pcmu, kind: 'audio' }] },
  'a codec that is null': { codecs: [null] },
};

for (const [what, rtpCapabilities] of Object.entries(wrongCapabilities)) {
  t.test(`consuming is refused with ${what}, and can be done properly afterwards`, async (t) => {
    const call = await server.openCall(`consume ${what}`);
    await call.createTransport('callee', 'recv');
    const { id } = await call.createTransport('caller', 'send');
    await call.produce('caller', id, { codecs: [opus], encodings: [{ ssrc: 1 }] });
    await t.rejects(call.consume('callee', rtpCapabilities), { code: 'bad_request' });
    const { rtpParameters } = await call.consume('callee', call.routerRtpCapabilities());
    t.match(rtpParameters, { codecs: [{ mimeType: 'audio/opus' }], encodings: [{ ssrc: Number }] });
    call.close();
  });
}

t.test('both directions ask for lost packets again', async (t) => {
  const call = await server.openCall('nack');
  t.match(call.routerRtpCapabilities(), {
    codecs: [{ rtcpFeedback: [{ type: 'nack' }, { type: 'transport-cc' }] }],
  });
  await call.createTransport('callee', 'recv');
  const { id } = await call.createTransport('caller', 'send');
  await call.produce('caller', id, { codecs: [opus], encodings: [{ ssrc: 1 }] });
  const { rtpParameters } = await call.consume('callee', call.routerRtpCapabilities());
  t.match(rtpParameters, { codecs: [{ rtcpFeedback: [{ type: 'nack' }] }] });
  call.close();
});

t.test('an ICE restart changes the credentials', async (t) => {
  const call = await server.openCall('restart');
  const { id, iceParameters } = await call.createTransport('caller', 'send');
  const fresh = await call.restartIce('caller', id);
  t.not(fresh.usernameFragment, iceParameters.usernameFragment);
  t.not(fresh.password, iceParameters.password);
  call.close();
});

t.test('two requests for the same thing at once make it once', async (t) => {
  const call = await server.openCall('twice');
  const both = await Promise.allSettled([
    call.createTransport('caller', 'send'),
    call.createTransport('caller', 'send'),
  ]);
  t.same(both.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  call.close();
});

t.test('what is being made when the call closes is not left behind', async (t) => {
  const call = await server.openCall('closing');
  const making = call.createTransport('caller', 'send');
  call.close();
  await t.rejects(making, { code: 'conflict' });
});

t.test('the parameters that a caller hands over are not changed', async (t) => {
  const call = await server.openCall('untouched');
  const { id } = await call.createTransport('caller', 'send');
  const given = { codecs: [opus], encodings: [{ ssrc: 1 }] };
  const before = JSON.stringify(given);
  await call.produce('caller', id, given);
  t.equal(JSON.stringify(given), before);
  call.close();
});
