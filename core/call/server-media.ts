import type { ConsumerParams, Params, Result, Side } from '#protocol';
import { VerbatimError } from '#protocol';
import type { CallMedia } from '../media/index.ts';

/** What a side asked for, and the answer. */
interface Asked {
  words: string;
  answer: Promise<unknown>;
}

interface MediaSide {
  rtpCapabilities: Record<string, unknown>;
  send: string;
  recv: string;
  consumed: boolean;
}

export interface ServerMediaDeps {
  readonly callId: string;
  readonly media: CallMedia;
  /** The call is over: whatever still waits for the media server gives up. */
  ended(): boolean;
  /** This side's microphone has arrived. */
  produced(side: Side): void;
  /** The other side's audio can be received by this one. */
  offer(side: Side, consumer: ConsumerParams): void;
  failed(error: unknown): void;
}

/** The way of a secure call's audio through the media server: what both browsers ask for while they build it. */
export class ServerMedia {
  readonly #deps: ServerMediaDeps;
  readonly #sides: Partial<Record<Side, MediaSide>> = {};
  /**
   * Side and step -> what was asked. A connection that is lost before the answer came leaves its device in doubt, so
   * the device asks again when it is back: the same words get the same answer, and nothing is made twice.
   */
  readonly #asked = new Map<string, Asked>();
  /** What each side was offered to receive, for a device that was away when it was told. */
  readonly #offered: Partial<Record<Side, ConsumerParams>> = {};

  constructor(deps: ServerMediaDeps) {
    this.#deps = deps;
  }

  /** Builds this side's two transports; the caller may while it still rings, so that accepting is quick. */
  open(side: Side, p: Params<'media.open'>): Promise<Result<'media.open'>> {
    return this.#once(`${side} open`, p, async () => {
      const { media } = this.#deps;
      const [send, recv] = await Promise.all([
        media.createTransport(side, 'send'),
        media.createTransport(side, 'recv'),
      ]);
      this.#assertOpen();
      this.#sides[side] = {
        rtpCapabilities: p.rtpCapabilities,
        send: send.id,
        recv: recv.id,
        consumed: false,
      };
      // The answer goes out first: the browser needs its receiving transport before a consumer for it.
      queueMicrotask(() => setImmediate(() => this.#offerConsumers()));
      return { send, recv };
    });
  }

  connect(side: Side, p: Params<'media.connect'>): Promise<void> {
    return this.#once(`${side} connect ${p.direction}`, p, async () => {
      const ours = this.#side(side);
      await this.#deps.media.connectTransport(side, ours[p.direction], p.dtlsParameters);
    });
  }

  produce(side: Side, p: Params<'media.produce'>): Promise<Result<'media.produce'>> {
    return this.#once(`${side} produce`, p, async () => {
      const ours = this.#side(side);
      const { producerId } = await this.#deps.media.produce(side, ours.send, p.rtpParameters);
      this.#assertOpen();
      this.#offerConsumers();
      this.#deps.produced(side);
      return { producerId };
    });
  }

  async restartIce(side: Side, p: Params<'media.restartIce'>): Promise<Result<'media.restartIce'>> {
    const ours = this.#side(side);
    return { iceParameters: await this.#deps.media.restartIce(side, ours[p.direction]) };
  }

  /** What this side may have missed is told once more. */
  offerAgain(side: Side): void {
    const offered = this.#offered[side];
    if (offered) this.#deps.offer(side, offered);
  }

  /** @throws VerbatimError `conflict` for other words than the first time */
  async #once<T>(step: string, params: object, make: () => Promise<T>): Promise<T> {
    this.#assertOpen();
    const words = JSON.stringify(params);
    const before = this.#asked.get(step);
    if (before !== undefined && before.words !== words) {
      throw new VerbatimError('conflict', 'this side has asked for that already, in other words');
    }
    // Each step has one answer, of the type that its one `make` gives.
    if (before !== undefined) return (await before.answer) as T;
    const answer = make();
    this.#asked.set(step, { words, answer });
    try {
      return await answer;
    } catch (error) {
      // What failed was not made.
      this.#asked.delete(step);
      throw error;
    }
  }

  #side(side: Side): MediaSide {
    this.#assertOpen();
    const ours = this.#sides[side];
    if (!ours) throw new VerbatimError('conflict', 'media.open has to come first');
    return ours;
  }

  #assertOpen(): void {
    if (this.#deps.ended()) throw new VerbatimError('conflict', 'the call has ended');
  }

  /** Gives each side that can receive a (paused) consumer of the other's microphone, as soon as there is one. */
  #offerConsumers(): void {
    const { callId, media } = this.#deps;
    for (const side of ['caller', 'callee'] as const) {
      const ours = this.#sides[side];
      const other = side === 'caller' ? 'callee' : 'caller';
      if (!ours || ours.consumed || this.#deps.ended() || !media.hasProducer(other)) continue;
      ours.consumed = true;
      media
        .consume(side, ours.rtpCapabilities)
        .then((consumer) => {
          this.#offered[side] = { ...consumer, callId };
          this.offerAgain(side);
        })
        .catch((error: unknown) => this.#deps.failed(error));
    }
  }
}
