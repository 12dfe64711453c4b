import type { NotificationName, NotificationParams, Params, Side } from '#protocol';
import { PEER_LIMITS, VerbatimError } from '#protocol';

type PeerNotification = Extract<NotificationName, `peer.${string}`>;

export interface PeerRelayDeps {
  readonly callId: string;
  /** Tells the device of this side; one that is away is not told, and asks for a new round when it is back. */
  tell<N extends PeerNotification>(side: Side, name: N, params: NotificationParams<N>): void;
}

/**
 * Passes descriptions and candidates on between the two browsers of one voice call, in the order they came, and keeps
 * nothing of them but how many there were. A round is one offer of the caller and one answer to it; what belongs to an
 * older round is dropped, because the browsers would mix two attempts.
 */
export class PeerRelay {
  readonly #deps: PeerRelayDeps;
  /** The round of the newest offer; 0 before the first. */
  #round = 0;
  #rounds = 0;
  /** Whether the newest offer was answered. */
  #answered = false;
  #candidates: Record<Side, number> = { caller: 0, callee: 0 };
  readonly #serverRequests: Record<Side, number> = { caller: 0, callee: 0 };
  readonly #reports: Record<Side, number> = { caller: 0, callee: 0 };

  constructor(deps: PeerRelayDeps) {
    this.#deps = deps;
  }

  /**
   * Passes an offer or an answer on.
   * @throws VerbatimError `forbidden` for the side that does not offer, or answer; `conflict` for what is out of order;
   * `rate_limited` past the number of rounds
   */
  description(side: Side, { kind, round, sdp }: Params<'peer.description'>): void {
    if ((kind === 'offer') !== (side === 'caller'))
      throw new VerbatimError('forbidden', 'the caller offers and the called side answers');
    if (kind === 'offer') this.#offered(round);
    else this.#answer(round);
    this.#deps.tell(other(side), 'peer.description', { callId: this.#deps.callId, kind, round, sdp });
  }

  /**
   * Passes candidates on; answers false when they belong to an older round, whose candidates nobody needs any more.
   * @throws VerbatimError `conflict` before the description they belong to; `rate_limited` past the number of candidates
   */
  candidates(side: Side, { round, candidates }: Params<'peer.candidates'>): boolean {
    if (round < this.#round) return false;
    if (round > this.#round || (side === 'callee' && !this.#answered))
      throw new VerbatimError('conflict', `candidates follow the description of their round, ${round}`);
    const count = this.#candidates[side] + candidates.length;
    if (count > PEER_LIMITS.maxCandidates)
      throw new VerbatimError('rate_limited', `a side has ${PEER_LIMITS.maxCandidates} candidates at most`);
    this.#candidates[side] = count;
    this.#deps.tell(other(side), 'peer.candidates', { callId: this.#deps.callId, round, candidates });
    return true;
  }

  /** Counts a request for ICE servers. @throws VerbatimError `rate_limited` */
  countServers(side: Side): void {
    this.#serverRequests[side] = counted(this.#serverRequests[side], PEER_LIMITS.maxServerRequests);
  }

  /** Counts a word about the path. @throws VerbatimError `rate_limited` */
  countReport(side: Side): void {
    this.#reports[side] = counted(this.#reports[side], PEER_LIMITS.maxReports);
  }

  /** The path of this side broke: the other one may not have noticed yet, and the caller has to offer again. */
  broken(side: Side): void {
    this.#deps.tell(other(side), 'peer.broken', { callId: this.#deps.callId });
  }

  #offered(round: number): void {
    if (round <= this.#round)
      throw new VerbatimError('conflict', `expected an offer of a round past ${this.#round}, got ${round}`);
    this.#rounds = counted(this.#rounds, PEER_LIMITS.maxRounds);
    this.#round = round;
    this.#answered = false;
    this.#candidates = { caller: 0, callee: 0 };
  }

  #answer(round: number): void {
    if (round !== this.#round || this.#answered)
      throw new VerbatimError('conflict', `there is no open offer of round ${round}`);
    this.#answered = true;
  }
}

function counted(before: number, limit: number): number {
  if (before >= limit) throw new VerbatimError('rate_limited', `not more than ${limit} times in one call`);
  return before + 1;
}

const other = (side: Side): Side => (side === 'caller' ? 'callee' : 'caller');
