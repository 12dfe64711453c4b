import type { CallHistoryPage } from '#protocol';
import { VerbatimError } from '#protocol';
import { knowsCall, listCalls } from '../db/history.ts';
import type { Database, Viewer } from '../db/index.ts';
import { mayListChat } from '../db/index.ts';

const DEFAULT_PAGE_SIZE = 50;

/** That calls took place, for a messenger's history (F18): of both modes, for their parties and the app's server. */
export class History {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * A page of a chat's calls, newest first.
   * @throws VerbatimError `not_found` for a chat that the viewer may not know of, `bad_request` for a foreign cursor
   */
  async list(
    viewer: Viewer,
    chatId: string,
    page: { limit?: number; cursor?: string },
  ): Promise<CallHistoryPage> {
    const { cursor } = page;
    if (cursor !== undefined && !(await knowsCall(this.#db, viewer, chatId, cursor))) {
      throw new VerbatimError('bad_request', 'querystring/cursor: expected the `next` of an earlier page');
    }
    const limit = page.limit ?? DEFAULT_PAGE_SIZE;
    // One more than asked for tells whether another page follows.
    const rows = await listCalls(this.#db, viewer, chatId, { ...page, limit: limit + 1 });
    // Who took part in a call here may know of the chat; others only as its members.
    if (rows.length === 0 && !(await mayListChat(this.#db, viewer, chatId)))
      throw new VerbatimError('not_found');
    const calls = rows.slice(0, limit);
    const next = rows.length > limit ? calls.at(-1)?.callId : undefined;
    return { calls, ...(next === undefined ? {} : { next }) };
  }
}
