import type { DemoToken } from '#protocol';
import type { VerbatimClient } from '../../sdk/index.ts';
import { connectVerbatim } from '../../ui/index.ts';

export interface Person {
  userId: string;
  name: string;
}

/** A chat of the demo: with one other person, or a room of several. */
export interface Chat {
  id: string;
  kind: 'direct' | 'room';
  name: string;
  members: Person[];
  /** Of a direct chat. */
  peer?: Person;
}

/** Who is signed in on this page, and what they can see. */
export interface DemoSession {
  client: VerbatimClient;
  me: Person;
  chats: Chat[];
  /** A token for the demo's own requests. */
  token(): Promise<string>;
}

/** The microphone as it is, for measurements that compare what was said with what was recorded (`&raw`). */
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** Signs in as one of the two people. @throws Error with a sentence for the person */
export async function signIn(as: 'alice' | 'bob', raw: boolean): Promise<DemoSession> {
  const first = await demoToken(as);
  const me = { userId: first.userId, name: first.name };
  const client = connectVerbatim({
    url: location.origin,
    getToken: async () => (await demoToken(as)).token,
    ...(raw ? { microphone: RAW } : {}),
  });
  let current = first;
  return {
    client,
    me,
    chats: [
      {
        id: first.chatId,
        kind: 'direct',
        name: first.peer.name,
        members: [me, first.peer],
        peer: first.peer,
      },
      { id: first.room.chatId, kind: 'room', name: first.room.name, members: first.room.members },
    ],
    token: async () => {
      if (Date.parse(current.expiresAt) - Date.now() < 60_000) current = await demoToken(as);
      return current.token;
    },
  };
}

/** In a real messenger its own server signs the token of the person who is signed in there. */
async function demoToken(as: 'alice' | 'bob'): Promise<DemoToken> {
  const response = await fetch('/demo/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ as }),
  });
  if (!response.ok) throw new Error(`The demo gives no token (HTTP ${response.status}).`);
  // Our own server's answer, whose schema this type is made of.
  return (await response.json()) as DemoToken;
}
