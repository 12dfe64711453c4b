import type { EndReason, Recording, RecordingState, Timeline } from '#protocol';
import type { ClientOptions, Transport } from './index.ts';
import { TestCalls } from './testing/calls.ts';
import type { TestChat, TestUser } from './testing/directory.ts';
import { TestDirectory } from './testing/directory.ts';
import { Links } from './testing/links.ts';
import type { TestMicrophone } from './testing/media.ts';
import { openTestMicrophone, TestMedia } from './testing/media.ts';
import { TestRecordings } from './testing/recordings.ts';
import { TestRest } from './testing/rest.ts';
import type { TestSocketDeps } from './testing/socket.ts';
import { TestSocket } from './testing/socket.ts';
import { TestTokens } from './testing/tokens.ts';

export interface TestServerOptions {
  users: TestUser[];
  chats: TestChat[];
  /** Whether the app records; true, unless this says otherwise. */
  recordingEnabled?: boolean;
  disclosure?: string;
  /** 30 s, unless this says otherwise. */
  ringTimeoutMs?: number;
  /** 15 s, unless this says otherwise. */
  graceMs?: number;
  /** How long a token is good for; an hour, unless this says otherwise. */
  tokenLifetimeMs?: number;
}

const URL_OF_TESTS = 'https://verbatim.test';

/**
 * A Verbatim server in the memory of one page, for a messenger's own tests: no network, no microphone, no sound,
 * the same rules. Every client of the page is given `options('its user')` of the same server.
 */
export class TestServer {
  /** What a page is told when it opens the microphone. */
  microphone: TestMicrophone = 'granted';
  readonly #directory: TestDirectory;
  readonly #links = new Links();
  readonly #tokens: TestTokens;
  readonly #calls: TestCalls;
  readonly #recordings: TestRecordings;
  readonly #rest: TestRest;
  readonly #sockets = new Set<TestSocket>();
  readonly #socketDeps: TestSocketDeps;

  constructor(options: TestServerOptions) {
    const { users, chats, recordingEnabled = true, ringTimeoutMs = 30_000, graceMs = 15_000 } = options;
    const disclosure = options.disclosure ?? 'This call is recorded.';
    this.#directory = new TestDirectory({ users, chats, disclosure, recordingEnabled });
    this.#tokens = new TestTokens(options.tokenLifetimeMs ?? 3_600_000);
    this.#recordings = new TestRecordings(this.#directory, (recording) => this.#tellRecording(recording));
    this.#calls = new TestCalls({
      directory: this.#directory,
      links: this.#links,
      ringTimeoutMs,
      graceMs,
      onChanged: (call) => this.#recordings.follow(call),
    });
    const read = (token: string): { userId: string; expiresAtMs: number } => {
      const { userId, expiresAtMs } = this.#tokens.read(token);
      return { userId: this.#directory.user(userId).id, expiresAtMs };
    };
    this.#rest = new TestRest({
      calls: this.#calls,
      recordings: this.#recordings,
      userOf: (token) => read(token).userId,
    });
    this.#socketDeps = {
      directory: this.#directory,
      links: this.#links,
      calls: this.#calls,
      graceMs,
      read,
    };
  }

  /** For `new VerbatimClient(…)` as this user; every client is a device of its own. */
  options(userId: string): ClientOptions {
    return { url: URL_OF_TESTS, getToken: async () => this.token(userId), transport: this.#transport() };
  }

  /** A token of this user, as the messenger's own server would sign it. */
  token(userId: string): string {
    return this.#tokens.issue(userId);
  }

  /** Cuts the connections of this user, as a broken network does: they come back by themselves. */
  disconnect(userId: string): void {
    for (const socket of [...this.#sockets]) if (socket.userId === userId) socket.drop();
  }

  /** Ends the running call of this user for both, such as with `recording_lost`. */
  endCall(userId: string, reason: EndReason): void {
    const call = this.#calls.running(userId);
    if (call !== undefined) this.#calls.end(call, reason);
  }

  /** Such as `removed` with its reason; the clients are told. @throws VerbatimClientError `not_found` */
  setRecording(recordingId: string, state: RecordingState, reason?: string): void {
    this.#recordings.set(recordingId, state, reason);
  }

  /** What `timeline(recordingId)` answers. @throws VerbatimClientError `not_found` */
  setTimeline(recordingId: string, timeline: Timeline): void {
    this.#recordings.setTimeline(recordingId, timeline);
  }

  /** Ends every call and connection. */
  close(): void {
    this.#calls.close();
    for (const socket of [...this.#sockets]) socket.drop('shutting_down');
  }

  #transport(): Transport {
    let socket: TestSocket | undefined;
    return {
      open: async (_url, events) => {
        await new Promise((resolve) => setTimeout(resolve, 0));
        const opened = new TestSocket(this.#socketDeps, {
          onNotification: events.onNotification,
          onClose: (reason) => {
            this.#sockets.delete(opened);
            events.onClose(reason);
          },
        });
        this.#sockets.add(opened);
        socket = opened;
        return opened;
      },
      fetch: (url, init) => this.#rest.fetch(url, init),
      openMicrophone: async (_wish, signal) => openTestMicrophone(this.microphone, signal),
      microphoneIsGranted: async () => this.microphone === 'granted',
      assertCanCall: () => {},
      media: ({ callId }) =>
        new TestMedia(() => {
          if (socket !== undefined) this.#calls.mediaReady(socket, callId);
        }),
    };
  }

  #tellRecording({ id, callId, chatId, state, reason }: Recording): void {
    const params = { recordingId: id, callId, chatId, state, ...(reason === undefined ? {} : { reason }) };
    for (const { userId } of this.#membersOnline(chatId)) {
      for (const link of this.#links.of(userId)) link.notify('recording.changed', params);
    }
  }

  #membersOnline(chatId: string): { userId: string }[] {
    const users = new Set([...this.#sockets].map(({ userId }) => userId));
    return [...users].flatMap((userId) => {
      try {
        this.#directory.chat(chatId, userId);
        return [{ userId }];
      } catch {
        // Not a member.
        return [];
      }
    });
  }
}
