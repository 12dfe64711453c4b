import type { Readable } from 'node:stream';
import { Transform } from 'node:stream';
import type { Disposition } from '#protocol';
import { VerbatimError } from '#protocol';

/** A sealed recording, opened for reading (`#store`, `openSealed`). */
export interface SealedSource {
  readonly sizeBytes: number;
  /** Names the content, when it is not a recording: two sources with the same fingerprint have the same bytes. */
  readonly fingerprint?: string;
  /** The plaintext bytes from `offset` up to, not including, `end`. */
  stream(offset: number, end: number): Readable;
  close(): Promise<void>;
}

interface PlaybackFacts {
  grantId: string;
  sessionId: string;
  recordingId: string;
  disposition: Disposition;
  startedAt: Date;
  format: string;
  /** What the row says of the recording. Absent for what is made on request. SHA-256 in hex. */
  file?: { sizeBytes: number; sha256: string };
}

/** Told what leaves of a recording. */
export interface StreamWatcher {
  /** The first piece of this request is there. */
  begun(): void;
  /** This piece, which begins at this byte of the file, goes to the connection. */
  sent(offset: number, bytes: number): void;
}

interface PlaybackControl {
  endsInMs: number;
  recheckMs: number;
  isAlive: () => Promise<boolean>;
  onClose: () => void;
  /** Once, when something is about to be sent. */
  onStream: () => StreamWatcher;
}

/** setTimeout takes no longer time; a grant that outlives it is ended by the rechecks. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * One request under a grant, from admission to the last byte. It ends with the grant: a timer for the agreed end,
 * a recheck every few seconds for sign-out or removal done elsewhere, and `end()` for those done here.
 */
export class Playback {
  readonly grantId: string;
  readonly sessionId: string;
  readonly recordingId: string;
  readonly disposition: Disposition;
  readonly startedAt: Date;
  readonly format: string;
  readonly #file: { sizeBytes: number; sha256: string } | undefined;
  readonly #control: PlaybackControl;
  readonly #endTimer: NodeJS.Timeout;
  readonly #recheckTimer: NodeJS.Timeout;
  #source: SealedSource | undefined;
  #stream: Readable | undefined;
  #rechecking = false;
  #closing: Promise<void> | undefined;

  constructor({
    endsInMs,
    recheckMs,
    isAlive,
    onClose,
    onStream,
    ...facts
  }: PlaybackFacts & PlaybackControl) {
    this.grantId = facts.grantId;
    this.sessionId = facts.sessionId;
    this.recordingId = facts.recordingId;
    this.disposition = facts.disposition;
    this.startedAt = facts.startedAt;
    this.format = facts.format;
    this.#file = facts.file;
    this.#control = { endsInMs, recheckMs, isAlive, onClose, onStream };
    this.#endTimer = setTimeout(() => void this.end('the grant has ended'), Math.min(endsInMs, MAX_TIMER_MS));
    this.#recheckTimer = setInterval(() => void this.#recheck(), recheckMs);
    // Neither may keep a process alive that wants to end.
    this.#endTimer.unref();
    this.#recheckTimer.unref();
  }

  /** Of what is served; known once it is attached. */
  get sizeBytes(): number {
    return this.#file?.sizeBytes ?? this.#source?.sizeBytes ?? 0;
  }

  /** Hex; undefined for what is made on request, which nobody has hashed as a whole. */
  get sha256(): string | undefined {
    return this.#file?.sha256;
  }

  /** The same for the same bytes, and for no others. */
  get tag(): string {
    return this.#file?.sha256 ?? this.#source?.fingerprint ?? this.grantId;
  }

  /** Opens the file. @throws VerbatimError `corrupt` when it has not the size that its row says */
  async attach(open: () => Promise<SealedSource>): Promise<void> {
    const source = await open();
    this.#source = source;
    if (this.#closing !== undefined) {
      await source.close();
      throw new VerbatimError('grant_invalid');
    }
    if (this.#file !== undefined && source.sizeBytes !== this.#file.sizeBytes) {
      throw new VerbatimError(
        'corrupt',
        `recording ${this.recordingId} has ${source.sizeBytes} bytes, its row says ${this.#file.sizeBytes}`,
      );
    }
  }

  /** The bytes from `firstByte` to `lastByte`, both included. The playback closes when they are through or given up. */
  stream(firstByte: number, lastByte: number): Readable {
    if (this.#source === undefined || this.#stream !== undefined || this.#closing !== undefined) {
      throw new VerbatimError('grant_invalid');
    }
    const pieces = this.#source.stream(firstByte, lastByte + 1);
    const stream = watched(pieces, firstByte, this.#control.onStream());
    this.#stream = stream;
    stream.once('close', () => void this.close());
    return stream;
  }

  /** Breaks off: a stream in progress fails, so that the client does not take the part for the whole. */
  async end(reason: string): Promise<void> {
    const stream = this.#stream;
    if (stream !== undefined && !stream.destroyed) stream.destroy(new VerbatimError('grant_invalid', reason));
    await this.close();
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#release();
    return this.#closing;
  }

  async #release(): Promise<void> {
    clearTimeout(this.#endTimer);
    clearInterval(this.#recheckTimer);
    this.#control.onClose();
    this.#stream?.destroy();
    await this.#source?.close();
  }

  async #recheck(): Promise<void> {
    if (this.#rechecking) return;
    this.#rechecking = true;
    try {
      if (!(await this.#control.isAlive())) await this.end('the grant has ended');
    } catch {
      // The database is away: what was granted goes on until its timer; the next recheck asks again.
    } finally {
      this.#rechecking = false;
    }
  }
}

/**
 * The same bytes, counted. A piece counts when it is handed on: what a client did not take of the last ones counts as
 * well. Whichever of the two streams ends first takes the other along at once, also while no piece comes.
 */
function watched(pieces: Readable, firstByte: number, watcher: StreamWatcher): Readable {
  let at = firstByte;
  const counted = new Transform({
    transform(piece: Buffer, _encoding, done) {
      if (at === firstByte) watcher.begun();
      watcher.sent(at, piece.length);
      at += piece.length;
      done(null, piece);
    },
  });
  pieces.once('error', (error) => counted.destroy(error));
  pieces.once('close', () => {
    // Cut off before its end: so is the response.
    if (!pieces.readableEnded) counted.destroy(new Error('the recording was cut off'));
  });
  counted.once('close', () => pieces.destroy());
  return pieces.pipe(counted);
}
