import type { Directory } from '#protocol';
import { addDisclosure, findDisclosure } from './apps.ts';
import type { Database } from './database.ts';
import { findPolicy, setPolicy } from './policies.ts';
import { deleteChat, findChat, findUser, putChat, putUser } from './users-chats.ts';

/** The directory in this database, for rooms that are given it and do not know the database. */
export function directoryOf(db: Database): Directory {
  return {
    putUser: (appId, id, body) => putUser(db, appId, id, body),
    findUser: (appId, id) => findUser(db, appId, id),
    putChat: (appId, id, body) => putChat(db, appId, id, body),
    findChat: (appId, id) => findChat(db, appId, id),
    deleteChat: (appId, id) => deleteChat(db, appId, id),
    findPolicy: (appId) => findPolicy(db, appId),
    setPolicy: async (appId, policy) => ((await setPolicy(db, appId, policy)) ? policy : undefined),
    async putDisclosure(appId, locale, text) {
      const { version, body, sha256 } = await addDisclosure(db, { appId, locale, body: text });
      return { version, locale, text: body, sha256 };
    },
    async findDisclosure(appId, locale) {
      const row = await findDisclosure(db, appId, locale);
      return row && { version: row.version, locale, text: row.body, sha256: row.sha256 };
    },
  };
}
