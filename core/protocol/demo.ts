import { Type } from 'typebox';
import { ExternalId } from './ids.ts';

/** The demo messenger's own words: who is signed in, and what is written. Nothing of it exists on a real server. */
const closed = { additionalProperties: false };

const Person = Type.Object({ userId: ExternalId, name: Type.String() });

/** The two people of the demo messenger. */
export const PostDemoTokenBody = Type.Object(
  { as: Type.Union([Type.Literal('alice'), Type.Literal('bob')]) },
  closed,
);
export const DemoToken = Type.Object({
  token: Type.String(),
  expiresAt: Type.String(),
  userId: ExternalId,
  name: Type.String(),
  /** The direct chat of the two. */
  chatId: ExternalId,
  peer: Person,
  /** A group room, in which there are no calls. */
  room: Type.Object({ chatId: ExternalId, name: Type.String(), members: Type.Array(Person) }),
});
export type DemoToken = Type.Static<typeof DemoToken>;

export const DEMO_LIMITS = {
  textLength: 2_000,
  /** Of all chats together; the oldest go first. */
  messages: 1_000,
  /** Pages that wait for the next message. */
  waiting: 50,
  waitMs: 20_000,
} as const;

export const PostDemoMessageBody = Type.Object(
  {
    chatId: ExternalId,
    text: Type.String({ minLength: 1, maxLength: DEMO_LIMITS.textLength }),
  },
  closed,
);
export type PostDemoMessageBody = Type.Static<typeof PostDemoMessageBody>;

export const DemoMessage = Type.Object({
  /** Rises by one with each message. */
  id: Type.Integer(),
  chatId: ExternalId,
  userId: ExternalId,
  name: Type.String(),
  text: Type.String(),
  sentAt: Type.String(),
});
export type DemoMessage = Type.Static<typeof DemoMessage>;

/** What came after the message `after`; the answer waits for the next one for a while when there is none. */
export const DemoMessagesQuery = Type.Object({ after: Type.Integer({ minimum: 0 }) }, closed);
export const DemoMessages = Type.Object({ messages: Type.Array(DemoMessage) });
export type DemoMessages = Type.Static<typeof DemoMessages>;
