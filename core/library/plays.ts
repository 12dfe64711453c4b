import type { AccessAction } from '#protocol';
import type { Access } from '../evidence/index.ts';
import { Spans } from './spans.ts';

/** What a grant was for, and whose it is. */
export interface PlayFacts {
  grantId: string;
  appId: string;
  userId: string;
  chatId: string;
  recordingId: string;
  action: Extract<AccessAction, 'stream' | 'download' | 'bundle'>;
}

export interface PlaysDeps {
  enter: (access: Access) => Promise<void>;
  log: { warn(fields: object, message: string): void };
  nowMs: () => number;
  /** A play without a request for so long is over. */
  idleMs?: number;
}

interface Play extends PlayFacts {
  startedMs: number;
  lastMs: number;
  /** Requests under way. */
  open: number;
  ranges: number;
  bytes: number;
  covered: Spans;
  sizeBytes: number;
  tries: number;
}

/** A player fetches ahead and then plays for minutes without asking: a shorter pause is no end. */
const IDLE_MS = 60_000;
const MAX_PLAYS = 10_000;
/** How often an end that the log does not take is tried again; its beginning is entered, so nothing is hidden. */
const MAX_TRIES = 60;

/**
 * What became of each grant's requests: when they are over, how many bytes went out in how many ranges is entered in the
 * access log beside the entry of the beginning (F31). A play that is taken up again after that is another one.
 */
export class Plays {
  readonly #deps: PlaysDeps;
  readonly #idleMs: number;
  readonly #plays = new Map<string, Play>();
  readonly #timer: NodeJS.Timeout;
  #entering: Promise<void> = Promise.resolve();

  constructor(deps: PlaysDeps) {
    this.#deps = deps;
    this.#idleMs = deps.idleMs ?? IDLE_MS;
    this.#timer = setInterval(() => void this.enterEnded(), this.#idleMs / 4);
    this.#timer.unref();
  }

  /** One request that is about to send something. */
  request(facts: PlayFacts, sizeBytes: number): { sent(offset: number, bytes: number): void; over(): void } {
    const play = this.#playOf(facts, sizeBytes);
    play.open += 1;
    play.ranges += 1;
    let isOver = false;
    return {
      sent: (offset, bytes) => {
        play.bytes += bytes;
        play.covered.add(offset, offset + bytes);
        play.lastMs = this.#deps.nowMs();
      },
      over: () => {
        if (isOver) return;
        isOver = true;
        play.open -= 1;
        play.lastMs = this.#deps.nowMs();
      },
    };
  }

  /** Enters what is over by now. Never rejects; resolves when the entries are durable, or refused. */
  enterEnded(): Promise<void> {
    return this.#enter((play) => play.open === 0 && this.#deps.nowMs() - play.lastMs >= this.#idleMs);
  }

  /** Everything is over. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#enter(() => true);
  }

  #playOf(facts: PlayFacts, sizeBytes: number): Play {
    const known = this.#plays.get(facts.grantId);
    if (known !== undefined) return known;
    const now = this.#deps.nowMs();
    const play: Play = {
      ...facts,
      startedMs: now,
      lastMs: now,
      open: 0,
      ranges: 0,
      bytes: 0,
      covered: new Spans(),
      sizeBytes,
      tries: 0,
    };
    if (this.#plays.size >= MAX_PLAYS) {
      const [oldest] = this.#plays.keys();
      if (oldest !== undefined) this.#plays.delete(oldest);
      this.#deps.log.warn({}, 'too many plays are under way: the end of the oldest is not entered');
    }
    this.#plays.set(facts.grantId, play);
    return play;
  }

  #enter(isOver: (play: Play) => boolean): Promise<void> {
    const ended = [...this.#plays.values()].filter(isOver);
    // Taken out at once: what comes from now on is another play.
    for (const { grantId } of ended) this.#plays.delete(grantId);
    this.#entering = this.#entering.then(async () => {
      await Promise.all(ended.map((play) => this.#enterOne(play)));
    });
    return this.#entering;
  }

  async #enterOne(play: Play): Promise<void> {
    const { grantId, appId, userId, chatId, recordingId, action, startedMs } = play;
    try {
      await this.#deps.enter({
        action: 'play_end',
        appId,
        chatId,
        recordingId,
        actor: { kind: 'user', userId },
        once: `${grantId}.${startedMs}`,
        played: {
          what: action,
          ranges: play.ranges,
          bytes: play.bytes,
          coveredBytes: play.covered.bytes,
          sizeBytes: play.sizeBytes,
        },
      });
    } catch (error) {
      play.tries += 1;
      if (play.tries < MAX_TRIES && !this.#plays.has(grantId)) {
        this.#plays.set(grantId, play);
        return;
      }
      this.#deps.log.warn({ err: error, recordingId }, 'the end of a play could not be entered');
    }
  }
}
