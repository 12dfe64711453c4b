import type { startScript } from './scripted-server.ts';

type Script = Awaited<ReturnType<typeof startScript>>;

export const BOB = { userId: 'bob', name: 'Bob' };
const ROOM = [{ userId: 'alice', name: 'Alice' }, BOB, { userId: 'carol', name: 'Carol' }];

/** What the demo messenger asks, as Alice; what is sent comes back as the server's own answer would. */
export function serveDemo(
  script: Script,
  online: readonly string[] = ['bob'],
): { say(userId: string, text: string, chatId?: string): void } {
  script.route('POST /demo/token', () => ({
    status: 200,
    body: {
      token: 'token',
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      userId: 'alice',
      name: 'Alice',
      chatId: 'chat-1',
      peer: BOB,
      room: { chatId: 'room-1', name: 'Reading circle', members: ROOM },
    },
  }));
  const messages: object[] = [];
  let wake = (): void => {};
  const add = (message: object): object => {
    const added = { id: messages.length + 1, sentAt: new Date().toISOString(), ...message };
    messages.push(added);
    wake();
    return added;
  };
  script.route('GET /demo/messages', async (_token, { query }) => {
    const after = Number(query.get('after'));
    if (messages.length <= after) await new Promise<void>((resolve) => (wake = resolve));
    return { status: 200, body: { messages: messages.slice(after) } };
  });
  script.route('POST /demo/messages', (_token, { sent }) => ({
    status: 201,
    body: add({ userId: 'alice', name: 'Alice', ...(sent as object) }),
  }));
  script.route('GET /v1/chats/chat-1/recordings', () => ({ status: 200, body: { recordings: [] } }));
  script.on('presence.get', () => ({ online }));
  const nameOf = (userId: string): string => ROOM.find((one) => one.userId === userId)?.name ?? userId;
  return {
    say: (userId, text, chatId = 'chat-1') => void add({ chatId, userId, name: nameOf(userId), text }),
  };
}
