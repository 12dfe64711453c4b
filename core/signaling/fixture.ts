import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import type { ClientOptions } from 'ws';
import WebSocket from 'ws';
import type { CallView, Method, NotificationName, NotificationParams, Params, Result } from '#protocol';
import { VerbatimError } from '#protocol';
import type { UserIdentity } from '../auth/index.ts';
import type { Participant } from '../call/index.ts';
import type { SignalingOptions } from './index.ts';
import { DeviceRegistry, signaling } from './index.ts';
import type { Calls } from './methods.ts';

/** For tests: a real Fastify with the signaling plugin on a free port, over calls that only take notes. */

export const CALL_ID = '3b241101-e2bb-4255-8caf-4136c566a962';
export const DISCLOSURE = {
  version: 1,
  locale: 'en',
  text: 'This call is recorded.',
  sha256: 'a'.repeat(64),
};

export function view(who: { userId: string }, state: CallView['state']): CallView {
  return {
    callId: CALL_ID,
    chatId: 'chat-1',
    mode: 'secure',
    side: who.userId === 'alice' ? 'caller' : 'callee',
    state,
    recording: false,
    peer: { userId: 'bob', name: 'Bob' },
    peerMuted: false,
    startedAt: '2026-01-01T00:00:00.000Z',
  };
}

const CAPABILITIES = { codecs: [{ mimeType: 'audio/opus' }] };
const TRANSPORT = { iceParameters: {}, iceCandidates: [], dtlsParameters: {} };

/** Notes who asked what; a chat or call id chooses the errors. */
export class NotedCalls implements Calls {
  readonly notes: string[] = [];
  /** What the next `signedIn` answers with. */
  resume: { call?: CallView; incoming?: CallView } = {};
  /** Runs inside `signedIn`, where a real call may notify at once. */
  onSignedIn: (who: Participant) => void = () => {};
  /** Set to make `call.start` wait until it is called. */
  hold: (() => void)[] | undefined;
  readonly #waiting: { note: string; done: () => void }[] = [];

  #note(who: Participant, what: string): void {
    const note = `${who.userId}/${who.device} ${what}`;
    this.notes.push(note);
    for (const waiter of this.#waiting.splice(0)) {
      if (waiter.note === note) waiter.done();
      else this.#waiting.push(waiter);
    }
  }

  /** Resolves when the note was, or is, taken. */
  async noted(note: string): Promise<void> {
    if (this.notes.includes(note)) return;
    await new Promise<void>((done) => this.#waiting.push({ note, done }));
  }

  async start(who: Participant, p: Params<'call.start'>): Promise<CallView> {
    this.#note(who, `start ${p.chatId} ${p.mode}`);
    if (p.chatId === 'busy') throw new VerbatimError('user_busy');
    if (p.chatId === 'broken') throw new Error('the database password is swordfish');
    if (this.hold) await new Promise<void>((go) => this.hold?.push(go));
    return view(who, 'ringing');
  }
  async accept(who: Participant, p: Params<'call.accept'>): Promise<CallView> {
    this.#note(who, `accept ${p.callId}`);
    return view(who, 'connecting');
  }
  async decline(who: Participant): Promise<void> {
    this.#note(who, 'decline');
  }
  async cancel(who: Participant): Promise<void> {
    this.#note(who, 'cancel');
  }
  async hangup(who: Participant): Promise<void> {
    this.#note(who, 'hangup');
  }
  async mute(who: Participant, p: Params<'call.mute'>): Promise<void> {
    this.#note(who, `mute ${p.muted}`);
  }
  async openMedia(who: Participant): Promise<Result<'media.open'>> {
    this.#note(who, 'openMedia');
    return { send: { id: 's', ...TRANSPORT }, recv: { id: 'r', ...TRANSPORT } };
  }
  async connectMedia(who: Participant, p: Params<'media.connect'>): Promise<void> {
    this.#note(who, `connectMedia ${p.direction}`);
  }
  async produce(who: Participant): Promise<Result<'media.produce'>> {
    this.#note(who, 'produce');
    return { producerId: 'p' };
  }
  async restartIce(who: Participant, p: Params<'media.restartIce'>): Promise<Result<'media.restartIce'>> {
    this.#note(who, `restartIce ${p.direction}`);
    return { iceParameters: {} };
  }
  peerServers(who: Participant): Result<'peer.servers'> {
    this.#note(who, 'peerServers');
    return { iceServers: [], iceTransportPolicy: 'all' };
  }
  describePeer(who: Participant, p: Params<'peer.description'>): void {
    this.#note(who, `describePeer ${p.kind} ${p.round}`);
  }
  passCandidates(who: Participant, p: Params<'peer.candidates'>): Result<'peer.candidates'> {
    this.#note(who, `passCandidates ${p.round} ${p.candidates.length}`);
    return { relayed: true };
  }
  async reportPath(who: Participant, _: Params<'peer.connected'>, what: string): Promise<void> {
    this.#note(who, `path ${what}`);
  }
  signedIn(who: Participant): { call?: CallView; incoming?: CallView } {
    this.#note(who, 'signedIn');
    this.onSignedIn(who);
    return this.resume;
  }
  deviceLeft(who: Participant, how: 'goodbye' | 'lost'): void {
    this.#note(who, `left ${how}`);
  }
  routerRtpCapabilities(): Record<string, unknown> {
    return CAPABILITIES;
  }
}

/** A token of this fixture is `user` or `user:expiresAtMs`; `bad` and `late` are refused. */
async function verifyUserToken(token: string): Promise<UserIdentity> {
  const [userId = '', expiresAt] = token.split(':');
  if (userId === 'bad') throw new VerbatimError('unauthorized', 'the signature does not match');
  if (userId === 'late') throw new VerbatimError('token_expired');
  if (userId === 'down') throw new VerbatimError('unavailable', 'the database does not answer');
  const expiresAtMs = Number(expiresAt ?? Date.now() + 3_600_000);
  return { appId: 'app', userId, name: userId, expiresAtMs, kid: 'key' };
}

export async function startServer(options: Partial<SignalingOptions> = {}) {
  const calls = new NotedCalls();
  const devices = new DeviceRegistry(options.limits?.maxConnectionsPerUser);
  const app = Fastify();
  await app.register(signaling, {
    calls,
    devices,
    verifyUserToken,
    allowedOrigins: async () => ['https://chat.example'],
    disclosure: async (_appId, locale) => ({ ...DISCLOSURE, locale }),
    graceMs: 15_000,
    permissions: async () => ({ voice: true, secure: true, recordings: true }),
    ...options,
  });
  app.get('/elsewhere', async () => ({ ok: true }));
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;
  const clients: TestClient[] = [];
  return {
    app,
    calls,
    devices,
    port,
    async client(wsOptions: ClientOptions = {}): Promise<TestClient> {
      const client = new TestClient(`ws://127.0.0.1:${port}/v1/signaling`, wsOptions);
      clients.push(client);
      await client.opened;
      return client;
    },
    async close(): Promise<void> {
      for (const client of clients) client.socket.terminate();
      await app.close();
    },
  };
}

export type Answer = {
  id?: string | number | null;
  result?: unknown;
  error?: { code: number; message: string; data: { code: string } };
};

/** A plain WebSocket that remembers every frame, so that waiting for one never races with its arrival. */
export class TestClient {
  readonly socket: WebSocket;
  readonly opened: Promise<unknown>;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly frames: string[] = [];
  #next = 1;
  #wake: (() => void)[] = [];

  constructor(url: string, options: ClientOptions) {
    this.socket = new WebSocket(url, options);
    this.opened = once(this.socket, 'open');
    this.closed = once(this.socket, 'close').then(([code, reason]) => ({ code, reason: String(reason) }));
    // A cut connection is told by `closed`.
    this.socket.on('error', () => {});
    this.socket.on('message', (data) => {
      this.frames.push(data.toString());
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  /** The first frame, past or future, that `pick` accepts. */
  async frame<T>(
    pick: (message: Answer & { method?: string; params?: unknown }) => T | undefined,
  ): Promise<T> {
    for (let seen = 0; ; ) {
      while (seen < this.frames.length) {
        const found = pick(JSON.parse(this.frames[seen++] ?? ''));
        if (found !== undefined) return found;
      }
      await Promise.race([
        new Promise<void>((wake) => this.#wake.push(wake)),
        this.closed.then(({ code, reason }) => {
          if (seen === this.frames.length) throw new Error(`closed with ${code} ${reason}`);
        }),
      ]);
    }
  }

  answer(id: string | number | null): Promise<Answer> {
    return this.frame((message) => (message.id === id && !message.method ? message : undefined));
  }

  notification<N extends NotificationName>(name: N): Promise<NotificationParams<N>> {
    return this.frame((message) =>
      message.method === name ? (message.params as NotificationParams<N>) : undefined,
    );
  }

  send(message: unknown): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  request<M extends Method>(method: M, params: Params<M>): Promise<Answer> {
    const id = this.#next++;
    this.send({ jsonrpc: '2.0', id, method, params });
    return this.answer(id);
  }

  signIn(token: string, device = `device-of-${token.split(':')[0]}`): Promise<Answer> {
    return this.request('session.start', { token, device });
  }
}
