import { randomUUID } from 'node:crypto';
import type { Disposition, Grant, Recording, RecordingFormat, RecordingPage, Waveform } from '#protocol';
import { VerbatimError } from '#protocol';
import type { GrantQuery, GrantSigner, Sessions } from '../auth/index.ts';
import type { Database, Viewer } from '../db/index.ts';
import {
  findPeaks,
  findRecording,
  insertGrant,
  isGrantAlive,
  listRecordings,
  mayListRecordings,
  permissionsFor,
  useGrant,
} from '../db/index.ts';
import type { Access, AccessLog } from '../evidence/index.ts';
import type { Bundles } from './bundle.ts';
import type { SealedSource } from './playback.ts';
import { Playback } from './playback.ts';
import { Plays } from './plays.ts';
import { Remuxes } from './remux/remuxes.ts';
import { waveformOf } from './waveform.ts';

export interface LibraryDeps {
  db: Database;
  sessions: Sessions;
  signer: GrantSigner;
  openRecording: (recordingId: string) => Promise<SealedSource>;
  /** Every list, view and stream is entered before anything is served (F31). */
  access: Pick<AccessLog, 'enter'>;
  /** Evidence bundles; without them none is granted. */
  bundles?: Pick<Bundles, 'has' | 'open'>;
  log: { warn(fields: object, message: string): void };
  watcher?: LibraryWatcher;
  /** See `Plays`; for tests. */
  playIdleMs?: number;
  nowMs?: () => number;
}

/** Who counts what leaves; nothing depends on it. */
export interface LibraryWatcher {
  requested(disposition: Disposition, container: RecordingFormat): void;
  firstByte(container: RecordingFormat, tookMs: number): void;
  sent(bytes: number): void;
}

export const GRANT_LIMITS = {
  /** The first request must come within this time. */
  firstUseMs: 120_000,
  /** A grant lasts this many times the recording's duration, and this long on top. */
  durations: 3,
  extraMs: 15 * 60_000,
  /** Requests of one grant that are served at the same time; players use two or three while seeking. */
  maxStreamsPerGrant: 8,
  /** Of all grants together: each holds a file and a buffer. */
  maxStreams: 1_000,
  /** How often a long stream asks whether its grant still stands. */
  recheckMs: 2_000,
  /** How often sessions and grants that are long over are deleted. */
  sweepMs: 3_600_000,
  defaultPageSize: 50,
} as const;

const BUNDLE_FORMAT = 'application/zip';
const FORMATS = { mp4: 'audio/mp4; codecs="opus"', ogg: 'audio/ogg; codecs="opus"' } as const;
const DISPOSITIONS = ['inline', 'attachment', 'bundle'] as const;
const ACTIONS = { inline: 'stream', attachment: 'download', bundle: 'bundle' } as const;

/** Recordings for those who may have them: lists, single ones, playback. */
export class Library {
  readonly #deps: LibraryDeps;
  readonly #nowMs: () => number;
  readonly #playbacks = new Set<Playback>();
  readonly #remuxes: Remuxes;
  readonly #plays: Plays;
  readonly #sweeper: NodeJS.Timeout;
  #closed = false;

  constructor(deps: LibraryDeps) {
    this.#deps = deps;
    this.#nowMs = deps.nowMs ?? Date.now;
    this.#remuxes = new Remuxes(deps.openRecording);
    this.#plays = new Plays({
      enter: (access) => deps.access.enter(access),
      log: deps.log,
      nowMs: this.#nowMs,
      ...(deps.playIdleMs === undefined ? {} : { idleMs: deps.playIdleMs }),
    });
    this.#sweeper = setInterval(() => void this.#sweep(), GRANT_LIMITS.sweepMs);
    this.#sweeper.unref();
  }

  /**
   * A page of a chat's recordings, newest first.
   * @throws VerbatimError `role_not_allowed`; `not_found` for a chat that the viewer may not know of; `bad_request`
   * for a foreign cursor
   */
  async list(
    viewer: Viewer,
    chatId: string,
    page: { limit?: number; cursor?: string },
  ): Promise<RecordingPage> {
    const { db } = this.#deps;
    await this.#assertMayRead(viewer);
    if (!(await mayListRecordings(db, viewer, chatId))) throw new VerbatimError('not_found');
    if (page.cursor !== undefined) {
      const last = await findRecording(db, viewer, page.cursor);
      if (last?.chatId !== chatId) {
        throw new VerbatimError('bad_request', 'querystring/cursor: expected the `next` of an earlier page');
      }
    }
    await this.#enter(viewer, { action: 'list', chatId });
    const limit = page.limit ?? GRANT_LIMITS.defaultPageSize;
    // One more than asked for tells whether another page follows.
    const rows = await listRecordings(db, viewer, chatId, { ...page, limit: limit + 1 });
    const recordings = rows.slice(0, limit);
    const next = rows.length > limit ? recordings.at(-1)?.id : undefined;
    return { recordings, ...(next === undefined ? {} : { next }) };
  }

  /**
   * One recording for its viewer; entered once a minute.
   * @throws VerbatimError as `get`, `unavailable`
   */
  async view(viewer: Viewer, recordingId: string): Promise<Recording> {
    const recording = await this.get(viewer, recordingId);
    const minute = Math.floor(this.#nowMs() / 60_000);
    await this.#enter(viewer, {
      action: 'view',
      chatId: recording.chatId,
      recordingId,
      once: `${viewer.userId ?? ''}.${minute}`,
    });
    return recording;
  }

  /** @throws VerbatimError `role_not_allowed`; `not_found` for a recording that the viewer may not know of */
  async get(viewer: Viewer, recordingId: string): Promise<Recording> {
    await this.#assertMayRead(viewer);
    const recording = await findRecording(this.#deps.db, viewer, recordingId);
    if (recording === undefined) throw new VerbatimError('not_found');
    return recording;
  }

  /**
   * The waveform of an available recording.
   * @throws VerbatimError as `get`; `recording_not_ready`, `recording_failed`; `not_found` for one without levels
   */
  async peaks(viewer: Viewer, recordingId: string): Promise<Waveform> {
    mustBeAvailable(await this.view(viewer, recordingId));
    const peaks = await findPeaks(this.#deps.db, recordingId);
    if (peaks === undefined) throw new VerbatimError('not_found', 'this recording has no waveform');
    return waveformOf(peaks);
  }

  /**
   * Grants playback to a party, bound to their session in this browser.
   * @throws VerbatimError `not_found`, `recording_not_ready`, `recording_failed`; `format_unavailable` for a recording
   * with a track for each side in `ogg`; `no_evidence` for a bundle of a
   * recording that has none
   */
  async grant(request: {
    appId: string;
    userId: string;
    role?: string;
    /** The key that signed the user's token: the grant ends with it. */
    kid: string;
    recordingId: string;
    disposition: Disposition;
    /** As the recording is kept, when left out. */
    format?: RecordingFormat;
    cookieHeader: string | undefined;
    crossSite: boolean;
  }): Promise<{ grant: Grant; setCookie: string }> {
    const { appId, userId, recordingId, disposition } = request;
    const recording = await this.get(request, recordingId);
    mustBeAvailable(recording);
    if (disposition === 'bundle' && (await this.#deps.bundles?.has(recordingId)) !== true)
      throw new VerbatimError('no_evidence');
    const container = disposition === 'bundle' ? 'webm' : (request.format ?? 'webm');
    if (container !== 'webm') await this.#remuxes.prepare(recordingId, container);
    const nowMs = this.#nowMs();
    const lengthMs = GRANT_LIMITS.durations * (recording.durationMs ?? 0) + GRANT_LIMITS.extraMs;
    // Whole seconds, because the address carries the end in seconds.
    const endsAtS = Math.ceil((nowMs + lengthMs) / 1000);
    const { session, setCookie } = await this.#deps.sessions.open({ ...request, untilMs: endsAtS * 1000 });
    const facts = { grantId: randomUUID(), endsAtS, sessionId: session.id, appId, userId, disposition };
    const firstUseBefore = new Date(nowMs + GRANT_LIMITS.firstUseMs);
    const endsAt = new Date(endsAtS * 1000);
    const { chatId } = recording;
    await this.#enter(request, { action: 'grant', chatId, recordingId, once: facts.grantId });
    await insertGrant(this.#deps.db, {
      id: facts.grantId,
      recordingId,
      appId,
      userId,
      sessionId: session.id,
      kid: request.kid,
      role: request.role ?? null,
      disposition,
      container,
      createdAt: new Date(nowMs),
      firstUseBefore,
      endsAt,
    });
    const grant = {
      grantId: facts.grantId,
      url: this.#deps.signer.url(facts),
      firstUseBefore: firstUseBefore.toISOString(),
      endsAt: endsAt.toISOString(),
    };
    return { grant, setCookie };
  }

  /**
   * Opens a recording under a grant. The caller closes what it gets.
   * @throws VerbatimError `grant_invalid` in the same words for every reason: unknown, foreign session, changed,
   * ended; `rate_limited` when the grant has too many streams open; `corrupt`, `shutting_down`
   */
  async play(grantId: string, query: GrantQuery, cookieHeader: string | undefined): Promise<Playback> {
    if (this.#closed) throw new VerbatimError('shutting_down');
    const begun = performance.now();
    const nowMs = this.#nowMs();
    const sessions = await this.#deps.sessions.of(cookieHeader);
    // A request without a living session learns nothing and changes nothing, not even the first use.
    const row = sessions.length === 0 ? undefined : await this.#use(grantId, query, sessions, nowMs);
    if (row === undefined) throw new VerbatimError('grant_invalid');
    if (row.sha256 === null || row.sizeBytes === null || row.format === null) {
      throw new VerbatimError(
        'corrupt',
        `recording ${row.recordingId} is available without a size or a hash`,
      );
    }
    this.#admit(grantId);
    const { recordingId, container, sha256, sizeBytes } = row;
    const isBundle = row.disposition === 'bundle';
    const isMade = isBundle || container !== 'webm';
    let request: ReturnType<Plays['request']> | undefined;
    const playback = new Playback({
      grantId,
      sessionId: row.sessionId,
      recordingId: row.recordingId,
      disposition: row.disposition,
      startedAt: row.startedAt,
      format: isBundle ? BUNDLE_FORMAT : container === 'webm' ? row.format : FORMATS[container],
      ...(isMade ? {} : { file: { sizeBytes, sha256 } }),
      endsInMs: row.endsAt.getTime() - nowMs,
      recheckMs: GRANT_LIMITS.recheckMs,
      isAlive: () => isGrantAlive(this.#deps.db, grantId, new Date(this.#nowMs())),
      onClose: () => {
        this.#playbacks.delete(playback);
        request?.over();
      },
      onStream: () => {
        const { watcher } = this.#deps;
        const { chatId } = row;
        const { userId, appId } = row;
        const action = ACTIONS[row.disposition];
        const facts = { grantId, appId, userId, chatId, recordingId, action };
        const counted = this.#plays.request(facts, playback.sizeBytes);
        request = counted;
        watcher?.requested(row.disposition, container);
        return {
          begun: () => watcher?.firstByte(container, performance.now() - begun),
          sent: (offset, bytes) => {
            counted.sent(offset, bytes);
            watcher?.sent(bytes);
          },
        };
      },
    });
    // Entered before the next await: what ends grants must find it from now on.
    this.#playbacks.add(playback);
    try {
      // Durable before the first byte; the ranges of one grant are one access.
      await this.#enter(row, {
        action: ACTIONS[row.disposition],
        chatId: row.chatId,
        recordingId: row.recordingId,
        once: grantId,
      });
      await playback.attach(() =>
        isBundle
          ? this.#openBundle(recordingId)
          : container === 'webm'
            ? this.#deps.openRecording(recordingId)
            : this.#remuxes.open(recordingId, sha256, container),
      );
    } catch (error) {
      await playback.close();
      throw error;
    }
    return playback;
  }

  #openBundle(recordingId: string): Promise<SealedSource> {
    const { bundles } = this.#deps;
    if (bundles === undefined) throw new VerbatimError('no_evidence');
    return bundles.open(recordingId);
  }

  /** Signs a user off in this browser: their grants end with the session, streams in progress included. */
  async signOut(appId: string, userId: string, cookieHeader: string | undefined): Promise<void> {
    const ended = await this.#deps.sessions.end(cookieHeader, appId, userId);
    this.#endWhere((playback) => ended.includes(playback.sessionId));
  }

  /** Ends every stream of a recording at once, for one that was removed or expired. */
  endRecording(recordingId: string): void {
    this.#remuxes.forget(recordingId);
    this.#endWhere((playback) => playback.recordingId === recordingId);
  }

  /** Enters the plays that are over. */
  enterEnded(): Promise<void> {
    return this.#plays.enterEnded();
  }

  /** Streams that are served now. */
  get streams(): number {
    return this.#playbacks.size;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweeper);
    await Promise.all([...this.#playbacks].map((playback) => playback.end('the server is shutting down')));
    await this.#plays.close();
  }

  #enter({ appId, userId }: Viewer, access: Omit<Access, 'appId' | 'actor'>): Promise<void> {
    const actor = userId === undefined ? ({ kind: 'app' } as const) : ({ kind: 'user', userId } as const);
    return this.#deps.access.enter({ ...access, appId, actor });
  }

  /** An app's server may always; users as their role says (F30). */
  async #assertMayRead({ appId, userId, role }: Viewer): Promise<void> {
    if (userId === undefined) return;
    const { recordings } = await permissionsFor(this.#deps.db, {
      appId,
      userId,
      ...(role === undefined ? {} : { role }),
    });
    if (!recordings) throw new VerbatimError('role_not_allowed');
  }

  /**
   * The session is looked at first and the grant only by one of these sessions, so a copied address answers as an
   * unknown one and does not use up the first use.
   */
  async #use(
    grantId: string,
    query: GrantQuery,
    sessions: readonly { id: string; appId: string; userId: string }[],
    nowMs: number,
  ) {
    const { signer, db } = this.#deps;
    const endsAtS = /^\d{1,12}$/.test(query.e) ? Number(query.e) : 0;
    for (const { id: sessionId, appId, userId } of sessions) {
      for (const disposition of DISPOSITIONS) {
        const facts = { grantId, endsAtS, sessionId, appId, userId, disposition };
        if (signer.verify(facts, query)) return useGrant(db, grantId, new Date(nowMs));
      }
    }
    return undefined;
  }

  async #sweep(): Promise<void> {
    try {
      await this.#deps.sessions.sweep();
    } catch (error) {
      // Nothing depends on it: what is over stays over, and the next sweep tries again.
      this.#deps.log.warn({ err: error }, 'old sessions could not be deleted');
    }
  }

  #admit(grantId: string): void {
    if (this.#playbacks.size >= GRANT_LIMITS.maxStreams) {
      throw new VerbatimError('unavailable', 'too many recordings are being played now');
    }
    let mine = 0;
    for (const playback of this.#playbacks) if (playback.grantId === grantId) mine += 1;
    if (mine >= GRANT_LIMITS.maxStreamsPerGrant) {
      throw new VerbatimError(
        'rate_limited',
        `a grant serves ${GRANT_LIMITS.maxStreamsPerGrant} requests at a time`,
      );
    }
  }

  #endWhere(matches: (playback: Playback) => boolean): void {
    for (const playback of [...this.#playbacks])
      if (matches(playback)) void playback.end('the grant has ended');
  }
}

function mustBeAvailable({ state, reason }: Recording): void {
  if (state === 'available') return;
  if (state === 'failed' || state === 'removed' || state === 'expired') {
    throw new VerbatimError('recording_failed', reason ?? state);
  }
  throw new VerbatimError('recording_not_ready', `the recording is ${state}`);
}
