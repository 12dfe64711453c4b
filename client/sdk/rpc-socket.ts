import type { ErrorCode, Method, NotificationName, NotificationParams, Params, Result } from '#protocol';
import { asClientError, VerbatimClientError } from './errors.ts';

/** A request that has no answer after this time has failed; the server answers in milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000;
const OPEN_TIMEOUT_MS = 10_000;

export type Notification = {
  [N in NotificationName]: { method: N; params: NotificationParams<N> };
}[NotificationName];

export interface SocketEvents {
  onNotification(notification: Notification): void;
  /** Once, whoever closed. `reason` is the server's word for it, or empty. */
  onClose(reason: string): void;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: VerbatimClientError): void;
  timer: ReturnType<typeof setTimeout>;
}

/** JSON-RPC 2.0 over one WebSocket. It lives once: after `onClose` every request fails with `connection_lost`. */
export class RpcSocket {
  readonly #socket: WebSocket;
  readonly #events: SocketEvents;
  /** Bounded by the requests in flight that the server allows. */
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closed = false;
  /** When the last frame came, by the monotonic clock: a dead path is noticed by its silence. */
  lastHeardAtMs = performance.now();

  private constructor(socket: WebSocket, events: SocketEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.addEventListener('message', ({ data }) => this.#onMessage(data));
    socket.addEventListener('close', ({ reason }) => this.#onClose(reason));
  }

  /** Opens a socket. @throws VerbatimClientError `connection_lost` or `timeout` */
  static open(url: string, events: SocketEvents): Promise<RpcSocket> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url);
      const timer = setTimeout(() => {
        socket.close();
        reject(new VerbatimClientError('timeout'));
      }, OPEN_TIMEOUT_MS);
      socket.addEventListener('open', () => {
        clearTimeout(timer);
        resolve(new RpcSocket(socket, events));
      });
      socket.addEventListener('error', () => {
        clearTimeout(timer);
        reject(new VerbatimClientError('connection_lost'));
      });
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Requests are worked on by the server in the order they were sent where the order matters (calls and media),
   * so the next may be sent before the answer to the one before.
   * @throws VerbatimClientError with the server's code, or `connection_lost`, or `timeout`
   */
  request<M extends Method>(
    method: M,
    params: Params<M>,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Result<M>> {
    if (this.#closed) return Promise.reject(new VerbatimClientError('connection_lost'));
    const id = this.#nextId++;
    return new Promise<Result<M>>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new VerbatimClientError('timeout', `${method}: the server did not answer in time`));
      }, timeoutMs);
      // The server's answer to this method has this method's shape.
      this.#waiting.set(id, { resolve: (result) => resolve(result as Result<M>), reject, timer });
      this.#socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    });
  }

  /** Closes at once; the close handshake of a dead path would take minutes. */
  close(reason = ''): void {
    this.#socket.close();
    this.#onClose(reason);
  }

  #onMessage(data: unknown): void {
    this.lastHeardAtMs = performance.now();
    const message: unknown = JSON.parse(String(data));
    if (typeof message !== 'object' || message === null) return;
    if ('method' in message) {
      // The server sends only notifications of the contract.
      if (!this.#closed) this.#events.onNotification(message as Notification);
      return;
    }
    if (!('id' in message) || typeof message.id !== 'number') return;
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    if ('error' in message) waiting.reject(serverError(message.error));
    else waiting.resolve('result' in message ? message.result : undefined);
  }

  #onClose(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new VerbatimClientError('connection_lost'));
    }
    this.#waiting.clear();
    this.#events.onClose(reason);
  }
}

function serverError(error: unknown): VerbatimClientError {
  const { message, data } = error as { message?: string; data?: { code?: ErrorCode } };
  if (data?.code === undefined) return asClientError(error, 'internal');
  return new VerbatimClientError(data.code, message);
}
