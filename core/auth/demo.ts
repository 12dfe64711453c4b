import type { DemoToken } from '#protocol';
import type { Database } from '../db/index.ts';
import {
  addDisclosure,
  findDisclosure,
  insertApp,
  insertAppKey,
  listAppKeys,
  putChat,
  putUser,
  revokeAppKey,
  setAppRecording,
} from '../db/index.ts';
import { createSecretKey } from './app-keys.ts';
import { signUserToken } from './user-tokens.ts';

export const DEMO_APP_ID = 'demo';
export const DEMO_CHAT_ID = 'alice-and-bob';
/** A group room, where there are no calls. */
export const DEMO_ROOM_ID = 'reading-circle';
const DEMO_ROOM_NAME = 'Reading circle';
const TOKEN_LIFETIME_MS = 12 * 3_600_000;

const PEOPLE = {
  alice: { userId: 'alice', name: 'Alice' },
  bob: { userId: 'bob', name: 'Bob' },
} as const;
/** Sits in the room only, and is never signed in. */
const CAROL = { userId: 'carol', name: 'Carol' } as const;

const DISCLOSURE = [
  'This call will be recorded.',
  'Both of you get the same recording. Neither of you can change or delete it.',
  'It is stored encrypted on this server, and the server can decrypt it: the call is not end-to-end encrypted.',
  'By continuing you agree to being recorded.',
].join('\n');

/**
 * Puts the demo messenger's app in place: two people, one direct chat, secure calls on. Its key is new at every
 * start and lives in memory; the keys of earlier starts are revoked.
 */
export async function openDemo(options: {
  db: Database;
  sealKey: Buffer;
  nowMs?: () => number;
}): Promise<{ token: (as: 'alice' | 'bob') => Promise<DemoToken> }> {
  const { db, sealKey } = options;
  const nowMs = options.nowMs ?? Date.now;
  await insertApp(db, { id: DEMO_APP_ID, name: 'Demo messenger', recordingEnabled: true });
  await setAppRecording(db, DEMO_APP_ID, true);
  const everybody = [...Object.values(PEOPLE), CAROL];
  for (const { userId, name } of everybody) await putUser(db, DEMO_APP_ID, userId, { name });
  const members = Object.values(PEOPLE).map(({ userId }) => userId);
  await putChat(db, DEMO_APP_ID, DEMO_CHAT_ID, { kind: 'direct', name: 'Alice and Bob', members });
  await putChat(db, DEMO_APP_ID, DEMO_ROOM_ID, {
    kind: 'group',
    name: DEMO_ROOM_NAME,
    members: everybody.map(({ userId }) => userId),
  });
  if ((await findDisclosure(db, DEMO_APP_ID, 'en')) === undefined) {
    await addDisclosure(db, { appId: DEMO_APP_ID, locale: 'en', body: DISCLOSURE });
  }
  for (const { kid, revokedAt } of await listAppKeys(db, DEMO_APP_ID)) {
    if (revokedAt === null) await revokeAppKey(db, DEMO_APP_ID, kid);
  }
  const { row, secret } = createSecretKey(DEMO_APP_ID, sealKey);
  await insertAppKey(db, row);
  const key = { kid: row.kid, algorithm: row.algorithm, material: secret };

  return {
    async token(as) {
      const at = nowMs();
      const { userId, name } = PEOPLE[as];
      const token = await signUserToken(key, { userId, name }, { nowMs: at, lifetimeMs: TOKEN_LIFETIME_MS });
      const expiresAt = new Date(Math.floor((at + TOKEN_LIFETIME_MS) / 1000) * 1000).toISOString();
      return {
        token,
        expiresAt,
        userId,
        name,
        chatId: DEMO_CHAT_ID,
        peer: PEOPLE[as === 'alice' ? 'bob' : 'alice'],
        room: { chatId: DEMO_ROOM_ID, name: DEMO_ROOM_NAME, members: everybody },
      };
    },
  };
}
