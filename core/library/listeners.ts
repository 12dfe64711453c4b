import type { AccessEvent, AccessPage } from '#protocol';
import { ACCESS_ACTIONS, VerbatimError } from '#protocol';
import type { Database, Viewer } from '../db/index.ts';
import { findParties } from '../db/library.ts';
import type { AccessLog, FoundAccess } from '../evidence/index.ts';
import type { Library } from './library.ts';

const PAGE_SIZE = 50;

/** Who listed, played and downloaded a recording, for its parties (F39). */
export class Listeners {
  readonly #db: Database;
  readonly #library: Pick<Library, 'get'>;
  readonly #log: Pick<AccessLog, 'of' | 'pseudonym'>;

  constructor(db: Database, library: Pick<Library, 'get'>, log: Pick<AccessLog, 'of' | 'pseudonym'>) {
    this.#db = db;
    this.#library = library;
    this.#log = log;
  }

  /**
   * A page, newest first. Reading it is no access: it shows nothing of the recording.
   * @throws VerbatimError `not_found` for a recording that the viewer may not know of, `bad_request` for a foreign cursor
   */
  async of(
    viewer: Viewer,
    recordingId: string,
    page: { limit?: number; cursor?: string },
  ): Promise<AccessPage> {
    const recording = await this.#library.get(viewer, recordingId);
    const { limit = PAGE_SIZE, cursor } = page;
    if (cursor !== undefined && !/^\d{1,15}$/.test(cursor))
      throw new VerbatimError('bad_request', 'querystring/cursor: expected the `next` of an earlier page');
    const { appId } = viewer;
    const found = await this.#log.of(
      { ...recording, appId },
      { limit: limit + 1, ...(cursor === undefined ? {} : { before: Number(cursor) }) },
    );
    const people = new Map<string, { userId: string; name: string }>();
    for (const one of await findParties(this.#db, recordingId))
      people.set(this.#log.pseudonym(appId, one.userId), one);
    const shown = found.slice(0, limit);
    const last = shown.at(-1);
    return {
      events: shown.map((one) => eventOf(one, people)),
      ...(found.length > limit && last !== undefined ? { next: String(last.index) } : {}),
    };
  }
}

function eventOf(
  { at, action, kind, by, played }: FoundAccess,
  people: ReadonlyMap<string, { userId: string; name: string }>,
): AccessEvent {
  const known = ACCESS_ACTIONS.find((each) => each === action);
  if (known === undefined || (kind !== 'user' && kind !== 'app' && kind !== 'admin'))
    throw new VerbatimError('corrupt', `the access log has an entry of ${kind} and ${action}`);
  const person = by === undefined ? undefined : people.get(by);
  return { at, action: known, actor: { kind, ...person }, ...(played === undefined ? {} : { played }) };
}
