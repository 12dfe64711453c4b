// What: proves that a media worker works: a real DTLS handshake and an RTP packet over the resulting SRTP.
// What not: a performance test, or a test of our own media code.
// Who may import: scripts/media-worker, and tests.
//
// Two WebRTC transports of the worker talk to each other through two UDP sockets of ours. Both are ICE lite and would
// wait forever, so each socket nominates itself with a STUN binding request and then carries whatever else comes from
// one transport to the other. One transport is the DTLS client, the other the server: a worker that crashes in the
// handshake, in either role, cannot pass, while creating transports alone would not notice.

import type { Socket } from 'node:dgram';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { types } from 'mediasoup';
import { createWorker } from 'mediasoup';
import { MediaWorkerError, runCommand } from './command.ts';
import { encodeBindingRequest, isBindingSuccess, isStun } from './stun.ts';

const totalTimeoutMs = 4_500;
const retryIntervalMs = 50;
/** What the worker's main() answers when the version is not in its environment: the sign that it runs here at all. */
const exitCodeWithoutVersion = 41;

const opus: types.RouterRtpCodecCapability = {
  kind: 'audio',
  mimeType: 'audio/opus',
  clockRate: 48_000,
  channels: 2,
  preferredPayloadType: 111,
};

export interface SmokeResult {
  readonly handshakeMs: number;
  readonly totalMs: number;
}

/** Resolves when the worker passed; rejects with a MediaWorkerError that says what it did not do. */
export async function smokeTest(workerBin: string): Promise<SmokeResult> {
  await checkItStarts(workerBin);

  const startedAt = performance.now();
  const deadline = AbortSignal.timeout(totalTimeoutMs);
  const worker = await withDeadline(
    deadline,
    'accept its first connection',
    createWorker({ workerBin, logLevel: 'none' }),
  );
  const died = once(worker, 'died').then(([error]) => {
    throw new MediaWorkerError(`The media worker ${workerBin} died in the smoke test (${String(error)}).`);
  });
  const ended = new AbortController();

  died.catch(() => {});

  try {
    const handshakeMs = await Promise.race([exchange(worker, deadline, ended.signal), died]);

    return { handshakeMs, totalMs: Math.round(performance.now() - startedAt) };
  } finally {
    ended.abort();
    worker.close();
  }
}

async function checkItStarts(workerBin: string): Promise<void> {
  let code: number | undefined;

  try {
    ({ code } = await runCommand(workerBin, [], { env: { MEDIASOUP_VERSION: undefined }, timeoutMs: 2_000 }));
  } catch (error) {
    throw new MediaWorkerError(`The media worker ${workerBin} cannot be started.`, { cause: error });
  }

  if (code !== exitCodeWithoutVersion) {
    throw new MediaWorkerError(
      `${workerBin} is not a media worker that runs on this machine (exit code ${code} where ${exitCodeWithoutVersion} was expected).`,
    );
  }
}

/** Answers how long the DTLS handshake took, in milliseconds. */
async function exchange(worker: types.Worker, deadline: AbortSignal, ended: AbortSignal): Promise<number> {
  const router = await worker.createRouter({ mediaCodecs: [opus] });
  const server = await worker.createWebRtcServer({ listenInfos: [{ protocol: 'udp', ip: '127.0.0.1' }] });
  const sender = await router.createWebRtcTransport({ webRtcServer: server });
  const receiver = await router.createWebRtcTransport({ webRtcServer: server });
  const handshakeStartedAt = performance.now();

  await sender.connect({ dtlsParameters: { ...receiver.dtlsParameters, role: 'server' } });
  await receiver.connect({ dtlsParameters: { ...sender.dtlsParameters, role: 'client' } });
  await join(sender, receiver, ended);
  await withDeadline(
    deadline,
    'complete a DTLS handshake',
    Promise.all([dtlsConnected(sender), dtlsConnected(receiver)]),
  );

  const handshakeMs = Math.round(performance.now() - handshakeStartedAt);

  await withDeadline(deadline, 'carry a packet over SRTP', carryPacket(router, sender, receiver, ended));

  return handshakeMs;
}

/** Opens both transports and connects them; the sockets close when `ended` is aborted. */
async function join(
  one: types.WebRtcTransport,
  other: types.WebRtcTransport,
  ended: AbortSignal,
): Promise<void> {
  const sockets = [
    createSocket({ type: 'udp4', signal: ended }),
    createSocket({ type: 'udp4', signal: ended }),
  ] as const;

  for (const [index, transport] of [one, other].entries()) {
    const own = sockets[index === 0 ? 0 : 1];
    const peer = sockets[index === 0 ? 1 : 0];
    const candidate = transport.iceCandidates[0];

    if (candidate === undefined) {
      throw new MediaWorkerError('The media worker offered no ICE candidate.');
    }

    const send = (socket: Socket, datagram: Buffer): void => {
      if (!ended.aborted) {
        socket.send(datagram, candidate.port, candidate.address);
      }
    };
    const nominate = (): void => send(own, encodeBindingRequest(transport.iceParameters, 'smoke'));
    const timer = setInterval(nominate, retryIntervalMs);

    ended.addEventListener('abort', () => clearInterval(timer));
    own.on('error', () => {});
    own.on('message', (datagram) => {
      if (isBindingSuccess(datagram)) {
        clearInterval(timer);
      } else if (!isStun(datagram)) {
        // Both transports share the server's port: the tuple it is sent from decides whose it is.
        send(peer, datagram);
      }
    });
    own.bind(0, '127.0.0.1');
    await once(own, 'listening');
    nominate();
  }
}

async function dtlsConnected(transport: types.WebRtcTransport): Promise<void> {
  while (transport.dtlsState !== 'connected') {
    const [state] = await once(transport, 'dtlsstatechange');

    if (state === 'failed' || state === 'closed') {
      throw new MediaWorkerError(`The DTLS handshake of the media worker ended as ${String(state)}.`);
    }
  }
}

/** One producer outside, out through the sender, over SRTP, in through the receiver, and to one consumer outside. */
async function carryPacket(
  router: types.Router,
  sender: types.WebRtcTransport,
  receiver: types.WebRtcTransport,
  ended: AbortSignal,
): Promise<void> {
  const outside = await router.createDirectTransport();
  const source = await outside.produce({
    kind: 'audio',
    rtpParameters: {
      codecs: [{ mimeType: 'audio/opus', payloadType: 111, clockRate: 48_000, channels: 2 }],
      encodings: [{ ssrc: 0x5eed_0001 }],
    },
  });
  const outgoing = await sender.consume({ producerId: source.id, rtpCapabilities: router.rtpCapabilities });
  const incoming = await receiver.produce({ kind: 'audio', rtpParameters: outgoing.rtpParameters });
  const sink = await outside.consume({ producerId: incoming.id, rtpCapabilities: router.rtpCapabilities });
  const payload = Buffer.from('the same bytes come out');
  const arrived = new Promise<void>((resolve) => {
    sink.on('rtp', (packet) => {
      if (packet.subarray(-payload.length).equals(payload)) {
        resolve();
      }
    });
  });
  let sequence = 1;
  const timer = setInterval(() => source.send(rtpPacket(0x5eed_0001, sequence++, payload)), 20);
  const stop = (): void => clearInterval(timer);

  ended.addEventListener('abort', stop);
  await arrived.finally(stop);
}

// RFC 3550 section 5.1:  0  1  version 2      1  1  payload type      2  2  sequence      4  4  timestamp      8  4  SSRC
function rtpPacket(ssrc: number, sequence: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(12);

  header[0] = 0x80;
  header[1] = 111;
  header.writeUInt16BE(sequence, 2);
  header.writeUInt32BE(sequence * 960, 4);
  header.writeUInt32BE(ssrc, 8);

  return Buffer.concat([header, payload]);
}

async function withDeadline<T>(deadline: AbortSignal, what: string, work: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    deadline.addEventListener('abort', () => {
      reject(new MediaWorkerError(`The media worker did not ${what} within ${totalTimeoutMs / 1000} s.`));
    });
  });

  try {
    return await Promise.race([work, late]);
  } catch (error) {
    if (error instanceof MediaWorkerError) throw error;
    throw new MediaWorkerError(
      `The media worker did not ${what}: ${error instanceof Error ? error.message : String(error)}.`,
      { cause: error },
    );
  }
}
