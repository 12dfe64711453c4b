import type { CaptureLeg, LegCount, RecorderCommand, Side } from '#protocol';
import { LEG_OF_SIDE, VerbatimError } from '#protocol';
import type { Acknowledged, JournalWriter } from '#store';
import { FLAG_RTCP, monotonicUs } from '#store';
import { ReplayWindow } from './replay.ts';
import type { PacketSink, RtpSocket, Taken } from './socket.ts';

/** Told by a capture to whoever runs it, at most once. */
export interface CaptureEvents {
  /** Audio of both legs is durable. */
  armed(head: Acknowledged): void;
}

type Source = Extract<RecorderCommand, { type: 'legs' }>['source'];
type Mark = Extract<RecorderCommand, { type: 'mark' }>;

/** How many times the SSRCs of one capture may change before something must be wrong. */
const MAX_LEG_CHANGES = 1000;

/**
 * One recording and epoch while it runs: two legs of one call on the recorder's socket, one journal. It is armed when
 * the first audio of both legs is durable. It ends once; afterwards nothing reaches its journal.
 */
export class Capture {
  readonly #writer: JournalWriter;
  readonly #socket: RtpSocket;
  readonly #events: CaptureEvents;
  readonly #legs = new Map<Side, Leg>();
  #changes = 0;
  #ending: Promise<Acknowledged> | undefined;

  constructor(writer: JournalWriter, socket: RtpSocket, events: CaptureEvents) {
    this.#writer = writer;
    this.#socket = socket;
    this.#events = events;
  }

  get ended(): boolean {
    return this.#ending !== undefined;
  }

  /** Monotonic us of the last packet of either leg; 0 when there was none. */
  get lastPacketUs(): number {
    let last = 0;
    for (const leg of this.#legs.values()) last = Math.max(last, leg.lastUs);
    return last;
  }

  /**
   * Lets the two legs in. A repeated call with the same legs does nothing; one with another SSRC or source replaces
   * the leg and marks the change.
   * @throws VerbatimError `bad_request` unless there are exactly a caller and a callee; `conflict` when an SSRC is
   * taken by another capture.
   */
  setLegs(source: Source, legs: readonly CaptureLeg[]): void {
    if (this.#ending !== undefined) return;
    const [one, two] = legs;
    if (legs.length !== 2 || one === undefined || two === undefined || one.side === two.side)
      throw new VerbatimError('bad_request', 'a capture has exactly two legs, the caller and the callee');
    if (one.ssrc === two.ssrc) throw new VerbatimError('bad_request', 'the two legs have the same SSRC');
    if (this.#changes >= MAX_LEG_CHANGES)
      throw new VerbatimError('bad_request', 'the legs changed too often');
    this.#changes += 1;
    for (const wanted of legs) this.#setLeg(source, wanted);
  }

  /** Writes down a moment that the daemon knows of, for example a mute. */
  mark({ mark, side, atMs }: Pick<Mark, 'mark' | 'side' | 'atMs'>): void {
    if (this.#ending !== undefined) return;
    this.#writer.mark({ mark, atMs, ...(side === undefined ? {} : { leg: LEG_OF_SIDE[side] }) });
  }

  /** Shuts both legs out and makes END durable. Every call gets the same answer. */
  end(reason: string): Promise<Acknowledged> {
    this.#ending ??= (async () => {
      this.#shutOut();
      return this.#writer.end(reason);
    })();
    return this.#ending;
  }

  counts(): LegCount[] {
    return [...this.#legs.values()].map(({ side, packets, bytes }) => ({ side, packets, bytes }));
  }

  #setLeg(source: Source, wanted: CaptureLeg): void {
    const old = this.#legs.get(wanted.side);
    if (old?.is(source, wanted)) return;
    const leg = new Leg(source, wanted, this.#writer, () => this.#heard());
    if (old !== undefined) {
      this.#socket.unregister(old.source, old.ssrc, old);
      leg.follow(old);
    }
    this.#legs.set(wanted.side, leg);
    this.#socket.register(source, wanted.ssrc, leg);
    // Whoever reads the journal later has nothing but the journal to know this from.
    const { audioLevelExtId } = wanted;
    if (audioLevelExtId !== undefined || (old !== undefined && old.ssrc !== wanted.ssrc))
      this.#writer.mark({
        mark: 'ssrc',
        leg: LEG_OF_SIDE[wanted.side],
        ssrc: wanted.ssrc,
        ...(audioLevelExtId === undefined ? {} : { audioLevelExtId }),
      });
  }

  /** The first audio of a leg is in the journal's memory: make it durable at once, and say so when both are. */
  #heard(): void {
    const legs = [...this.#legs.values()];
    const both = legs.length === 2 && legs.every((leg) => leg.packets > 0);
    this.#writer.flush({ urgent: true }).then(
      (head) => {
        if (both && this.#ending === undefined) this.#events.armed(head);
      },
      // The writer tells its owner by itself that it failed.
      () => undefined,
    );
  }

  #shutOut(): void {
    for (const leg of this.#legs.values()) this.#socket.unregister(leg.source, leg.ssrc, leg);
  }
}

/** One leg's way from the socket into the journal. */
class Leg implements PacketSink {
  readonly source: Source;
  readonly side: Side;
  readonly ssrc: number;
  readonly payloadType: number;
  packets = 0;
  bytes = 0;
  lastUs = 0;
  readonly #index: 0 | 1;
  readonly #writer: JournalWriter;
  readonly #window = new ReplayWindow();
  readonly #first: () => void;

  constructor(source: Source, leg: CaptureLeg, writer: JournalWriter, first: () => void) {
    this.source = source;
    this.side = leg.side;
    this.ssrc = leg.ssrc;
    this.payloadType = leg.payloadType;
    this.#index = LEG_OF_SIDE[leg.side];
    this.#writer = writer;
    this.#first = first;
  }

  is(source: Source, leg: CaptureLeg): boolean {
    return (
      this.source.ip === source.ip &&
      this.source.port === source.port &&
      this.ssrc === leg.ssrc &&
      this.payloadType === leg.payloadType
    );
  }

  rtp(packet: Buffer, sequence: number): Taken {
    if (!this.#window.admit(sequence)) return 'replayed';
    const now = monotonicUs();
    if (!this.#writer.append(this.#index, 0, packet, now)) return 'refused';
    this.lastUs = now;
    this.packets += 1;
    this.bytes += packet.length;
    if (this.packets === 1) this.#first();
    return 'taken';
  }

  rtcp(packet: Buffer): Taken {
    const now = monotonicUs();
    if (!this.#writer.append(this.#index, FLAG_RTCP, packet, now)) return 'refused';
    this.lastUs = now;
    return 'taken';
  }

  /** Goes on counting where the leg before it stopped. */
  follow(old: Leg): void {
    this.packets = old.packets;
    this.bytes = old.bytes;
    this.lastUs = old.lastUs;
  }
}
