import type { CloseReason, Method, Params, Result } from '#protocol';
import { asClientError, VerbatimClientError } from './errors.ts';
import { PacedRequests } from './paced-requests.ts';
import type { Notification } from './rpc-socket.ts';
import type { SignalingSocket, Transport } from './transport.ts';

export type ConnectionState = 'connecting' | 'online' | 'reconnecting' | 'closed';
export type SignedIn = Result<'session.start'>;

export interface SessionOptions {
  open: Transport['open'];
  /** `wss://host/v1/signaling` */
  url: string;
  device: string;
  /** A token that is still good; called for each sign-in and before the present one runs out. */
  getToken(): Promise<string>;
  /** True when a second call of `getToken` may give another token than the first. */
  renewable: boolean;
  onState(state: ConnectionState, error?: VerbatimClientError): void;
  /** Each time the device is signed in, the first time and after a loss; before any notification. */
  onSignedIn(answer: SignedIn): void;
  onNotification(notification: Notification): void;
  /** A call is running: come back as fast as it takes, the grace period runs. */
  urgent(): boolean;
}

/** The server will say the same again: trying by ourselves would only repeat it. */
const FINAL: ReadonlySet<string> = new Set<CloseReason>([
  'signed_off',
  'binary_refused',
  'not_utf8',
  'too_large',
  'origin_refused',
  'replaced',
  'too_many_connections',
]);
const FINAL_ERRORS: ReadonlySet<string> = new Set(['forbidden', 'bad_request', 'origin_refused']);

const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 15_000;
const BACKOFF_MAX_IN_CALL_MS = 1_500;
/** The server pings every 5 s, which a page cannot see; so it asks by itself. */
const HEARTBEAT_MS = 5_000;
const HEARTBEAT_TIMEOUT_MS = 4_000;
const RENEW_BEFORE_MS = 60_000;
const RENEW_AGAIN_MS = 10_000;

/**
 * Stays signed in: opens sockets one after the other, with back-off and jitter, always as the same device, and
 * renews the token on the socket that is open. It ends by `close()`, or when the server's refusal is final.
 */
export class Session {
  readonly #options: SessionOptions;
  #socket: SignalingSocket | undefined;
  readonly #paced = new PacedRequests();
  #state: ConnectionState = 'connecting';
  #failures = 0;
  /** Refusals of a token in a row: a fresh token may cure the first, not the second. */
  #tokenRefusals = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #renew: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #opening = false;
  /** Put aside: it does not come back by itself. */
  #resting = false;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Starts, or tries again at once when it is waiting for its next try. */
  wake(): void {
    if (this.#state === 'closed' || this.#opening || this.#state === 'online') return;
    clearTimeout(this.#retry);
    this.#resting = false;
    this.#opening = true;
    void this.#open().finally(() => {
      this.#opening = false;
    });
  }

  /** @throws VerbatimClientError with the server's code, or `connection_lost` at once while not online */
  request<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    if (this.#socket === undefined || this.#state !== 'online') {
      return Promise.reject(new VerbatimClientError('connection_lost'));
    }
    return this.#paced.request(() => this.#ask(method, params));
  }

  #ask<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    // It may have waited for its turn, and the connection may be another one or none by now.
    if (this.#socket === undefined || this.#state !== 'online') {
      return Promise.reject(new VerbatimClientError('connection_lost'));
    }
    return this.#socket.request(method, params);
  }

  /** Signs off, so that nobody waits for this device, and stops. */
  async close(): Promise<void> {
    const socket = this.#state === 'online' ? this.#socket : undefined;
    this.#end(new VerbatimClientError('client_closed'));
    try {
      await socket?.request('session.end', {}, 1_000);
    } catch {
      // The socket is closed either way; the server then waits out the grace period.
    }
    socket?.close('signed_off');
  }

  /**
   * The browser puts the page aside and may bring it back later (back/forward cache): nobody waits for it meanwhile.
   * `wake` signs in again.
   */
  rest(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#resting = true;
    // What is sent before the close still goes out; an answer would find a page that sleeps.
    socket.request('session.end', {}).catch(() => {});
    socket.close();
  }

  async #open(): Promise<void> {
    let socket: SignalingSocket | undefined;
    try {
      const token = await this.#options.getToken();
      if (this.#isClosed()) return;
      socket = await this.#options.open(this.#options.url, {
        onNotification: (notification) => {
          if (socket === this.#socket) this.#options.onNotification(notification);
        },
        onClose: (reason) => {
          if (socket !== undefined && socket === this.#socket) this.#lost(reason);
        },
      });
      if (this.#isClosed()) return socket.close();
      const answer = await socket.request('session.start', { token, device: this.#options.device });
      if (this.#isClosed()) return socket.close();
      this.#signedIn(socket, answer);
    } catch (error) {
      socket?.close();
      this.#failed(asClientError(error, 'connection_lost'));
    }
  }

  #signedIn(socket: SignalingSocket, answer: SignedIn): void {
    this.#socket = socket;
    this.#failures = 0;
    this.#tokenRefusals = 0;
    // The page is told last, when everything that it may ask for is in place.
    this.#state = 'online';
    this.#scheduleRenewal(answer);
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => void this.#beat(socket), HEARTBEAT_MS);
    this.#options.onSignedIn(answer);
    this.#options.onState('online');
  }

  #lost(reason: string): void {
    this.#socket = undefined;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#renew);
    if (this.#isClosed()) return;
    if (FINAL.has(reason)) {
      this.#end(new VerbatimClientError('connection_lost', `the server closed the connection: ${reason}`));
    } else {
      this.#setState('reconnecting');
      this.#retryLater();
    }
  }

  #failed(error: VerbatimClientError): void {
    if (this.#isClosed()) return;
    const tokenRefused = error.code === 'unauthorized' || error.code === 'token_expired';
    if (tokenRefused) this.#tokenRefusals += 1;
    if (FINAL_ERRORS.has(error.code) || this.#tokenRefusals > (this.#options.renewable ? 1 : 0)) {
      this.#end(error);
    } else this.#retryLater();
  }

  /** Full jitter: after a restart of the server its clients do not come back in one instant. */
  #retryLater(): void {
    if (this.#resting) return;
    const max = this.#options.urgent() ? BACKOFF_MAX_IN_CALL_MS : BACKOFF_MAX_MS;
    const ceilingMs = Math.min(max, BACKOFF_FIRST_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.wake(), ceilingMs * (0.25 + 0.75 * Math.random()));
  }

  async #beat(socket: SignalingSocket): Promise<void> {
    if (performance.now() - socket.lastHeardAtMs < HEARTBEAT_MS / 2) return;
    try {
      await socket.request('session.ping', {}, HEARTBEAT_TIMEOUT_MS);
    } catch (error) {
      // Whoever says that it was too fast is there.
      if (asClientError(error, 'connection_lost').code === 'rate_limited') return;
      // Also after a laptop woke up: the socket still looks open, but nobody is there.
      if (socket === this.#socket) socket.close();
    }
  }

  #scheduleRenewal(answer: SignedIn): void {
    clearTimeout(this.#renew);
    if (!this.#options.renewable) return;
    // By the server's clock on both ends: the clock of this machine may be wrong.
    const leftMs = Date.parse(answer.tokenExpiresAt) - Date.parse(answer.serverTime);
    const inMs = Math.max(leftMs / 2, leftMs - RENEW_BEFORE_MS);
    this.#renew = setTimeout(() => void this.#renewToken(), Math.min(inMs, 2 ** 31 - 1));
  }

  async #renewToken(): Promise<void> {
    const socket = this.#socket;
    try {
      const token = await this.#options.getToken();
      if (socket === undefined || socket !== this.#socket) return;
      this.#scheduleRenewal(await socket.request('session.start', { token, device: this.#options.device }));
    } catch {
      // The messenger's server may be away for a moment. Should it stay away, the socket is closed when the old
      // token runs out, and signing in again asks for a new one.
      clearTimeout(this.#renew);
      if (socket !== undefined && socket === this.#socket) {
        this.#renew = setTimeout(() => void this.#renewToken(), RENEW_AGAIN_MS);
      }
    }
  }

  #end(error: VerbatimClientError): void {
    if (this.#isClosed()) return;
    clearTimeout(this.#retry);
    clearTimeout(this.#renew);
    clearInterval(this.#heartbeat);
    this.#setState('closed', error);
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #setState(state: ConnectionState, error?: VerbatimClientError): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState(state, error);
  }
}
