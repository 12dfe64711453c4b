import type {
  AccessPage,
  CallHistoryPage,
  ConsistencyProof,
  Disposition,
  ErrorCode,
  Grant,
  JournalChain,
  Recording,
  RecordingEvidence,
  RecordingFormat,
  RecordingPage,
  Timeline,
  Waveform,
} from '#protocol';
import type { PageQuery } from './contract.ts';
import { asClientError, VerbatimClientError } from './errors.ts';
import type { Transport } from './transport.ts';

export interface RestOptions {
  /** `https://host`, without a path. */
  origin: string;
  /** `fresh`: the token that was used before was refused. */
  token(fresh: boolean): Promise<string>;
  fetch: Transport['fetch'];
}

/** Of one request; whoever is asked to wait longer is told instead. */
const SLOW_DOWN_TIMES = 3;
const SLOW_DOWN_MAX_MS = 5_000;

/** The part of the REST interface that a page needs: its user's recordings. */
export class Rest {
  readonly #options: RestOptions;

  constructor(options: RestOptions) {
    this.#options = options;
  }

  /** Newest first. `next` of the answer is the `cursor` of the next page. */
  listRecordings(chatId: string, page?: PageQuery): Promise<RecordingPage> {
    return this.#fetch(`/v1/chats/${encodeURIComponent(chatId)}/recordings${search(page)}`);
  }

  /** Newest first, of both modes. */
  listCalls(chatId: string, page?: PageQuery): Promise<CallHistoryPage> {
    return this.#fetch(`/v1/chats/${encodeURIComponent(chatId)}/calls${search(page)}`);
  }

  getRecording(recordingId: string): Promise<Recording> {
    return this.#fetch(`/v1/recordings/${encodeURIComponent(recordingId)}`);
  }

  peaks(recordingId: string): Promise<Waveform> {
    return this.#fetch(`/v1/recordings/${encodeURIComponent(recordingId)}/peaks`);
  }

  timeline(recordingId: string): Promise<Timeline> {
    return this.#fetch(`/v1/recordings/${encodeURIComponent(recordingId)}/timeline`);
  }

  /** Newest first. */
  accessLog(recordingId: string, page?: PageQuery): Promise<AccessPage> {
    return this.#fetch(`/v1/recordings/${encodeURIComponent(recordingId)}/access${search(page)}`);
  }

  /**
   * An address that plays in this browser only, and only for a while: for
   * `<audio crossorigin="use-credentials" src="…">`, or as a link that saves the file (`attachment`).
   */
  async playbackUrl(
    recordingId: string,
    disposition: Disposition = 'inline',
    format: RecordingFormat = 'webm',
  ): Promise<string> {
    const path = `/v1/recordings/${encodeURIComponent(recordingId)}/grants`;
    const grant = await this.#fetch<Grant>(path, {
      disposition,
      ...(format === 'webm' ? {} : { format }),
    });
    return new URL(grant.url, this.#options.origin).href;
  }

  /** The ledger's entries of a recording, with their proofs. */
  evidence(recordingId: string): Promise<RecordingEvidence> {
    return this.#fetch(`/v1/recordings/${encodeURIComponent(recordingId)}/evidence`);
  }

  /** What takes the head after block `after` of a journal to its last head. */
  chain(recordingId: string, epoch: number, after: number): Promise<JournalChain> {
    return this.#fetch(`/v1/recordings/${encodeURIComponent(recordingId)}/chain/${epoch}?after=${after}`);
  }

  /** Whether the server finds, too, that a head it signed is not in the recording. */
  reportMismatch(recordingId: string, note: string): Promise<{ confirmed: boolean }> {
    return this.#fetch(`/v1/recordings/${encodeURIComponent(recordingId)}/mismatch`, { note });
  }

  consistency(from: number, to: number): Promise<ConsistencyProof> {
    return this.#fetch(`/v1/ledger/consistency?from=${from}&to=${to}`);
  }

  /** The ledger's newest head, a signed note. */
  async checkpoint(): Promise<string> {
    return (await this.#answer('/v1/ledger/checkpoint')).text();
  }

  async #fetch<T>(path: string, body?: object): Promise<T> {
    // The server's answer to this address has the shape that the contract names.
    return (await (await this.#answer(path, body)).json()) as T;
  }

  /** A token that ran out is renewed once, and who was too fast waits, as long as the server says. */
  async #answer(path: string, body?: object): Promise<Response> {
    let fresh = false;
    let slowedDown = 0;
    for (;;) {
      const response = await this.#send(path, body, await this.#options.token(fresh));
      if (response.ok) return response;
      const error = await problem(response);
      const waitMs = 1000 * Number(response.headers.get('retry-after') ?? 1);
      if (error.code === 'token_expired' && !fresh) fresh = true;
      else if (error.code === 'rate_limited' && slowedDown < SLOW_DOWN_TIMES && waitMs <= SLOW_DOWN_MAX_MS) {
        slowedDown += 1;
        await new Promise((resolve) => setTimeout(resolve, waitMs * (1 + Math.random() / 4)));
      } else throw error;
    }
  }

  async #send(path: string, body: object | undefined, token: string): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${token}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    try {
      return await this.#options.fetch(new URL(path, this.#options.origin), {
        method: body === undefined ? 'GET' : 'POST',
        headers,
        // The session cookie that comes with a grant is what makes its address work here.
        credentials: 'include',
        cache: 'no-store',
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      throw asClientError(error, 'connection_lost');
    }
  }
}

function search({ limit, cursor }: PageQuery = {}): string {
  const query = new URLSearchParams();
  if (limit !== undefined) query.set('limit', String(limit));
  if (cursor !== undefined) query.set('cursor', cursor);
  return query.size > 0 ? `?${query}` : '';
}

async function problem(response: Response): Promise<VerbatimClientError> {
  try {
    const { code, detail } = (await response.json()) as { code?: ErrorCode; detail?: string };
    return new VerbatimClientError(code ?? 'internal', detail);
  } catch (error) {
    return new VerbatimClientError('internal', `the server answered with ${response.status}`, {
      cause: error,
    });
  }
}
