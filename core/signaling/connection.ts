import type { FastifyBaseLogger } from 'fastify';
import type { WebSocket } from 'ws';
import type {
  CloseReason,
  LedgerInfo,
  Method,
  NotificationName,
  NotificationParams,
  Params,
  Permissions,
  Result,
  SIGNALING_LIMITS,
} from '#protocol';
import { CLOSE_CODES, ERRORS, VerbatimError } from '#protocol';
import type { Participant } from '../call/index.ts';
import { TokenBucket } from './bucket.ts';
import type { MethodDeps } from './methods.ts';
import { callMethod, isTableMethod } from './methods.ts';
import type { DeviceLink, DeviceRegistry } from './registry.ts';
import type { RpcId } from './rpc.ts';
import { errorMessage, notificationMessage, parseMessage, resultMessage } from './rpc.ts';
import type { Provenance, SessionDeps } from './session.ts';
import { authenticate } from './session.ts';
import { isMethod, validateParams } from './validate.ts';

export type Limits = { readonly [K in keyof typeof SIGNALING_LIMITS]: number };

export interface ConnectionDeps extends SessionDeps, MethodDeps {
  devices: DeviceRegistry;
  /** How long a call waits for a lost device; told to the client, kept by the call service. */
  graceMs: number;
  /** What this user may do now. */
  permissions(who: Participant): Promise<Permissions>;
  /** The ledger's key and newest checkpoint, for the client to keep and compare. */
  ledger?: () => LedgerInfo | undefined;
  nowMs(): number;
}

/** Who keeps the connection: told once each. */
export interface ConnectionOwner {
  signedIn(): void;
  ended(): void;
}

/** The longest delay that setTimeout takes; a token lives at most 24 h. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/**
 * Worked on one after the other, in the order they came: a client may send `media.open` right behind
 * `call.accept`, and two quick mutes never swap. What ends a call never waits in this line.
 */
const ORDERED: ReadonlySet<Method> = new Set<Method>([
  'call.start',
  'call.accept',
  'call.mute',
  'media.open',
  'media.connect',
  'media.produce',
  'media.restartIce',
  'peer.servers',
  'peer.description',
  'peer.candidates',
  'peer.connected',
  'peer.broken',
]);
/**
 * A browser's own word for a page that is closed, left or crashed (RFC 6455, 7.4.1): no page's script can send it, and
 * a network that breaks sends none. What the page itself says last may be dropped with it; this the browser sends.
 */
const GOING_AWAY = 1001;
/** After the close frame a client has this long to answer it before the socket is cut. */
const CLOSE_TIMEOUT_MS = 1_000;

/**
 * One socket, from its upgrade to its end:
 * open -> (session.start within `signInMs`) -> signed in -> closed.
 * Whatever ends it, `#ended` runs once: timers stop, the device leaves the registry, the call service is told.
 */
export class Connection implements DeviceLink {
  readonly #socket: WebSocket;
  readonly #deps: ConnectionDeps;
  readonly #limits: Limits;
  readonly #from: Provenance;
  readonly #log: FastifyBaseLogger;
  readonly #owner: ConnectionOwner;
  readonly #bucket: TokenBucket;
  readonly #inFlight = new Set<RpcId>();
  /** Notifications that came while the answer to `session.start` was not sent yet: a client first learns who it is. */
  #early: string[] | undefined;
  #who: Participant | undefined;
  #kid = '';
  /** The running sign-in; later requests wait for it, so a client may send them without waiting. */
  #signingIn: Promise<void> | undefined;
  /** The end of the line of ordered requests; never rejects. */
  #order: Promise<void> = Promise.resolve();
  #refusedInRow = 0;
  #alive = true;
  #closed = false;
  #goodbye = false;
  #signInTimer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  #closeTimer: NodeJS.Timeout | undefined;
  readonly #pingTimer: NodeJS.Timeout;

  constructor(
    socket: WebSocket,
    deps: ConnectionDeps,
    limits: Limits,
    from: Provenance,
    log: FastifyBaseLogger,
    owner: ConnectionOwner,
  ) {
    this.#socket = socket;
    this.#deps = deps;
    this.#limits = limits;
    this.#from = from;
    this.#log = log;
    this.#owner = owner;
    this.#bucket = new TokenBucket(limits.requestBurst, limits.requestsPerSecond, deps.nowMs);
    socket.on('message', (data, isBinary) => {
      this.#alive = true;
      if (isBinary) this.closeWith('binary_refused', 'messages are text frames');
      else this.#onText(data.toString());
    });
    socket.on('pong', () => {
      this.#alive = true;
    });
    socket.once('close', (code) => {
      this.#ended(code);
      owner.ended();
    });
    this.#signInTimer = setTimeout(() => {
      this.closeWith('unauthorized', `no session.start within ${limits.signInMs} ms`);
    }, limits.signInMs);
    this.#pingTimer = setInterval(() => this.#ping(), limits.pingIntervalMs);
  }

  get appId(): string {
    return this.#participant().appId;
  }

  get userId(): string {
    return this.#participant().userId;
  }

  get device(): string {
    return this.#participant().device;
  }

  get kid(): string {
    return this.#kid;
  }

  notify<N extends NotificationName>(name: N, params: NotificationParams<N>): void {
    const message = notificationMessage(name, params);
    if (this.#early === undefined) this.#send(message);
    else if (this.#early.length < this.#limits.requestBurst) this.#early.push(message);
  }

  /** Says why, then closes; cuts the socket when the client does not answer. Does nothing the second time. */
  closeWith(reason: CloseReason, message: string): void {
    if (this.#closed) return;
    this.#send(notificationMessage('session.closing', { code: reason, message }));
    if (this.#closed) return;
    this.#closed = true;
    this.#log.info({ reason }, 'signaling connection closed by the server');
    this.#socket.close(CLOSE_CODES[reason].code, reason);
    this.#closeTimer = setTimeout(() => this.#socket.terminate(), CLOSE_TIMEOUT_MS);
    // The device is gone for everybody now, not when a slow peer answers the close frame.
    this.#leave();
  }

  #onText(text: string): void {
    if (this.#closed) return;
    const incoming = parseMessage(text);
    if (!this.#bucket.take()) {
      const id = incoming.kind === 'notification' ? null : incoming.id;
      this.#refuse(id, new VerbatimError('rate_limited', 'too many messages on this connection: slow down'));
      return;
    }
    // Clients have nothing to notify about; JSON-RPC 2.0 forbids an answer.
    if (incoming.kind === 'notification') return;
    if (incoming.kind === 'invalid') {
      this.#refuse(incoming.id, incoming.error);
      return;
    }
    const { id, method, params } = incoming;
    if (this.#inFlight.size >= this.#limits.maxRequestsInFlight) {
      this.#refuse(id, new VerbatimError('rate_limited', 'too many requests are waiting for their answer'));
      return;
    }
    if (this.#inFlight.has(id)) {
      this.#refuse(
        id,
        new VerbatimError('invalid_message', 'a request with this id is still being worked on'),
      );
      return;
    }
    this.#inFlight.add(id);
    this.#answer(id, method, params)
      .catch((error: unknown) => {
        this.#log.error({ err: error, method }, 'signaling answer failed');
        this.#socket.terminate();
      })
      .finally(() => this.#inFlight.delete(id));
  }

  async #answer(id: RpcId, method: string, params: unknown): Promise<void> {
    try {
      if (!isMethod(method)) {
        throw new VerbatimError('unknown_method', `there is no method "${method.slice(0, 64)}"`);
      }
      const result = await this.#dispatch(method, params);
      this.#refusedInRow = 0;
      this.#send(resultMessage(id, result));
      this.#flushEarly();
    } catch (error) {
      this.#refuse(id, this.#known(error, method));
    }
    if (this.#goodbye) this.closeWith('signed_off', 'signed off');
  }

  async #dispatch(method: Method, raw: unknown): Promise<unknown> {
    if (method === 'session.start') {
      const params = validateParams(method, raw);
      // Two sign-ins of one connection never overlap.
      const before = this.#signingIn ?? Promise.resolve();
      const run = before.then(() => this.#signIn(params));
      this.#signingIn = run.then(
        () => undefined,
        () => undefined,
      );
      return await run;
    }
    await this.#signingIn;
    if (this.#closed || this.#who === undefined) {
      throw new VerbatimError('unauthorized', 'the first message must be session.start with a token');
    }
    if (method === 'session.end') {
      validateParams(method, raw);
      this.#goodbye = true;
      this.#leave();
      return {};
    }
    if (method === 'session.ping') {
      validateParams(method, raw);
      return {};
    }
    if (!isTableMethod(method)) throw new VerbatimError('unknown_method');
    const params = validateParams(method, raw);
    if (!ORDERED.has(method)) return await callMethod(method, this.#deps, this.#who, params);
    const run = this.#order.then(() => {
      if (this.#closed || this.#who === undefined) throw new VerbatimError('unauthorized');
      return callMethod(method, this.#deps, this.#who, params);
    });
    this.#order = run.then(
      () => undefined,
      () => undefined,
    );
    return await run;
  }

  async #signIn(params: Params<'session.start'>): Promise<Result<'session.start'>> {
    const { who, expiresAtMs, kid } = await authenticate(this.#deps, params, this.#from);
    const may = await this.#deps.permissions(who);
    if (this.#closed) throw new VerbatimError('unauthorized', 'the connection is closed');
    const before = this.#who;
    if (before !== undefined) {
      // Renewing a token never changes who a connection speaks for.
      if (before.appId !== who.appId || before.userId !== who.userId || before.device !== who.device) {
        throw new VerbatimError('forbidden', 'this connection is signed in as another user or device');
      }
      this.#who = who;
      this.#kid = kid;
    } else {
      this.#who = who;
      this.#kid = kid;
      const added = this.#deps.devices.add(this);
      if (added === 'full') {
        this.#who = undefined;
        throw new VerbatimError('rate_limited', 'this user has too many connections');
      }
      added.replaced?.closeWith('replaced', 'this device signed in on a newer connection');
      this.#early = [];
      this.#owner.signedIn();
    }
    clearTimeout(this.#signInTimer);
    clearTimeout(this.#expiryTimer);
    this.#deps.devices.closeRevoked(this);
    if (this.#closed) throw new VerbatimError('unauthorized', 'the key of the token was revoked');
    const leftMs = Math.max(0, expiresAtMs - this.#deps.nowMs());
    this.#expiryTimer = setTimeout(
      () => this.closeWith('token_expired', 'the token has expired: sign in with a newer one'),
      Math.min(leftMs, MAX_TIMER_MS),
    );
    const { call, incoming } = this.#deps.calls.signedIn(who);
    const ledger = this.#deps.ledger?.();
    return {
      appId: who.appId,
      userId: who.userId,
      serverTime: new Date(this.#deps.nowMs()).toISOString(),
      tokenExpiresAt: new Date(expiresAtMs).toISOString(),
      graceMs: this.#deps.graceMs,
      routerRtpCapabilities: this.#deps.calls.routerRtpCapabilities(),
      may,
      ...(call === undefined ? {} : { call }),
      ...(incoming === undefined ? {} : { incoming }),
      ...(ledger === undefined ? {} : { ledger }),
    };
  }

  /** Answers with an error. Before the sign-in, and after too many in a row, the connection ends with it. */
  #refuse(id: RpcId | null, error: VerbatimError): void {
    this.#send(errorMessage(id, error));
    this.#refusedInRow += 1;
    if (this.#who === undefined) this.closeWith(refusalOf(error), error.message);
    else if (this.#refusedInRow >= this.#limits.maxRefusedInRow) {
      this.closeWith('rate_limited', 'messages kept coming after they were refused');
    }
  }

  #known(error: unknown, method: string): VerbatimError {
    const known =
      error instanceof VerbatimError ? error : new VerbatimError('internal', undefined, { cause: error });
    if (ERRORS[known.code].fault === 'us')
      this.#log.error({ err: known, method }, 'signaling request failed');
    return known;
  }

  #send(message: string): void {
    if (this.#closed || this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.send(message);
    if (this.#socket.bufferedAmount > this.#limits.maxBufferedBytes) {
      // A close frame would wait behind everything that the peer does not read.
      this.#log.warn({ bufferedBytes: this.#socket.bufferedAmount }, 'signaling connection too slow');
      this.#closed = true;
      this.#socket.terminate();
      this.#leave();
    }
  }

  #flushEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const message of early) this.#send(message);
  }

  #ping(): void {
    if (!this.#alive) {
      this.#log.info('signaling connection is dead');
      this.#socket.terminate();
      return;
    }
    this.#alive = false;
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping();
  }

  #ended(code: number): void {
    // Whoever was told to go answers with the code that it was told.
    if (code === GOING_AWAY && !this.#closed) this.#goodbye = true;
    this.#closed = true;
    clearTimeout(this.#signInTimer);
    clearTimeout(this.#closeTimer);
    clearInterval(this.#pingTimer);
    this.#log.debug({ code }, 'signaling connection ended');
    this.#leave();
  }

  /** Takes the device out, once; a device that a newer connection took over has not left. */
  #leave(): void {
    clearTimeout(this.#expiryTimer);
    const who = this.#who;
    if (who !== undefined && this.#deps.devices.remove(this)) {
      this.#deps.calls.deviceLeft(who, this.#goodbye ? 'goodbye' : 'lost');
    }
  }

  #participant(): Participant {
    if (this.#who === undefined) throw new Error('a connection has no participant before it signed in');
    return this.#who;
  }
}

/** The close reason that goes with the error that ended a connection before its sign-in. */
function refusalOf(error: VerbatimError): CloseReason {
  if (error.code === 'origin_refused' || error.code === 'token_expired') return error.code;
  if (error.code === 'rate_limited') return 'too_many_connections';
  const { fault } = ERRORS[error.code];
  return fault === 'us' || fault === 'operator' ? 'unavailable' : 'unauthorized';
}
