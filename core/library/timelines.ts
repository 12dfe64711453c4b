import type {
  PutMessagesBody,
  PutTranscriptBody,
  Side,
  Timeline,
  TimelineMessage,
  Transcript,
  TranscriptQuery,
  TranscriptSegment,
  TranscriptVersion,
} from '#protocol';
import { VerbatimError } from '#protocol';
import type { Database, Viewer } from '../db/index.ts';
import { permissionsFor } from '../db/index.ts';
import type { TimelineRow } from '../db/timelines.ts';
import { findTimeline, findTranscript, putMessages, putTranscript } from '../db/timelines.ts';
import type { Library } from './library.ts';

/** What an app supplies about its calls, and how it goes with the recording (F27). */
export class Timelines {
  readonly #db: Database;
  readonly #library: Pick<Library, 'view'>;

  constructor(db: Database, library: Pick<Library, 'view'>) {
    this.#db = db;
    this.#library = library;
  }

  /** @throws VerbatimError `not_found` when the app has no such call, `bad_request` for a segment that ends early */
  async putTranscript(
    appId: string,
    callId: string,
    body: PutTranscriptBody,
    side?: Side,
  ): Promise<TranscriptVersion> {
    const foreign = body.segments.findIndex((segment) => side !== undefined && segment.side !== side);
    if (foreign >= 0)
      throw new VerbatimError(
        'bad_request',
        `body/segments/${foreign}/side: expected ${side}, which the query names`,
      );
    const wrong = body.segments.findIndex(
      ({ startMs, endMs }) => endMs !== undefined && (startMs === undefined || endMs < startMs),
    );
    if (wrong >= 0) {
      throw new VerbatimError(
        'bad_request',
        `body/segments/${wrong}: endMs needs a startMs that is not greater`,
      );
    }
    const put = await putTranscript(this.#db, appId, callId, body, side);
    if (put === undefined) throw new VerbatimError('not_found');
    return withoutSegments(put);
  }

  /**
   * The newest transcript of a call of either mode, or an older one that is kept. Of a secure call, a user needs the
   * right to read recordings.
   * @throws VerbatimError `not_found`, `role_not_allowed`
   */
  async transcript(viewer: Viewer, callId: string, { version, side }: TranscriptQuery): Promise<Transcript> {
    if (
      viewer.userId !== undefined &&
      !(await permissionsFor(this.#db, { ...viewer, userId: viewer.userId })).recordings
    )
      throw new VerbatimError('role_not_allowed');
    const kept = await findTranscript(this.#db, viewer, callId);
    const asked = version === undefined ? kept[0] : kept.find((one) => one.version === version);
    if (asked === undefined) throw new VerbatimError('not_found', 'there is no such transcript');
    const segments = asked.segments.filter((segment) => side === undefined || segment.side === side);
    return {
      ...withoutSegments(asked),
      segments: inOrder(segments, ({ startMs }) => startMs),
      versions: kept.map(withoutSegments),
    };
  }

  /** @throws VerbatimError `not_found` when the app has no such call */
  async putMessages(appId: string, callId: string, body: PutMessagesBody): Promise<void> {
    if (!(await putMessages(this.#db, appId, callId, body))) throw new VerbatimError('not_found');
  }

  /** @throws VerbatimError `not_found` for a recording that the viewer may not know of */
  async of(viewer: Viewer, recordingId: string): Promise<Timeline> {
    const { state } = await this.#library.view(viewer, recordingId);
    // What was said goes with the recording that said it.
    if (state === 'removed' || state === 'expired') return { segments: [], messages: [] };
    const row = await findTimeline(this.#db, recordingId);
    return row === undefined ? { segments: [], messages: [] } : timelineOf(row);
  }
}

/** In the order of time; what has no time keeps its place at the end, in the order in which it came. */
export function timelineOf({ segments, messages, startedAt, sides }: TimelineRow): Timeline {
  return {
    segments: inOrder(segments, (segment: TranscriptSegment) => segment.startMs),
    messages: inOrder(
      messages.map(({ userId, name, sentAt, text }): TimelineMessage => {
        const side = userId === sides.caller ? 'caller' : userId === sides.callee ? 'callee' : undefined;
        const at = sentAt === undefined ? Number.NaN : Date.parse(sentAt) - startedAt.getTime();
        return {
          userId,
          ...(name === undefined ? {} : { name }),
          ...(side === undefined ? {} : { side }),
          ...(Number.isFinite(at) ? { atMs: Math.round(at) } : {}),
          text,
        };
      }),
      (message) => message.atMs,
    ),
  };
}

function withoutSegments({ version, source, writtenAt }: TranscriptVersion): TranscriptVersion {
  return { version, source, writtenAt };
}

/** Array.sort is stable (ECMA-262 §23.1.3.30), so equal times keep their order. */
function inOrder<T>(rows: readonly T[], at: (row: T) => number | undefined): T[] {
  const last = Number.MAX_SAFE_INTEGER;
  return [...rows].sort((a, b) => (at(a) ?? last) - (at(b) ?? last));
}
