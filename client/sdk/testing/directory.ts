import type { Disclosure, Permissions } from '#protocol';
import { VerbatimClientError } from '../index.ts';

export interface TestUser {
  id: string;
  name: string;
  avatarUrl?: string;
  /** What this user may do; everything, when it is absent. */
  may?: Permissions;
}

export interface TestChat {
  id: string;
  /** Two members make a direct chat, unless this says otherwise. */
  kind?: 'direct' | 'group';
  members: string[];
}

const ALL: Permissions = { voice: true, secure: true, recordings: true };

/** Who and what there is: users, chats and the disclosure text. */
export class TestDirectory {
  readonly #users: ReadonlyMap<string, TestUser>;
  readonly #chats: ReadonlyMap<string, TestChat>;
  readonly #disclosure: string;
  /** Whether the app records at all. */
  readonly recordingEnabled: boolean;

  constructor(options: {
    users: readonly TestUser[];
    chats: readonly TestChat[];
    disclosure: string;
    recordingEnabled: boolean;
  }) {
    this.#users = new Map(options.users.map((user) => [user.id, user]));
    this.#chats = new Map(options.chats.map((chat) => [chat.id, chat]));
    this.#disclosure = options.disclosure;
    this.recordingEnabled = options.recordingEnabled;
  }

  /** @throws VerbatimClientError `unauthorized` */
  user(id: string): TestUser {
    const user = this.#users.get(id);
    if (user === undefined)
      throw new VerbatimClientError('unauthorized', `the test server has no user ${id}`);
    return user;
  }

  /** What this user's role grants, whatever the app has turned on. */
  granted(userId: string): Permissions {
    return this.user(userId).may ?? ALL;
  }

  /** What this user may do now: secure calls only where the app records. */
  may(userId: string): Permissions {
    const granted = this.granted(userId);
    return { ...granted, secure: granted.secure && this.recordingEnabled };
  }

  /** A chat that this user is a member of. @throws VerbatimClientError `not_found` */
  chat(id: string, userId: string): TestChat {
    const chat = this.#chats.get(id);
    if (!chat?.members.includes(userId)) throw new VerbatimClientError('not_found', 'there is no such chat');
    return chat;
  }

  /** The other one of a direct chat. @throws VerbatimClientError `not_found`, `not_a_direct_chat` */
  peer(chatId: string, userId: string): TestUser {
    const { kind = 'direct', members } = this.chat(chatId, userId);
    const other = members.find((member) => member !== userId);
    if (kind !== 'direct' || members.length !== 2 || other === undefined) {
      throw new VerbatimClientError('not_a_direct_chat');
    }
    return this.user(other);
  }

  async disclosure(): Promise<Disclosure> {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(this.#disclosure));
    const sha256 = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
    return { version: 1, locale: 'en', text: this.#disclosure, sha256 };
  }
}
