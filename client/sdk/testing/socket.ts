import type { Method, NotificationName, NotificationParams, Params, Result } from '#protocol';
import { VerbatimClientError } from '../index.ts';
import type { Notification, SocketEvents } from '../rpc-socket.ts';
import type { SignalingSocket } from '../transport.ts';
import type { TestCalls } from './calls.ts';
import type { TestDirectory } from './directory.ts';
import type { Link, Links } from './links.ts';

export interface TestSocketDeps {
  directory: TestDirectory;
  links: Links;
  calls: TestCalls;
  graceMs: number;
  /** Whom a token speaks for, and until when. @throws VerbatimClientError `unauthorized`, `token_expired` */
  read(token: string): { userId: string; expiresAtMs: number };
}

/** The longest delay that setTimeout takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** One connection to a test server. What is said on it arrives later and in order, as on a wire. */
export class TestSocket implements SignalingSocket, Link {
  readonly #deps: TestSocketDeps;
  readonly #events: SocketEvents;
  #userId: string | undefined;
  #device = '';
  #closed = false;
  #expiry: ReturnType<typeof setTimeout> | undefined;
  lastHeardAtMs = performance.now();

  constructor(deps: TestSocketDeps, events: SocketEvents) {
    this.#deps = deps;
    this.#events = events;
  }

  get userId(): string {
    return this.#userId ?? '';
  }

  get device(): string {
    return this.#device;
  }

  async request<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    await this.#onTheWire();
    const answer = await this.#answer(method, structuredClone(params)).catch(async (error: unknown) => {
      await this.#onTheWire();
      throw error;
    });
    await this.#onTheWire();
    this.lastHeardAtMs = performance.now();
    // Each branch of `#answer` gives what its own method promises.
    return structuredClone(answer) as Result<M>;
  }

  notify<N extends NotificationName>(method: N, params: NotificationParams<N>): void {
    // Name and parameters belong together, which TypeScript does not follow through the generic.
    const notification = structuredClone({ method, params }) as unknown as Notification;
    setTimeout(() => {
      if (!this.#closed) this.#events.onNotification(notification);
    }, 0);
  }

  /** The page goes. Whether it signed off before decides whether it is waited for. */
  close(reason = ''): void {
    this.#leave('lost');
    this.#end(reason);
  }

  /** The network between breaks, or the server closes. */
  drop(reason = ''): void {
    this.close(reason);
  }

  async #onTheWire(): Promise<void> {
    if (this.#closed) throw new VerbatimClientError('connection_lost');
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.#closed) throw new VerbatimClientError('connection_lost');
  }

  async #answer(method: Method, params: unknown): Promise<unknown> {
    // The caller's own types say that these parameters belong to this method.
    const given = <M extends Method>(): Params<M> => params as Params<M>;
    const { calls, directory, links } = this.#deps;
    if (method === 'session.start') return this.#signIn(given<'session.start'>());
    if (this.#userId === undefined) throw new VerbatimClientError('unauthorized');
    switch (method) {
      case 'session.end':
        this.#leave('goodbye');
        return {};
      case 'session.ping':
        return {};
      case 'presence.get': {
        const { userIds } = given<'presence.get'>();
        return { online: userIds.filter((id) => links.of(id).length > 0) };
      }
      case 'disclosure.get':
        return directory.disclosure();
      case 'call.start':
        return calls.start(this, given<'call.start'>());
      case 'call.accept':
        return calls.accept(this, given<'call.accept'>());
      case 'call.decline':
        return calls.decline(this, given<'call.decline'>().callId) ?? {};
      case 'call.cancel':
        return calls.cancel(this, given<'call.cancel'>().callId) ?? {};
      case 'call.hangup':
        return calls.hangup(this, given<'call.hangup'>().callId) ?? {};
      case 'call.mute':
        return calls.mute(this, given<'call.mute'>()) ?? {};
      default:
        // Media goes by `TestMedia`.
        throw new VerbatimClientError('unknown_method');
    }
  }

  #signIn({ token, device }: Params<'session.start'>): Result<'session.start'> {
    const { userId, expiresAtMs } = this.#deps.read(token);
    if (this.#userId === undefined) {
      this.#userId = userId;
      this.#device = device;
      this.#deps.links.add(this);
    } else if (this.#userId !== userId || this.#device !== device) {
      // Renewing a token never changes who a connection speaks for.
      throw new VerbatimClientError('forbidden');
    }
    const now = Date.now();
    clearTimeout(this.#expiry);
    this.#expiry = setTimeout(() => this.drop('token_expired'), Math.min(expiresAtMs - now, MAX_TIMER_MS));
    return {
      appId: 'test',
      userId,
      serverTime: new Date(now).toISOString(),
      tokenExpiresAt: new Date(expiresAtMs).toISOString(),
      graceMs: this.#deps.graceMs,
      routerRtpCapabilities: {},
      may: this.#deps.directory.may(userId),
      ...this.#deps.calls.signedIn(this),
    };
  }

  #leave(how: 'goodbye' | 'lost'): void {
    if (this.#deps.links.delete(this)) this.#deps.calls.left(this, how);
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#expiry);
    this.#events.onClose(reason);
  }
}
