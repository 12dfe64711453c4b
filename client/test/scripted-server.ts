import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { generateRouterRtpCapabilities } from 'mediasoup-client/fakeParameters';
import type { WebSocket } from 'ws';
import { WebSocketServer } from 'ws';
import type { CallView, ErrorCode, Method, NotificationName, NotificationParams } from '#protocol';
import { CLOSE_CODES } from '#protocol';

/** For tests: a server that says what a test tells it to say, in the words of the contract. No call logic. */

export const CALL_ID = '3b241101-e2bb-4255-8caf-4136c566a962';
/** SHA-256 of the text, by sha256sum. */
export const DISCLOSURE = {
  version: 3,
  locale: 'en',
  text: 'This call is recorded.',
  sha256: '8b0b85a94ff81da286bf600a0e4f94372085b4983e6a0f07f4d348a816aeff80',
};
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.wav': 'audio/wav',
};

export class Refusal {
  readonly code: ErrorCode;
  constructor(code: ErrorCode) {
    this.code = code;
  }
}

type Handler = (params: Record<string, unknown>, socket: WebSocket) => unknown;
interface Answer {
  status: number;
  body: unknown;
}
type Route = (
  token: string | undefined,
  request: { query: URLSearchParams; sent: unknown },
) => Answer | Promise<Answer>;
/** A page of a test, or a script or picture of it; its type is that of the path's extension. */
interface Page {
  text: string | Uint8Array;
  headers?: Record<string, string>;
}
interface Request {
  method: Method;
  params: Record<string, unknown>;
}

export function callView(changes: Partial<CallView> = {}): CallView {
  return {
    callId: CALL_ID,
    chatId: 'chat-1',
    mode: 'secure',
    side: 'caller',
    state: 'ringing',
    recording: false,
    peer: { userId: 'bob', name: 'Bob' },
    peerMuted: false,
    startedAt: new Date().toISOString(),
    ...changes,
  };
}

/** What `session.start` answers, with changes. */
export function signedIn(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const now = Date.now();
  return {
    appId: 'app',
    userId: 'alice',
    serverTime: new Date(now).toISOString(),
    tokenExpiresAt: new Date(now + 3_600_000).toISOString(),
    graceMs: 15_000,
    may: { voice: true, secure: true, recordings: true },
    routerRtpCapabilities: generateRouterRtpCapabilities(),
    ...changes,
  };
}

/** What `media.open` answers: transports that lead nowhere, so the browser builds its end and waits for a path. */
export const transports = () => ({ send: transport('send-1'), recv: transport('recv-1') });

/** As a server describes its end; nobody listens at the address (RFC 5737). */
function transport(id: string): Record<string, unknown> {
  const fingerprint = Array.from({ length: 32 }, () => 'AB').join(':');
  return {
    id,
    iceParameters: {
      usernameFragment: 'verbatimtest',
      password: 'a-password-of-32-characters-12345',
      iceLite: true,
    },
    iceCandidates: [
      {
        foundation: 'udp',
        priority: 1,
        ip: '192.0.2.1',
        address: '192.0.2.1',
        protocol: 'udp',
        port: 9,
        type: 'host',
      },
    ],
    dtlsParameters: { role: 'auto', fingerprints: [{ algorithm: 'sha-256', value: fingerprint }] },
  };
}

async function json(stream: AsyncIterable<Uint8Array>): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString());
}

export async function startScript(files: string) {
  const handlers = new Map<Method, Handler>();
  const routes = new Map<string, Route>();
  const pages = new Map<string, Page>();
  const requests: Request[] = [];
  const fetched: string[] = [];
  const wake = new Set<() => void>();
  const sockets = new Set<WebSocket>();
  let connections = 0;
  let seen = 0;

  const http = createServer(async (request, response) => {
    const path = request.url?.split('?')[0] ?? '/';
    fetched.push(`${request.method} ${path}`);
    const route = routes.get(`${request.method} ${path}`);
    if (route) {
      const sent = request.method === 'POST' ? await json(request) : undefined;
      const query = new URL(request.url ?? '/', 'http://script').searchParams;
      const { status, body } = await route(request.headers.authorization?.replace('Bearer ', ''), {
        query,
        sent,
      });
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      response.writeHead(status, { 'content-type': 'application/json' }).end(text);
      return;
    }
    const page = pages.get(path);
    if (page) {
      const type = { 'content-type': TYPES[extname(path)] ?? TYPES['.html'], ...page.headers };
      const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
      if (range && typeof page.text !== 'string') {
        // Browsers seek in a sound only when its server answers with parts of it.
        const total = page.text.length;
        const from = Number(range[1]);
        const to = range[2] ? Math.min(Number(range[2]), total - 1) : total - 1;
        const part = { 'content-range': `bytes ${from}-${to}/${total}`, 'accept-ranges': 'bytes' };
        response.writeHead(206, { ...type, ...part }).end(page.text.subarray(from, to + 1));
        return;
      }
      response.writeHead(200, type).end(page.text);
      return;
    }
    if (path === '/') {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>empty</title>');
      return;
    }
    try {
      const file = await readFile(join(files, path.endsWith('/') ? `${path}index.html` : path));
      response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? TYPES['.html'] }).end(file);
    } catch {
      response.writeHead(404).end();
    }
  });
  const ws = new WebSocketServer({ server: http, path: '/v1/signaling' });
  ws.on('connection', (socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('message', async (data) => {
      const { id, method, params } = JSON.parse(data.toString());
      requests.push({ method, params });
      for (const run of wake) run();
      const result = await (handlers.get(method) ?? (() => ({})))(params, socket);
      if (result === undefined) return;
      if (result instanceof Refusal) {
        const error = { code: -1, message: `refused: ${result.code}`, data: { code: result.code } };
        socket.send(JSON.stringify({ jsonrpc: '2.0', id, error }));
      } else socket.send(JSON.stringify({ jsonrpc: '2.0', id, result }));
    });
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const { port } = http.address() as AddressInfo;

  const script = {
    port,
    url: `http://127.0.0.1:${port}`,
    requests,
    fetched,
    get connections(): number {
      return connections;
    },
    /** Answers a method; `undefined` never answers. Without a handler a method is answered with `{}`. */
    on(method: Method, handler: Handler): void {
      handlers.set(method, handler);
    },
    /** Answers an HTTP request, `GET /path`. A body of text is sent as it is, everything else as JSON. */
    route(line: string, answer: Route): void {
      routes.set(line, answer);
    },
    /** Serves a page of a messenger, or a file of it. It stays over `reset`. */
    page(path: string, page: Page): void {
      pages.set(path, page);
    },
    /** The next request of this method after those that were waited for already. */
    async next(method: Method): Promise<Record<string, unknown>> {
      for (;;) {
        while (seen < requests.length) {
          const request = requests[seen++];
          if (request?.method === method) return request.params;
        }
        await new Promise<void>((resolve) => {
          const run = (): void => {
            wake.delete(run);
            resolve();
          };
          wake.add(run);
        });
      }
    },
    notify<N extends NotificationName>(method: N, params: NotificationParams<N>): void {
      for (const socket of sockets) socket.send(JSON.stringify({ jsonrpc: '2.0', method, params }));
    },
    /** Cuts every socket, as a broken network does. */
    drop(): void {
      for (const socket of sockets) socket.terminate();
    },
    /** Closes every socket with a reason of the contract. */
    shut(reason: keyof typeof CLOSE_CODES): void {
      for (const socket of sockets) socket.close(CLOSE_CODES[reason].code, reason);
    },
    /** Forgets what a test before has set up. */
    reset(): void {
      script.drop();
      handlers.clear();
      routes.clear();
      requests.length = 0;
      fetched.length = 0;
      seen = 0;
      connections = 0;
      handlers.set('session.start', () => signedIn());
      handlers.set('disclosure.get', () => DISCLOSURE);
      handlers.set('presence.get', () => ({ online: ['bob'] }));
      handlers.set('call.start', () => callView());
      handlers.set('call.accept', () => callView({ side: 'callee', state: 'connecting' }));
      handlers.set('media.open', transports);
      handlers.set('peer.servers', () => ({ iceServers: [], iceTransportPolicy: 'all' }));
      handlers.set('peer.candidates', () => ({ relayed: true }));
      handlers.set('media.produce', () => ({ producerId: 'producer-1' }));
    },
    async close(): Promise<void> {
      script.drop();
      ws.close();
      http.closeAllConnections();
      http.close();
      await once(http, 'close');
    },
  };
  script.reset();
  return script;
}
