import type { RolePolicy } from './policy.ts';
import type { Chat, PutChatBody, PutUserBody, User } from './rest.ts';
import type { Disclosure } from './signaling.ts';

/**
 * What a messenger's server keeps here: its users, its chats, its role policy and its disclosure texts. `core/db` keeps them and
 * `core/http` asks for them, and neither knows the other.
 */
export interface Directory {
  putUser(appId: string, id: string, body: PutUserBody): Promise<User>;
  findUser(appId: string, id: string): Promise<User | undefined>;
  /** @throws VerbatimError `bad_request`, `conflict` */
  putChat(appId: string, id: string, body: PutChatBody): Promise<Chat>;
  findChat(appId: string, id: string): Promise<Chat | undefined>;
  /** False when there was none. */
  deleteChat(appId: string, id: string): Promise<boolean>;
  findPolicy(appId: string): Promise<RolePolicy | undefined>;
  /** Undefined when there is no such app. */
  setPolicy(appId: string, policy: RolePolicy): Promise<RolePolicy | undefined>;
  putDisclosure(appId: string, locale: string, text: string): Promise<Disclosure>;
  findDisclosure(appId: string, locale: string): Promise<Disclosure | undefined>;
}
