import type { EndReason, Side } from '#protocol';
import { RECORDER_TIMES, VerbatimError } from '#protocol';
import type { CallMedia } from '../media/index.ts';
import type { Capture, Head } from '../recording/index.ts';
import type { CallEvent } from './machine.ts';

/** A running capture, as far as a call is concerned with it. */
export type RunningCapture = Pick<
  Capture,
  'epoch' | 'recorder' | 'armed' | 'lost' | 'start' | 'mark' | 'stop' | 'on'
>;

/** A moment that the journal tells of. */
interface Moment {
  mark: Parameters<RunningCapture['mark']>[0];
  side: Side;
  atMs: number;
}

export interface CallRecorderDeps {
  readonly media: CallMedia;
  nowMs(): number;
  /** Why the call has ended; null while it has not. */
  endReason(): EndReason | null;
  dispatch(event: CallEvent): void;
  /** Both sides are recorded from this head on. */
  armed(epoch: number, head: Head): void;
  trouble(doing: string, error: unknown): void;
}

/** What happened to either side so long before a recorder was known to be lost may never have reached its journal. */
const UNSURE_MS = RECORDER_TIMES.lostAfterMs + 2_000;
/** Moments that are kept for the next recorder; nobody mutes faster than that. */
const MAX_MOMENTS = 64;

/** The recorders of one secure call, one after the other: what comes of each is told to the machine as events. */
export class CallRecorder {
  readonly #deps: CallRecorderDeps;
  #capture: RunningCapture | null = null;
  /** The newest mutes and reconnects, and since when the recorder that should have noted them is lost. */
  #moments: Moment[] = [];
  #lostAtMs: number | null = null;

  constructor(deps: CallRecorderDeps) {
    this.#deps = deps;
  }

  /** What comes of the search for a recorder, and of the recorder, as events; of this one only while it is the newest. */
  use(found: Promise<RunningCapture>): void {
    const { dispatch, endReason, trouble } = this.#deps;
    found.then(
      (capture) => {
        const reason = endReason();
        if (reason !== null)
          return void capture.stop(reason).catch((error: unknown) => trouble('stop after end', error));
        this.#capture = capture;
        let over = false;
        const lost = (): void => {
          if (over || this.#capture !== capture) return;
          over = true;
          dispatch({ type: 'recorderLost' });
        };
        dispatch({ type: 'recorderListening' });
        capture.on('lost', lost);
        capture.armed.then(() => {
          if (!over && this.#capture === capture) dispatch({ type: 'recorderArmed' });
        }, lost);
      },
      (error: unknown) => {
        trouble('openRecording', error);
        dispatch({ type: 'recorderUnavailable' });
      },
    );
  }

  async attach(): Promise<void> {
    const { media, endReason, dispatch, trouble } = this.#deps;
    const capture = this.#capture;
    if (!capture) throw new VerbatimError('internal', 'a recorder listens but is not known');
    try {
      const { source, legs } = await media.attachRecorder(capture.recorder);
      await capture.start(source, legs);
      this.#tellMoments(capture);
      // Last, so that not one packet comes before the recorder knows its leg.
      if (endReason() === null) await media.resumeRecorder();
    } catch (error) {
      trouble('attachRecorder', error);
      // One that was lost meanwhile has told so itself, and another may be on its way.
      if (capture.lost === undefined) dispatch({ type: 'recorderUnavailable' });
    }
  }

  /** The two fell silent because the recorder is lost. */
  silenced(): void {
    this.#lostAtMs = this.#deps.nowMs();
  }

  mark(mark: Moment['mark'], side: Side): void {
    const atMs = this.#deps.nowMs();
    this.#moments.push({ mark, side, atMs });
    if (this.#moments.length > MAX_MOMENTS) this.#moments.shift();
    this.#capture?.mark(mark, side, atMs);
  }

  /** The call has begun: from which head on is told. Nobody waits for it, since that head is durable already. */
  begun(): void {
    const capture = this.#capture;
    capture?.armed.then(
      (head) => this.#deps.armed(capture.epoch, head),
      () => undefined,
    );
  }

  async stop(reason: EndReason): Promise<void> {
    await this.#capture?.stop(reason);
  }

  /** What the lost recorder may not have written down, with the time when it was. Told twice it still counts once. */
  #tellMoments(capture: RunningCapture): void {
    if (this.#lostAtMs === null) return;
    for (const { mark, side, atMs } of this.#moments)
      if (atMs >= this.#lostAtMs - UNSURE_MS) capture.mark(mark, side, atMs);
  }
}
