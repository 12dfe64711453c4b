import { VerbatimClientError } from '../index.ts';
import type { TestCalls } from './calls.ts';
import type { TestRecordings } from './recordings.ts';

export interface TestRestDeps {
  calls: TestCalls;
  recordings: TestRecordings;
  /** @throws VerbatimClientError `unauthorized`, `token_expired` */
  userOf(token: string): string;
}

const PAGE = 50;
const MAX_PAGE = 100;
const GRANT_LIVES_MS = 600_000;

/** The HTTP side of a test server: history and recordings. */
export class TestRest {
  readonly #deps: TestRestDeps;

  constructor(deps: TestRestDeps) {
    this.#deps = deps;
  }

  async fetch(url: URL, init: RequestInit): Promise<Response> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    try {
      const token = new Headers(init.headers).get('authorization')?.replace('Bearer ', '') ?? '';
      return answer(200, this.#answer(this.#deps.userOf(token), url, init));
    } catch (error) {
      if (!(error instanceof VerbatimClientError)) throw error;
      return answer(400, { code: error.code, detail: error.message });
    }
  }

  #answer(userId: string, { pathname, searchParams }: URL, { method = 'GET' }: RequestInit): object {
    const { calls, recordings } = this.#deps;
    const [, , collection, rawId = '', what] = pathname.split('/');
    const id = decodeURIComponent(rawId);
    switch (`${method} ${collection}/${what ?? ''}`) {
      case 'GET chats/calls': {
        const { items, next } = page(calls.history(userId, id), ({ callId }) => callId, searchParams);
        return { calls: items, ...next };
      }
      case 'GET chats/recordings': {
        const { items, next } = page(recordings.list(userId, id), (row) => row.id, searchParams);
        return { recordings: items, ...next };
      }
      case 'GET recordings/':
        return recordings.get(userId, id);
      case 'GET recordings/peaks':
        return recordings.peaks(userId, id);
      case 'GET recordings/timeline':
        return recordings.timeline(userId, id);
      case 'POST recordings/grants': {
        const url = URL.createObjectURL(recordings.sound(userId, id));
        const endsAt = new Date(Date.now() + GRANT_LIVES_MS).toISOString();
        return { grantId: crypto.randomUUID(), url, firstUseBefore: endsAt, endsAt };
      }
      default:
        throw new VerbatimClientError('not_found', `the test server has no ${method} ${pathname}`);
    }
  }
}

/** Newest first; `cursor` names the last one of the page before. @throws VerbatimClientError `bad_request` */
function page<T>(
  all: T[],
  idOf: (item: T) => string,
  query: URLSearchParams,
): { items: T[]; next: { next?: string } } {
  const cursor = query.get('cursor');
  const limit = Number(query.get('limit') ?? PAGE);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) throw new VerbatimClientError('bad_request');
  const from = cursor === null ? 0 : all.findIndex((item) => idOf(item) === cursor) + 1;
  if (cursor !== null && from === 0) throw new VerbatimClientError('bad_request');
  const items = all.slice(from, from + limit);
  const last = items.at(-1);
  return { items, next: last !== undefined && from + limit < all.length ? { next: idOf(last) } : {} };
}

function answer(status: number, body: object): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } });
}
