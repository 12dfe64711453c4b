import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import websocket from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import { SIGNALING_LIMITS, VerbatimError } from '#protocol';
import type { ConnectionDeps, Limits } from './connection.ts';
import { Connection } from './connection.ts';

/** Everything signaling needs; `app.ts` gives it. `limits` and `nowMs` are there for tests and default to the real ones. */
export interface SignalingOptions extends Omit<ConnectionDeps, 'nowMs'> {
  limits?: Partial<Limits>;
  nowMs?: () => number;
}

const PATH = '/v1/signaling';

/** Registers `GET /v1/signaling`. Upgrade requests to any other address are answered with 404. */
export async function signaling(app: FastifyInstance, options: SignalingOptions): Promise<void> {
  const limits: Limits = { ...SIGNALING_LIMITS, ...options.limits };
  const deps: ConnectionDeps = { ...options, nowMs: options.nowMs ?? Date.now };
  const connections = new Set<Connection>();
  const unsigned = new Set<Connection>();
  let draining = false;

  // Never listens: the WebSocket layer gets its upgrade requests from here instead of from the real server,
  // because it would leave the socket of an upgrade request to another route open for ever.
  const gate = createServer();
  app.server.on('upgrade', (request, socket, head) => {
    if (request.url?.split('?', 1)[0] === PATH) gate.emit('upgrade', request, socket, head);
    else refuseUpgrade(socket);
  });

  await app.register(websocket, {
    options: { server: gate, maxPayload: limits.maxPayloadBytes, perMessageDeflate: false },
    // Before the HTTP server stops: clients learn that the server goes, instead of a broken socket.
    preClose: (done) => {
      draining = true;
      for (const connection of [...connections]) {
        connection.closeWith('shutting_down', 'the server is shutting down');
      }
      done();
    },
    errorHandler(error, socket, request) {
      // Frames that break the WebSocket protocol or its limits; the layer below has sent the close code.
      request.log.info({ err: error }, 'signaling socket error');
      if (socket.readyState === socket.OPEN) socket.terminate();
    },
  });

  app.get(
    PATH,
    {
      websocket: true,
      config: { auth: 'first-message' },
      preValidation: async () => {
        if (draining) throw new VerbatimError('shutting_down');
        if (unsigned.size >= limits.maxUnsignedConnections) {
          throw new VerbatimError('unavailable', 'too many connections wait for their sign-in');
        }
      },
    },
    (socket, request) => {
      const from = { origin: request.headers.origin, host: request.host };
      const connection = new Connection(socket, deps, limits, from, request.log, {
        signedIn: () => unsigned.delete(connection),
        ended: () => {
          unsigned.delete(connection);
          connections.delete(connection);
        },
      });
      connections.add(connection);
      unsigned.add(connection);
    },
  );
}

function refuseUpgrade(socket: Duplex): void {
  // The peer may be gone already.
  socket.on('error', () => socket.destroy());
  socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () =>
    socket.destroy(),
  );
}
